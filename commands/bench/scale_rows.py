"""How time and memory of the steps grow with the rows of a dataset: each measurement in a process of its own.

python -m commands.bench.scale_rows FOLDER STEP    measures one STEP on the dataset that `prepare` wrote to FOLDER

Every image is a file of its own, 64 px wide, blended of phantoms and of noise that makes its hash its own. So each
image is read, decoded, checked, hashed, compared and stored as a radiograph would be; only its decoding is short. That
of files of usual size is measured beside it, by `scale_rates`.
"""

import json
import math
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from thorax.settings import Settings

#: What is measured: a step, and whether its growth is agreed upon.
STEPS = {"ingest": False, "validate": True, "preprocess": True, "calibrate": False, "evaluate": False, "drift": True}
FINDINGS = ("Effusion", "Edema", "Cardiomegaly")
SIZE = 64
#: Of a DenseNet-121, as three findings leave them at 224 px.
_FEATURES, _CELLS = 1024, 7
#: As in NIH ChestX-ray14: 112,120 images of 30,805 patients.
_IMAGES_A_PATIENT = 3.64


@dataclass(frozen=True)
class Taken:
    """What a step took.

    Attributes:
        step: its name.
        rows: of the dataset.
        seconds: of the whole process, imports and all.
        work: processor seconds of it and of all that it started.
        mib: peak memory of them together, each counted without what it shares.
    """

    step: str
    rows: int
    seconds: float
    work: float
    mib: float


@dataclass(frozen=True)
class Growth:
    """An exponent: something grows as rows to its power.

    Attributes:
        exponent: the slope of the logarithms, by least squares.
        low, high: its 95% interval, by Student's t.
    """

    exponent: float
    low: float
    high: float


def growth(rows: Sequence[float], amounts: Sequence[float]) -> Growth:
    """Fit `amount = a · rows^exponent`.

    Raises:
        ValueError: fewer than three measurements.
    """
    from scipy import stats

    if len(rows) < 3:
        raise ValueError("An exponent with an interval takes three measurements.")
    fit = stats.linregress([math.log(one) for one in rows], [math.log(one) for one in amounts])
    half = float(stats.t.ppf(0.975, len(rows) - 2) * fit.stderr)
    return Growth(float(fit.slope), float(fit.slope) - half, float(fit.slope) + half)


def slope(rows: Sequence[float], amounts: Sequence[float]) -> float:
    """Return what each row adds, by least squares over the amounts as they are."""
    from scipy import stats

    return float(stats.linregress(rows, amounts).slope)


def prepare(folder: Path, rows: int) -> None:
    """Write a dataset of `rows` images, what a training would leave of it, and a log of as many predictions."""
    import cv2
    import numpy as np
    import pandas as pd

    from commands.bench import monitor_speed
    from thorax.datasets.posing.chests import chests

    pictures, _ = chests(60, SIZE, seed=70_005)
    rng = np.random.default_rng(rows)
    patients = np.sort(rng.integers(0, max(8, round(rows / _IMAGES_A_PATIENT)), rows))
    (folder / "data" / "images").mkdir(parents=True)
    names = []
    for number in range(rows):
        one, other = pictures[rng.integers(len(pictures), size=2)]
        noise = cv2.resize(rng.normal(0, 15, (16, 16)), (SIZE, SIZE), interpolation=cv2.INTER_CUBIC)
        blend = np.clip(one * (share := rng.uniform(0.3, 0.7)) + other * (1 - share) + noise, 0, 255)
        if number % 1000 == 0:
            (folder / "data" / "images" / f"{number // 1000:03}").mkdir()
        names.append(f"images/{number // 1000:03}/{number:07}.png")
        (folder / "data" / names[-1]).write_bytes(cv2.imencode(".png", blend.astype(np.uint8))[1].tobytes())
    table = {
        "path": names,
        "patient_id": [f"p{number:06}" for number in patients],
        "age": 20 + patients % 70,
        "sex": np.where(patients % 2, "F", "M"),
        "view": rng.choice(["PA", "AP"], rows),
    }
    table |= {name: (rng.random(rows) < 0.15).astype(int) for name in FINDINGS}
    pd.DataFrame(table).to_csv(folder / "data" / "table.csv", index=False)
    monitor_speed.prepare(folder / "log", rows)


def write_outputs(folder: Path) -> None:
    """Write what a training leaves of the store, but for the network: its answers on every split, at random."""
    import numpy as np

    from thorax.files import write_json
    from thorax.preprocessing.store import ImageStore

    store, out = ImageStore.open(folder / "store"), folder / "trained"
    rng = np.random.default_rng(len(store))
    out.mkdir(exist_ok=True)
    write_json(out / "network.json", {"findings": list(FINDINGS), "architecture": "densenet121"})
    for split in ("train", "calibration", "test"):
        indices = store.indices(split)
        truth = store.truth(indices)
        arrays: dict[str, Any] = {
            "image_id": store.rows["image_id"].to_numpy(dtype=str)[indices],
            "patient_id": store.rows["patient_id"].to_numpy(dtype=str)[indices],
            "logits": (rng.normal(-1.5, 1.5, truth.shape) + 2 * truth).astype(np.float32),
            "features": rng.random((len(indices), _FEATURES), dtype=np.float32),
            "truth": truth,
        }
        if split != "train":
            shape = (len(indices), len(FINDINGS), _CELLS, _CELLS)
            arrays["maps"] = rng.normal(-1.5, 1.5, shape).astype(np.float16)
        np.savez(out / f"outputs-{split}.npz", **arrays)


def measure(folder: Path, step: str, rows: int) -> Taken:
    """Measure a step in a fresh process; each needs what those before it leave."""
    if step == "calibrate":
        write_outputs(folder)
    began = time.perf_counter()
    command = [sys.executable, "-m", "commands.bench.scale_rows", str(folder), step]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{step} of {rows} rows failed:\n{done.stderr[-2000:]}")
    found = json.loads(done.stdout.strip().splitlines()[-1])
    return Taken(step, rows, time.perf_counter() - began, found["work"], found["mib"])


def _run(folder: Path, step: str) -> None:
    import resource

    from commands.bench.watch import Peak, own_bytes

    with Peak(own_bytes, every=0.1) as peak:
        _take(folder, step)
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    work = sum(one.ru_utime + one.ru_stime for one in used)
    sys.stdout.write(json.dumps({"work": work, "mib": peak.value / 2**20}) + "\n")


def _take(folder: Path, step: str) -> None:
    import shutil

    settings = _settings(folder)
    root, manifest = folder / "data", folder / "manifest"
    if step == "ingest":
        from thorax.datasets.ingest import ingest

        ingest(settings.data, root, manifest)
    elif step == "validate":
        from thorax.events import reporting
        from thorax.validation.gate import gate

        shutil.rmtree(settings.var, ignore_errors=True)  # so that each image is decoded
        with reporting("validate") as report:
            gate(manifest, root, settings, folder / "validated", report)
    elif step == "preprocess":
        from thorax.preprocessing import build_store

        shutil.rmtree(folder / "store", ignore_errors=True)
        build_store(settings.data, settings.split, settings.preprocess, manifest, root, folder / "store")
    elif step == "calibrate":
        from thorax.calibration import calibrate

        calibrate(folder / "trained", settings.calibration, folder / "calibrated", folder / "store")
    elif step == "evaluate":
        from thorax.evaluation import evaluate

        trained, calibrated, store = (folder / name for name in ("trained", "calibrated", "store"))
        out = folder / "evaluated"
        evaluate(trained, calibrated, store, settings.evaluation, out, "Made up", synthetic=True)
    else:
        from thorax.monitoring.examine import examine

        examine(
            settings, bundle=folder / "log", version="1", place=folder / "log" / "predictions.db",
            out=folder / "drift", quick=True, remember=False,
        )  # fmt: skip


def _settings(folder: Path) -> "Settings":
    """Every row is looked at for drift, none is sampled; the many alike images of a few phantoms pass."""
    from thorax.settings import Settings

    table = {name: name for name in ("age", "sex", "view")}
    return Settings.model_validate(
        {
            "home": folder,
            "data": {"source": "table", "root": folder / "data", "findings": list(FINDINGS), "table": table},
            "preprocess": {"size": SIZE},
            "monitor": {"sample_rows": None},
        }
    )


if __name__ == "__main__":
    _run(Path(sys.argv[1]), sys.argv[2])
