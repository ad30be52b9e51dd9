"""Parts of `make bench-data` that look at tables and revisions: the gate's time, near-duplicates, faults, DVC."""

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from commands.bench.figures import Figure, at_least, at_most, told

if TYPE_CHECKING:
    import pandas as pd

    from thorax.settings import Data

_NIH_ROWS, _CHEXPERT_ROWS = 112_120, 223_000
_PATIENTS = 30_805


def tables(real: Path | None, scratch: Path) -> list[Figure]:
    """How long the gate takes on NIH's published table, on one of twice its size, and on one of CheXpert's size."""
    from thorax.datasets.ingest import adapt
    from thorax.findings import CHEXPERT14, NIH14
    from thorax.settings import Data

    nih, chexpert = Data(source="nih", findings=NIH14), Data(source="chexpert", findings=CHEXPERT14)
    root = _nih_folder(real, scratch / "nih")
    began = time.perf_counter()
    published = adapt(nih, root).manifest
    read = time.perf_counter() - began
    began = time.perf_counter()
    _validated(published.head(3000), nih, scratch / "small")
    first = time.perf_counter() - began
    once = _validated(published, nih, scratch / "once")
    again = {name: "again " + published[name] for name in ("image_id", "patient_id")}
    twice = _validated(_joined(published, published.assign(**again)), nih, scratch / "twice")
    made = _chexpert_folder(scratch / "chexpert")
    began = time.perf_counter()
    other = adapt(chexpert, made).manifest
    other_read = time.perf_counter() - began
    large = _validated(other, chexpert, scratch / "large")
    part = f"Tables, in seconds ({'the published one' if real is not None else 'made up'})"
    return [
        told(part, f"NIH's table of {len(published):,} rows: read", read),
        told(part, "its first 3,000 rows validated, with the import of Great Expectations", first),
        at_most(part, "validated", once, 5.0),
        at_most(part, "one of twice the size, times as long", twice / once, 2.2),
        told(part, f"CheXpert's layout, {len(other):,} rows: read", other_read),
        at_most(part, "CheXpert's layout: validated", large, 10.0),
    ]


def _joined(first: "pd.DataFrame", second: "pd.DataFrame") -> "pd.DataFrame":
    import pandas as pd

    return pd.concat([first, second], ignore_index=True)


def _validated(manifest: "pd.DataFrame", data: "Data", folder: Path) -> float:
    """Return the seconds of a validation of the tables alone, splits and all."""
    import pandas as pd

    from thorax.manifest import BOX_COLUMNS, write_boxes, write_manifest
    from thorax.preprocessing import splits
    from thorax.settings import Split, Validation
    from thorax.validation import validate

    folder.mkdir(parents=True)
    listed = manifest.assign(width=1024, height=1024, sha256="", path="images/" + manifest["image_id"])
    write_manifest(listed, folder / "manifest.parquet")
    write_boxes(pd.DataFrame(columns=list(BOX_COLUMNS)), folder / "boxes.parquet")
    assigned = splits.assign(listed, data.classes, Split())
    began = time.perf_counter()
    validate(folder, data, Validation(), folder / "out", assigned)
    return time.perf_counter() - began


def _nih_folder(real: Path | None, folder: Path) -> Path:
    """A folder with NIH's label table, the published one or one of its size, and no image."""
    import gzip

    (folder / "images").mkdir(parents=True)
    target = folder / "Data_Entry_2017_v2020.csv"
    if real is not None:
        target.write_bytes(gzip.decompress((real / "labels" / "Data_Entry_2017_v2020.csv.gz").read_bytes()))
        return folder
    import numpy as np

    from thorax.findings import NIH14

    rng = np.random.default_rng(0)
    patients = np.sort(rng.integers(1, _PATIENTS, _NIH_ROWS))
    study = np.arange(_NIH_ROWS) - np.searchsorted(patients, patients)
    ages, views = rng.integers(1, 95, _PATIENTS + 1), rng.choice(["PA", "AP"], _NIH_ROWS)
    labels = np.where(rng.random(_NIH_ROWS) < 0.5, "No Finding", rng.choice(NIH14, _NIH_ROWS))
    rows = [
        f"{patient:08}_{number:03}.png,{label},{number},{patient},{ages[patient]},{'FM'[patient % 2]},{view}"
        for patient, number, label, view in zip(patients, study, labels, views, strict=True)
    ]
    head = "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View Position"
    target.write_text("\n".join([head, *rows]) + "\n", encoding="utf-8")
    return folder


def _chexpert_folder(folder: Path) -> Path:
    """A folder with a label table of CheXpert's size and layout, made up, and no image."""
    import numpy as np

    from thorax.findings import CHEXPERT14

    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    words = np.array(["", "", "", "1.0", "0.0", "-1.0"])
    names = [{"Effusion": "Pleural Effusion"}.get(name, name.replace("_", " ")) for name in CHEXPERT14]
    patients = np.sort(rng.integers(1, 64_541, _CHEXPERT_ROWS))
    labels = words[rng.integers(0, len(words), (_CHEXPERT_ROWS, len(names)))]
    labels[:, names.index("No Finding")] = ""
    rows = [
        f"CheXpert-v1.0-small/train/patient{patient:05}/study{number}/view1_frontal.jpg,"
        f"{'Female' if patient % 2 else 'Male'},{20 + patient % 70},Frontal,AP,{','.join(row)}"
        for number, (patient, row) in enumerate(zip(patients, labels, strict=True))
    ]
    head = ",".join(["Path", "Sex", "Age", "Frontal/Lateral", "AP/PA", *names])
    (folder / "train.csv").write_text("\n".join([head, *rows]) + "\n", encoding="utf-8")
    return folder


def neighbours() -> list[Figure]:
    """How long an index takes to find near-duplicates among a hundred thousand hashes, and whether it finds all."""
    import numpy as np

    from thorax.imaging.neighbours import near_pairs

    # Correlated bits, as those of radiographs are: a few latent factors decide most of them.
    rng = np.random.default_rng(0)
    latent = rng.normal(size=(100_000, 60)).astype(np.float32) @ rng.normal(size=(60, 256)).astype(np.float32)
    hashes = np.packbits(latent + rng.normal(0, 2, latent.shape).astype(np.float32) > 0, axis=1)
    for number in range(200):
        bits = np.unpackbits(hashes[number])
        bits[rng.choice(256, int(rng.integers(0, 25)), replace=False)] ^= 1
        hashes[-1 - number] = np.packbits(bits)
    began = time.perf_counter()
    pairs = near_pairs(hashes, 24)
    seconds = time.perf_counter() - began
    found = set(zip(pairs.first.tolist(), pairs.second.tolist(), strict=True))
    planted = sum((number, 99_999 - number) in found for number in range(200))
    part = "Near-duplicates among 100,000 hashes"
    return [
        at_most(part, "seconds, within 24 of 256 bits", seconds, 10.0),
        at_least(part, "found of 200 that were planted", planted, 200, ".0f"),
    ]


def faults() -> list[Figure]:
    """The fault suite of the tests: each kind of corruption, and what becomes of it."""
    folder = Path(__file__).resolve().parents[2]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/thorax/validation/test_faults.py"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    lines = [line for line in done.stdout.splitlines() if line[43:52].strip() in ("caught", "refused", "harmless")]
    part = "Faults put into a good dataset, one at a time"
    told_of = [
        Figure(part, line[:42].strip(), f"{line[43:52].strip()} {line[53:79].strip().strip('-')}".strip())
        for line in lines
    ]
    missed = done.returncode != 0
    return [
        *told_of,
        at_least(part, "kinds of fault, none unseen", 0.0 if missed else len(lines), 40, ".0f"),
    ]


def versions(scratch: Path, count: int) -> list[Figure]:
    """What DVC takes for a folder of very many files, loose and in shards."""
    import shutil

    import numpy as np

    from thorax.datasets import pack, versioning

    home = scratch / "versions"
    (home / "data" / "images").mkdir(parents=True)
    rng = np.random.default_rng(0)
    for number in range(count):
        (home / "data" / "images" / f"{number:08}_000.png").write_bytes(rng.bytes(8192))
    (home / "data" / "Data_Entry_2017.csv").write_text("Image Index\n")
    subprocess.run(("git", "init", "-q"), cwd=home, check=True)
    subprocess.run((sys.executable, "-m", "dvc", "init", "--quiet"), cwd=home, check=True)
    (home / ".dvc" / "config").write_text(
        f"[core]\n    analytics = false\n    remote = local\n['remote \"local\"']\n    url = {scratch / 'remote'}\n"
    )
    part = f"DVC: {count:,} files of 8 kB, in seconds"
    found: list[Figure] = []

    def timed(what: str, work: Callable[[], object]) -> None:
        began = time.perf_counter()
        work()
        found.append(told(part, what, time.perf_counter() - began))

    def wipe() -> None:
        for folder in (home / "data", home / ".dvc" / "cache"):
            shutil.rmtree(folder, ignore_errors=True)

    for how in ("loose", "in shards"):
        if how == "in shards":
            timed("packed into shards", lambda: pack.pack(home / "data", home / "packed"))
            shutil.rmtree(home / "data")
            (home / "packed").rename(home / "data")
        timed(f"{how}: added", lambda: versioning.track(home, home / "data"))
        timed(f"{how}: compared with its revision", lambda: versioning.state(home, home / "data"))
        timed(f"{how}: pushed", lambda: versioning.push(home, home / "data"))
        wipe()
        timed(f"{how}: pulled", lambda: versioning.pull(home, home / "data"))
    timed("unpacked, each image checked", lambda: pack.unpack(home / "data", home / "loose"))
    return found
