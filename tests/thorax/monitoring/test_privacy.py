"""Nothing that identifies a person is in any log, report or alert: planted words are searched for in every byte."""

import io
import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import DigitalXRayImageStorageForPresentation, ExplicitVRLittleEndian, generate_uid

from thorax.bundle import Bundle
from thorax.imaging import read_image_bytes
from thorax.monitoring.alerts import post, write_gauges
from thorax.monitoring.examine import examine
from thorax.monitoring.history import History, history_path
from thorax.monitoring.incidents import Incidents
from thorax.monitoring.notices import notice_of
from thorax.monitoring.overview import render_history
from thorax.monitoring.retrospect import performance_of
from thorax.monitoring.truth import keep, read_labels
from thorax.prediction import new_request_id
from thorax.prediction_log import PredictionLog, read_feedback
from thorax.settings import Settings

PLANTED = (
    b"Zywiecka",
    b"Wilhelmina",
    b"PLANTED4711",
    b"19610318",
    b"1961-03-18",
    b"ACC0815",
    b"StBertholdus",
    b"Dr^Quux",
)
BEGIN = datetime(2026, 1, 1, tzinfo=UTC)


def dicom(rng: np.random.Generator) -> bytes:
    """A radiograph whose tags name a person, a birth date, an accession and a hospital."""
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = DigitalXRayImageStorageForPresentation
    meta.MediaStorageSOPInstanceUID = generate_uid()
    data = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    data.SOPClassUID, data.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
    data.PatientName, data.PatientID, data.PatientBirthDate = "Zywiecka^Wilhelmina", "PLANTED4711", "19610318"
    data.AccessionNumber, data.InstitutionName, data.ReferringPhysicianName = "ACC0815", "StBertholdus", "Dr^Quux"
    data.StudyDate, data.PatientAge, data.PatientSex, data.ViewPosition = "20260101", "064Y", "F", "PA"
    data.Modality, data.PhotometricInterpretation, data.SamplesPerPixel = "DX", "MONOCHROME2", 1
    data.Rows = data.Columns = 64
    data.BitsAllocated, data.BitsStored, data.HighBit, data.PixelRepresentation = 16, 12, 11, 0
    data.PixelData = rng.integers(0, 4095, (64, 64)).astype(np.uint16).tobytes()
    stream = io.BytesIO()
    pydicom.dcmwrite(stream, data, enforce_file_format=True)
    return stream.getvalue()


@pytest.mark.slow
def test_nothing_that_names_a_person_is_written_or_told(sample_bundle: Path, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    settings = Settings.model_validate(
        {"home": tmp_path, "monitor": {"resamples": 50, "min_rows": 60, "min_truth": 20}}
    )
    bundle = Bundle.load(sample_bundle, version="1")
    place = tmp_path / "var" / "log.db"
    log = PredictionLog(place)
    requests = []
    for number in range(80):
        file = dicom(rng)
        assert b"Zywiecka" in file
        (answer,) = bundle.predict([read_image_bytes(file)])
        moment = BEGIN + timedelta(minutes=number)
        log.write(answer.model_copy(update={"request_id": new_request_id(), "time": moment}), log.digest(file))
        with closing(sqlite3.connect(place)) as database:
            requests.append(database.execute("SELECT request_id FROM predictions ORDER BY sequence DESC").fetchone()[0])
    labels = tmp_path / "Zywiecka_Wilhelmina_19610318.csv"
    rows = [f"{request},{number % 2}" for number, request in enumerate(requests)]
    labels.write_text("\n".join(["request_id,Effusion", *rows, "PLANTED4711,1"]))
    kept = keep(read_labels(labels, ["Effusion"]), log, read_feedback(place), BEGIN)
    assert kept.unknown == ("PLANTED4711",)
    log.close()
    labels.unlink()
    found = examine(settings, bundle=sample_bundle, version="1", place=place, out=tmp_path / "var" / "report")
    assert found.verdict.status == "alarm"  # noise is no chest
    assert found.performance[0].measured
    history = History(history_path(settings.var))
    notice = notice_of(found.followed, found.verdict)
    assert notice is not None
    post(history, "mail", notice)
    write_gauges(tmp_path / "var" / "thorax.prom", found)
    windows = history.windows()
    page = render_history(windows, performance_of(windows, place, settings.monitor), [], Incidents(history).all())
    (tmp_path / "var" / "history.html").write_text(page)
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert {
        "log.db",
        "index.html",
        "distributions.html",
        "drift.json",
        "history.db",
        "history.html",
        "thorax.prom",
    } <= {path.name for path in files}
    for path in [*files, sample_bundle / "reference.parquet", sample_bundle / "watched.safetensors"]:
        content = path.read_bytes()
        for word in PLANTED:
            assert word.lower() not in content.lower(), f"{word!r} in {path}"
        # Answers have a name of their own; reports and alerts do not even tell that.
        if "report" in path.parts or path.suffix in (".html", ".prom"):
            assert requests[0].encode() not in content, path
    told = f"{notice.subject}\n{notice.text}\n{notice.body}".encode()
    assert not any(word in told or requests[0].encode() in told for word in PLANTED)


def test_the_reference_names_no_patient(sample_bundle: Path, sample_steps: dict[str, Path]) -> None:
    import pandas as pd

    rows = pd.read_parquet(sample_steps["store_dir"] / "rows.parquet")
    content = (sample_bundle / "reference.parquet").read_bytes()
    assert not any(name.encode() in content for name in {*rows["patient_id"], *rows["image_id"], *rows["path"]})
