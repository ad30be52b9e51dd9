"""How long a report takes, and in how much memory: each measurement in a process of its own.

python -m commands.bench.monitor_speed FOLDER KIND    measures one KIND of report on the log that lies in FOLDER
"""

import json
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from commands.bench.watch import peak_mib

if TYPE_CHECKING:
    import pandas as pd

FINDINGS = ("Pleural_Effusion", "Edema", "Cardiomegaly")
KINDS = {
    "report": "the whole report, Evidently's page and all",
    "verdict": "the verdict and our page alone (`--quick`)",
    "all rows": "likewise, looking at every row",
    "preset": "Evidently's preset on the raw frames, page and all",
}
_REFERENCE = 5000
_BATCH = 50_000


def prepare(folder: Path, rows: int) -> None:
    """Write a log of `rows` predictions without drift, and the reference; kept where they lie already."""
    from thorax.prediction_log import PredictionLog
    from thorax.prediction_log.places import open_store

    if (folder / "whole").is_file():
        return
    folder.mkdir(parents=True, exist_ok=True)
    import numpy as np
    import pandas as pd

    sample(_REFERENCE, 1).assign(group=np.arange(_REFERENCE) // 2).to_parquet(folder / "reference.parquet")
    place = folder / "predictions.db"
    place.unlink(missing_ok=True)
    PredictionLog(place, FINDINGS).close()
    store = open_store(place)
    begin = pd.Timestamp("2026-01-01", tz="UTC")
    for start in range(0, rows, _BATCH):
        count = min(_BATCH, rows - start)
        frame = sample(count, 2 + start)
        times = begin + pd.to_timedelta(np.arange(start, start + count), unit="s")
        frame.insert(0, "request_id", [f"{number:032x}" for number in range(start, start + count)])
        frame.insert(1, "time", times.strftime("%Y-%m-%dT%H:%M:%S.000Z"))
        frame.insert(2, "model_version", "1")
        frame.insert(3, "image_digest", frame["request_id"])
        frame.insert(4, "took_ms", 30.0)
        store.insert_many("predictions", frame.to_dict("records"))
    store.close()
    (folder / "whole").touch()


def sample(rows: int, seed: int) -> "pd.DataFrame":
    """Return rows with every column that a log of three findings has."""
    import numpy as np
    import pandas as pd

    from thorax.prediction_log import EMBEDDING, STATISTICS

    rng = np.random.default_rng(seed)
    latent = rng.normal(0, 1, (rows, len(FINDINGS)))
    frame: dict[str, Any] = {name: rng.gamma(3, 1, rows) + 0.3 * latent[:, 0] for name in STATISTICS}
    frame |= {"bits": np.full(rows, 8.0), "view": rng.choice(["PA", "AP"], rows), "sex": rng.choice(["F", "M"], rows)}
    frame |= {"age": rng.integers(20, 90, rows).astype(float), "ood_score": rng.gamma(5, 1, rows)}
    frame["ood"] = (frame["ood_score"] > 10).astype(int)
    for at, finding in enumerate(FINDINGS):
        p = 1 / (1 + np.exp(-1.5 * latent[:, at]))
        frame[f"p_{finding}"], frame[f"d_{finding}"] = p, (p > 0.4).astype(int)
        frame[f"c_{finding}"] = np.where(p > 0.7, "present", np.where(p < 0.3, "absent", "uncertain"))
        frame[f"u_{finding}"] = -(p * np.log2(p) + (1 - p) * np.log2(1 - p))
        for kind in ("heat_x", "heat_y", "heat_spread", "heat_outside", "heat_agreement"):
            frame[f"{kind}_{finding}"] = rng.normal(0.5, 0.1, rows)
    frame |= {name: rng.normal(0, 1, rows) for name in EMBEDDING}
    return pd.DataFrame(frame)


def measure(folder: Path, kind: str, rounds: int = 1) -> dict[str, float]:
    """Measure one kind of report in processes of their own; the medians count.

    Returns:
        `seconds` of the call, `whole` of the process, `mib` at its peak, and `columns` that were compared.
    """
    done = [_once(folder, kind) for _ in range(rounds)]
    return {name: statistics.median(one[name] for one in done) for name in done[0]}


def _once(folder: Path, kind: str) -> dict[str, float]:
    begin = time.perf_counter()
    command = [sys.executable, "-m", "commands.bench.monitor_speed", str(folder), kind]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found: dict[str, float] = json.loads(done.stdout.strip().splitlines()[-1])
    return found | {"whole": time.perf_counter() - begin}


def _run(folder: Path, kind: str) -> None:
    import pandas as pd

    from thorax.monitoring.examine import examine
    from thorax.prediction_log import read_log
    from thorax.settings import Settings

    monitor = {"sample_rows": None} if kind == "all rows" else {}
    settings = Settings.model_validate({"home": folder, "monitor": monitor})
    place = folder / "predictions.db"
    begin = time.perf_counter()
    if kind == "preset":
        from thorax.monitoring.evidently import preset

        preset(read_log(place), pd.read_parquet(folder / "reference.parquet"), folder / "preset.html")
        columns = 0
    else:
        out = folder / kind.replace(" ", "-")
        found = examine(
            settings, bundle=folder, version="1", place=place, out=out, quick=kind != "report", remember=False
        )
        columns = len(found.drift.columns)
    seconds = time.perf_counter() - begin
    used = peak_mib()
    sys.stdout.write(json.dumps({"seconds": seconds, "mib": used, "columns": columns}) + "\n")


if __name__ == "__main__":
    _run(Path(sys.argv[1]), sys.argv[2])
