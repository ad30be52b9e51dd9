"""The fault suite: every kind of corruption, one at a time, is caught by the right expectation in the right row.

A fault may be refused when the table is read (the message names the file, line or value), be caught by validation, or be
harmless: then the manifest and the pictures are those of the good dataset.
"""
# ruff: noqa: E501 - the catalogue is a table, and reads as one

import io
import os
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from thorax.datasets.ingest import ingest
from thorax.errors import InputError
from thorax.manifest import COLUMNS, findings_of, read_boxes, read_manifest, write_boxes
from thorax.preprocessing import splits
from thorax.preprocessing.prepare import prepare
from thorax.settings import Data, Preprocess, Split, Validation
from thorax.validation import validate

pytestmark = pytest.mark.slow

ONE, TWO, SIX = "00000003_000.png", "00000007_001.png", "00000011_000.png"
TABLE, BOXES = "Data_Entry_2017_v2020.csv", "BBox_List_2017.csv"
#: The good dataset is small: a single fault is more than 2% of its boxes or ages.
BOUNDS = Validation(max_unreadable_share=0.05, max_faulty_share=0.05)


@dataclass
class Case:
    """A copy of the good dataset, and the splits and settings it is judged with."""

    root: Path
    data: Data
    bounds: Validation = BOUNDS
    splits: dict[str, str] = field(default_factory=dict)
    manifest: Callable[[pd.DataFrame], pd.DataFrame] = lambda manifest: manifest
    boxes: Callable[[pd.DataFrame], pd.DataFrame] = lambda boxes: boxes
    after_ingest: Callable[[], None] = lambda: None

    def image(self, name: str) -> Path:
        return self.root / "images" / name

    def pixels(self, name: str) -> np.ndarray:
        return np.asarray(Image.open(self.image(name)))

    def write(self, name: str, content: bytes) -> None:
        self.image(name).unlink(missing_ok=True)  # a hard link to the good file
        self.image(name).write_bytes(content)

    def draw(self, name: str, pixels: object, kind: str = "PNG") -> None:
        stream = io.BytesIO()
        image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(np.ascontiguousarray(pixels))
        image.save(stream, kind)
        self.write(name, stream.getvalue())

    def edit(self, table: str, change: Callable[[str], str], encoding: str = "utf-8") -> None:
        path = self.root / table
        text = change(path.read_text())
        path.unlink()
        path.write_bytes(text.encode(encoding))

    def row(self, name: str, old: str, new: str, table: str = TABLE) -> None:
        def change(text: str) -> str:
            lines = text.split("\n")
            place = next(number for number, line in enumerate(lines) if line.startswith(name))
            assert old in lines[place], (old, lines[place])
            lines[place] = lines[place].replace(old, new, 1)
            return "\n".join(lines)

        self.edit(table, change)

    def field_of(self, name: str, column: int, value: str) -> None:
        def change(text: str) -> str:
            lines = text.split("\n")
            place = next(number for number, line in enumerate(lines) if line.startswith(name))
            fields = lines[place].split(",")
            fields[column] = value
            lines[place] = ",".join(fields)
            return "\n".join(lines)

        self.edit(TABLE, change)


def dicom(case: Case, **tags: object) -> bytes:
    """The picture of ONE as a DICOM file."""
    from pydicom.dataset import FileDataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian

    levels = case.pixels(ONE).astype(np.uint16) * 16
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = "1.2.840.10008.5.1.4.1.1.1", "1.2.3"
    dataset = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    values: dict[str, object] = {
        "Modality": "DX", "PhotometricInterpretation": "MONOCHROME2", "SamplesPerPixel": 1, "Rows": 96, "Columns": 96,
        "BitsAllocated": 16, "BitsStored": 12, "HighBit": 11, "PixelRepresentation": 0, "PixelData": levels.tobytes(),
    }  # fmt: skip
    for name, value in (values | tags).items():
        if value is not None:
            setattr(dataset, name, value)
    stream = io.BytesIO()
    dataset.save_as(stream, enforce_file_format=True)
    return stream.getvalue()


def shift_labels(case: Case) -> None:
    def change(text: str) -> str:
        head, *lines = text.strip().split("\n")
        fields = [line.split(",") for line in lines]
        labels = [row[1] for row in fields]
        for row, label in zip(fields, labels[-1:] + labels[:-1], strict=True):
            row[1] = label
        return "\n".join([head, *(",".join(row) for row in fields)]) + "\n"

    case.edit(TABLE, change)


def add_column(text: str, name: str, value: str) -> str:
    head, *lines = text.strip().split("\n")
    return "\n".join([f"{head},{name}", *(f"{line},{value}" for line in lines)]) + "\n"


def swap_columns(first: int, second: int) -> Callable[[Case], None]:
    def fault(case: Case) -> None:
        def change(text: str) -> str:
            lines = [line.split(",") for line in text.strip().split("\n")]
            for row in lines[1:]:
                row[first], row[second] = row[second], row[first]
            return "\n".join(",".join(row) for row in lines) + "\n"

        case.edit(TABLE, change)

    return fault


def photograph(case: Case) -> None:
    y, x = np.mgrid[0:96, 0:96]
    case.draw(ONE, np.stack([x * 2, 255 - y * 2, (x * y) % 255], axis=2).astype(np.uint8), "JPEG")


def change_manifest(**cells: object) -> Callable[[Case], None]:
    """Set cells of ONE's row after ingest, as a faulty adapter would."""

    def fault(case: Case) -> None:
        def change(manifest: pd.DataFrame) -> pd.DataFrame:
            place = manifest.index[manifest["image_id"] == ONE][0]
            for column, value in cells.items():
                if isinstance(value, str) or value is None:
                    manifest[column] = manifest[column].astype(object)
                manifest.loc[place, column] = value
            return manifest

        case.manifest = change

    return fault


def change_box(**cells: float) -> Callable[[Case], None]:
    def fault(case: Case) -> None:
        case.boxes = lambda boxes: boxes.assign(**{
            name: boxes[name].mask(boxes.index == 0, value) for name, value in cells.items()
        })  # fmt: skip

    return fault


def scale_boxes(case: Case) -> None:
    case.boxes = lambda boxes: boxes.assign(**{name: boxes[name] * 96 / 1024 for name in "xywh"})


def leak(case: Case) -> None:
    case.splits = {"00000003_000.png": "train", "00000003_001.png": "test"}


def near_copy(case: Case) -> None:
    case.draw(TWO, np.clip(case.pixels(ONE).astype(float) * 0.9 + 8, 0, 255).astype(np.uint8), "PNG")
    case.splits = {ONE: "train", "00000003_001.png": "train", TWO: "test", "00000007_000.png": "test"}


def exact_copy(case: Case) -> None:
    case.write(TWO, case.image(ONE).read_bytes())


def unreferenced(case: Case) -> None:
    shutil.copy(case.image(ONE), case.root / "images" / "99999999_000.png")


def all_of_one(case: Case) -> None:
    case.manifest = lambda manifest: manifest.assign(Edema=np.where(manifest.index < 2, 1.0, 0.0))


def drop_column(case: Case) -> None:
    case.manifest = lambda manifest: manifest.drop(columns="age")


def no_rows(case: Case) -> None:
    case.manifest = lambda manifest: manifest.iloc[:0]


def change_later(case: Case) -> None:
    case.after_ingest = lambda: case.draw(ONE, case.pixels(TWO))


def many(count: int, fault: Callable[[Case, str], None]) -> Callable[[Case], None]:
    def run(case: Case) -> None:
        for name in sorted(path.name for path in (case.root / "images").iterdir())[:count]:
            fault(case, name)

    return run


CAUGHT, REFUSED, HARMLESS = "caught", "refused", "harmless"
F = tuple[str, Callable[[Case], None], str, str, str]
#: What is wrong; how it is made; what becomes of it; by which expectation, or words of the refusal; in which row.
FAULTS: list[F] = [
    # Pictures.
    ("truncated PNG", lambda c: c.write(ONE, c.image(ONE).read_bytes()[:3000]), CAUGHT, "files_readable", ONE),
    ("empty file", lambda c: c.write(ONE, b""), CAUGHT, "files_readable", ONE),
    ("text named PNG", lambda c: c.write(ONE, b"404 Not Found"), CAUGHT, "files_readable", ONE),
    ("JPEG named PNG", lambda c: c.draw(ONE, c.pixels(ONE), "JPEG"), HARMLESS, "", ""),
    ("too many unreadable", many(8, lambda c, n: c.write(n, b"x")), CAUGHT, "files_mostly_readable", "00000001_000.png"),
    ("1×1 image", lambda c: c.draw(ONE, np.zeros((1, 1), np.uint8)), CAUGHT, "pictures_large_enough", ONE),
    ("all black", lambda c: c.draw(ONE, np.zeros((96, 96), np.uint8)), CAUGHT, "pictures_not_blank", ONE),
    ("all white", lambda c: c.draw(ONE, np.full((96, 96), 255, np.uint8)), CAUGHT, "pictures_not_blank", ONE),
    ("burnt out", lambda c: c.draw(ONE, (c.pixels(ONE) > 90).astype(np.uint8) * 255), CAUGHT, "pictures_not_saturated", ONE),
    ("12 bit shifted into 8", lambda c: c.draw(ONE, c.pixels(ONE) // 16 * 9), CAUGHT, "pictures_with_depth", ONE),
    ("16 bit cut to its low 8", lambda c: c.draw(ONE, (c.pixels(ONE).astype(int) * 257 * 7 % 256).astype(np.uint8)), CAUGHT, "pictures_of_chests", ONE),
    ("negative", lambda c: c.draw(ONE, 255 - c.pixels(ONE)), CAUGHT, "pictures_not_inverted", ONE),
    ("turned by a quarter", lambda c: c.draw(ONE, np.rot90(c.pixels(ONE))), CAUGHT, "pictures_upright", ONE),
    ("upside down", lambda c: c.draw(ONE, c.pixels(ONE)[::-1]), CAUGHT, "pictures_upright", ONE),
    ("noise", lambda c: c.draw(ONE, np.random.default_rng(0).integers(0, 255, (96, 96), dtype=np.uint8)), CAUGHT, "pictures_of_chests", ONE),
    ("a photograph", photograph, CAUGHT, "pictures_grey", ONE),
    ("printing inks", lambda c: c.draw(ONE, Image.fromarray(c.pixels(ONE)).convert("CMYK"), "JPEG"), CAUGHT, "files_readable", ONE),
    ("grey as RGBA", lambda c: c.draw(ONE, Image.fromarray(c.pixels(ONE)).convert("RGBA")), HARMLESS, "", ""),
    ("a CT slice", lambda c: c.write(ONE, dicom(c, Modality="CT")), CAUGHT, "files_readable", ONE),
    ("a hand", lambda c: c.write(ONE, dicom(c, BodyPartExamined="HAND")), CAUGHT, "files_readable", ONE),
    ("DICOM without pixels", lambda c: c.write(ONE, dicom(c, PixelData=None)), CAUGHT, "files_readable", ONE),
    ("most are negatives", many(40, lambda c, n: c.draw(n, 255 - c.pixels(n))), CAUGHT, "pictures_mostly_sound", "00000001_000.png"),
    ("changed after ingest", change_later, CAUGHT, "files_unchanged", ONE),
    ("file missing", lambda c: c.image(ONE).unlink(), CAUGHT, "files_present", ONE),
    ("file without a row", unreferenced, CAUGHT, "files_listed", "image files"),
    # The table as text.
    ("byte-order mark", lambda c: c.edit(TABLE, lambda t: t, "utf-8-sig"), HARMLESS, "", ""),
    ("CRLF", lambda c: c.edit(TABLE, lambda t: t.replace("\n", "\r\n")), HARMLESS, "", ""),
    ("Latin-1", lambda c: c.edit(TABLE, lambda t: add_column(t, "Ort", "München"), "latin-1"), HARMLESS, "", ""),
    ("a date in the future", lambda c: c.edit(TABLE, lambda t: add_column(t, "Study Date", "2099-01-01")), HARMLESS, "", ""),
    ("UTF-16", lambda c: c.edit(TABLE, lambda t: t, "utf-16"), HARMLESS, "", ""),
    ("semicolons", lambda c: c.edit(TABLE, lambda t: t.replace(",", ";")), HARMLESS, "", ""),
    ("blanks around labels", lambda c: c.edit(TABLE, lambda t: "\n".join(",".join([f[0], f" {f[1]} ", *f[2:]]) if len(f := line.split(",")) > 2 and f[0][:1] == "0" else line for line in t.split("\n"))), HARMLESS, "", ""),
    ("a label outside the vocabulary", lambda c: c.field_of(ONE, 1, "Efusion"), REFUSED, "Efusion", ""),
    ("a column missing", lambda c: c.edit(TABLE, lambda t: t.replace("Finding Labels", "Labels", 1)), REFUSED, "Finding Labels", ""),
    ("a row cut short", lambda c: c.edit(TABLE, lambda t: t.rstrip("\n").rsplit(",", 4)[0] + "\n"), REFUSED, "line 81", ""),
    ("an image twice", lambda c: c.edit(TABLE, lambda t: t + t.strip().split("\n")[-1] + "\n"), REFUSED, "twice", ""),
    ("an empty table", lambda c: c.edit(TABLE, lambda t: ""), REFUSED, "empty", ""),
    # What the table says.
    ("negative age", lambda c: c.field_of(ONE, 4, "-4"), CAUGHT, "ages_in_range", ONE),
    ("age over 400", lambda c: c.field_of(ONE, 4, "412"), CAUGHT, "ages_in_range", ONE),
    ("ages in days", lambda c: c.edit(TABLE, lambda t: "\n".join(",".join([*f[:4], str(int(f[4]) * 365), *f[5:]]) if len(f := line.split(",")) > 6 and f[4].isdigit() else line for line in t.split("\n"))), CAUGHT, "ages_mostly_in_range", ONE),
    ("a sex that is none", lambda c: c.field_of(ONE, 5, "X"), CAUGHT, "sexes_known", ONE),
    ("a view that is none", lambda c: c.field_of(ONE, 6, "OBLIQUE"), CAUGHT, "views_known", ONE),
    ("sex and view swapped", swap_columns(5, 6), CAUGHT, "sexes_known", ONE),
    ("age and patient swapped", swap_columns(3, 4), CAUGHT, "patients_of_one_sex", ""),
    ("labels shifted by a row", shift_labels, CAUGHT, "boxes_mostly_labelled", ""),
    ("No Finding beside a finding", lambda c: c.field_of(ONE, 1, "No Finding|Edema"), CAUGHT, "labels_consistent", ONE),
    ("two people under one number", lambda c: (c.field_of(ONE, 5, "F"), c.field_of("00000003_001.png", 5, "M")), CAUGHT, "patients_of_one_sex", "3"),
    ("a patient ages 60 years between studies", lambda c: (c.field_of(ONE, 4, "5"), c.field_of("00000003_001.png", 4, "70")), CAUGHT, "patients_of_one_lifetime", "3"),
    ("hardly any positives", all_of_one, CAUGHT, "positives_enough", "Edema"),
    ("a finding nobody labels", lambda c: setattr(c, "data", c.data.model_copy(update={"findings": ("Effusion", "Fracture")})), REFUSED, "no labels for Fracture", ""),
    # The manifest as an adapter might spoil it.
    ("label 2", change_manifest(Edema=2.0), CAUGHT, "labels_known", ONE),
    ("path out of the root", change_manifest(path="../secret.png"), CAUGHT, "paths_inside", ONE),
    ("path that names the finding", change_manifest(path="images/edema/x.png"), CAUGHT, "paths_tell_nothing", ONE),
    ("no patient", change_manifest(patient_id=None), CAUGHT, "patients_present", ONE),
    ("another patient than the name says", lambda c: c.field_of(ONE, 3, "40"), CAUGHT, "patients_as_named", ONE),
    ("one file under two rows", change_manifest(path=f"images/{TWO}"), CAUGHT, "paths_unique", ONE),
    ("a column dropped", drop_column, CAUGHT, "columns_complete", ""),
    ("no rows", no_rows, CAUGHT, "table_not_empty", ""),
    # Leaks.
    ("a patient in two splits", leak, CAUGHT, "patients_in_one_split", "3"),
    ("an image under two names", exact_copy, CAUGHT, "files_unique", ONE),
    ("a near copy in another split", near_copy, CAUGHT, "looks_in_one_split", f"{ONE} / {TWO}"),
    # Boxes.
    ("box outside", change_box(x=0.9, w=0.4), CAUGHT, "boxes_inside", "box 0"),
    ("box without numbers", change_box(x=float("nan")), CAUGHT, "boxes_inside", "box 0"),
    ("box without area", change_box(w=0.0), CAUGHT, "boxes_inside", "box 0"),
    ("boxes in pixels of another size", scale_boxes, CAUGHT, "boxes_spread", "to the right"),
    ("box twice", lambda c: setattr(c, "boxes", lambda b: pd.concat([b, b.iloc[:1]], ignore_index=True)), CAUGHT, "boxes_unique", "box 0"),
    ("box of an unknown finding", lambda c: setattr(c, "boxes", lambda b: b.assign(finding=b["finding"].mask(b.index == 0, "Tumour"))), CAUGHT, "boxes_of_findings", "Tumour"),
]  # fmt: skip


def judge(case: Case, folder: Path) -> tuple[str, pd.DataFrame, pd.DataFrame | None]:
    """Ingest and validate: what became of it, its failures, and its manifest."""
    try:
        ingest(case.data, case.root, folder)
    except InputError as error:
        return str(error), pd.DataFrame(), None
    manifest = case.manifest(read_manifest(folder / "manifest.parquet"))
    if set(COLUMNS) <= set(manifest.columns):
        write_boxes(case.boxes(read_boxes(folder / "boxes.parquet")), folder / "boxes.parquet")
    manifest.to_parquet(folder / "manifest.parquet")
    case.after_ingest()
    assigned = None
    if set(COLUMNS) <= set(manifest.columns) and len(manifest):
        assigned = splits.assign(manifest.fillna({"patient_id": "?"}), findings_of(manifest), Split())
        for name, split in case.splits.items():
            assigned[name] = split
    told = None
    if assigned is not None:
        told = prepare(manifest, case.root, Preprocess(size=32, workers=1), [folder / "shards"]).facts
    result = validate(folder, case.data, case.bounds, folder / "result", assigned, told)
    failed = result.failures[["expectation", "key"]]
    named = [outcome.name for outcome in result.critical + result.warnings]
    whole = pd.DataFrame({"expectation": named, "key": ""})
    assert all(not outcome.error for outcome in result.outcomes), [outcome.error for outcome in result.outcomes]
    return "", pd.concat([failed, whole], ignore_index=True), manifest


@pytest.fixture(scope="module")
def reference(good_dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    """The manifest of the good dataset, in which nothing fails."""
    folder = tmp_path_factory.mktemp("reference")
    data = Data(source="nih", findings=("Effusion", "Edema", "Cardiomegaly"))
    refusal, failures, manifest = judge(Case(good_dataset, data), folder)
    assert refusal == ""
    assert failures.empty, failures
    assert manifest is not None
    return manifest


@pytest.fixture(scope="module")
def told() -> list[str]:
    """Lines of the table that the last test prints."""
    return []


@pytest.mark.parametrize(("name", "fault", "fate", "by", "where"), FAULTS, ids=[fault[0] for fault in FAULTS])
def test_no_fault_passes_unseen(
    name: str,
    fault: Callable[[Case], None],
    fate: str,
    by: str,
    where: str,
    good_dataset: Path,
    reference: pd.DataFrame,
    data: Data,
    tmp_path: Path,
    told: list[str],
) -> None:
    root = tmp_path / "data"
    shutil.copytree(good_dataset, root, copy_function=os.link)
    case = Case(root, data)
    fault(case)
    refusal, failures, manifest = judge(case, tmp_path / "ingested")
    line = f"{name:<42} {fate:<9} {by or '-':<26} {where}"
    if fate == REFUSED:
        assert by in refusal, refusal
        told.append(line)
        return
    assert refusal == ""
    assert manifest is not None
    if fate == CAUGHT:
        keys = failures.loc[failures["expectation"] == by, "key"].tolist()
        assert keys, f"{by} did not fail; these did: {failures.to_dict('list')}"
        first_box = reference_box(tmp_path) if where == "box 0" else where
        assert any(first_box in key for key in keys), keys
        told.append(line)
        return
    assert failures.empty, failures
    pd.testing.assert_frame_equal(manifest.drop(columns="sha256"), reference.drop(columns="sha256"))
    before, after = (np.asarray(Image.open(folder / "images" / ONE).convert("L")) for folder in (good_dataset, root))
    assert np.abs(before.astype(int) - after).mean() < 3
    told.append(line)


def reference_box(folder: Path) -> str:
    box = read_boxes(folder / "ingested" / "boxes.parquet").iloc[0]
    return f"{box['image_id']} / {box['finding']}"


def test_the_table_of_faults(told: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with capsys.disabled():
        sys.stdout.write(
            "\n" + "\n".join([f"{'fault':<42} {'fate':<9} {'by':<26} row", *told, f"{len(told)} faults\n"])
        )
    assert len({fault[0] for fault in FAULTS}) >= 40
