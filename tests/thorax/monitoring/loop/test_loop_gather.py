"""Which radiographs become confirmed cases, what leaves their files, and what never does."""

from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from thorax.datasets import confirmed
from thorax.errors import InputError
from thorax.imaging import read_image
from thorax.monitoring.loop.gather import Sources, gather, stage, staged
from thorax.prediction_log.record import digest
from thorax.settings import Split

SALT = b"s" * 32
FINDINGS = ("Effusion", "Edema")


class Deployment:
    """A log, and a folder where radiographs are put."""

    def __init__(self, place: Path) -> None:
        self.folder, self.root = place / "drop", place / "data"
        self.folder.mkdir()
        self.answers: list[dict] = []
        self.said: list[dict] = []

    def image(self, name: str, seed: int, patient: str = "p1") -> Path:
        path = self.folder / patient / name
        path.parent.mkdir(exist_ok=True)
        note = PngInfo()
        note.add_text("PatientName", "Doe^Jane")
        pixels = np.random.default_rng(seed).integers(0, 256, (40, 32), dtype=np.uint8)
        Image.fromarray(pixels).save(path, pnginfo=note)
        return path

    def answer(self, path: Path, request: str, hour: int = 8, **facts) -> str:
        self.answers.append(
            {
                "request_id": request,
                "time": pd.Timestamp(f"2026-11-22T{hour:02d}:00", tz="UTC"),
                "image_digest": digest(SALT, path.read_bytes()),
                "view": "unknown",
                "age": np.nan,
                "sex": "unknown",
            }
            | facts
        )
        return request

    def say(self, request: str, role: str = "radiologist", minute: int = 0, **labels: bool) -> None:
        time = pd.Timestamp("2026-11-22T12:00", tz="UTC") + pd.Timedelta(minutes=minute)
        for finding, present in labels.items():
            row = {"request_id": request, "time": time, "role": role, "finding": finding, "present": int(present)}
            self.said.append(row)

    def sources(self, partial: bool = False) -> Sources:
        columns = ["request_id", "time", "role", "finding", "present"]
        answers = ["request_id", "time", "image_digest", "view", "age", "sex"]
        return Sources(
            self.folder,
            self.root,
            pd.DataFrame(self.answers, columns=answers),
            pd.DataFrame(self.said, columns=columns),
            SALT,
            FINDINGS,
            partial,
        )


@pytest.fixture
def deployment(tmp_path: Path) -> Deployment:
    return Deployment(tmp_path)


def test_an_image_is_known_by_its_digest_and_its_labels_by_the_request(deployment: Deployment, tmp_path: Path) -> None:
    path = deployment.image("MRN-12345.png", 1, patient="Doe")
    deployment.say(deployment.answer(path, "r1", view="AP", age=61.0), Effusion=True, Edema=False)
    found = gather(deployment.sources())
    assert [case.labels for case in found.cases] == [{"Effusion": True, "Edema": False}]
    assert stage(found, tmp_path / "staged", "20261122-aa", "2026-11-22T07:00:00+00:00") == 1
    (case,) = staged(tmp_path / "staged")
    assert (case.view, case.age, case.sex, case.batch) == ("AP", 61.0, "unknown", "20261122-aa")
    assert np.array_equal(read_image(case.file).pixels, read_image(path).pixels)


def test_nothing_that_names_a_person_leaves_the_folder(deployment: Deployment, tmp_path: Path) -> None:
    path = deployment.image("MRN-12345.png", 1, patient="Doe-1951-04-02")
    deployment.say(deployment.answer(path, "r1"), Effusion=True, Edema=False)
    stage(gather(deployment.sources()), tmp_path / "staged", "20261122-aa", "")
    confirmed.add(deployment.root, staged(tmp_path / "staged"), Split())
    written = [p for place in (tmp_path / "staged", deployment.root) for p in place.rglob("*") if p.is_file()]
    assert len(written) == 4
    for file in written:
        data = file.read_bytes() + str(file.relative_to(tmp_path)).encode()
        for secret in (b"Doe", b"Jane", b"MRN-12345", b"1951"):
            assert secret not in data, file
    assert gather(deployment.sources()).left_out == {"in the dataset already": 1}


def test_what_cannot_be_learnt_from_is_counted_by_its_reason(deployment: Deployment) -> None:
    one = deployment.image("a.png", 1)
    deployment.say(deployment.answer(one, "r1"), Effusion=True, Edema=True)
    (deployment.folder / "p2").mkdir()
    (deployment.folder / "p2" / "again.png").write_bytes(one.read_bytes())
    deployment.image("unknown.png", 2)
    deployment.answer(deployment.image("unsaid.png", 3), "r3")
    deployment.say(deployment.answer(deployment.image("half.png", 4), "r4"), Effusion=True)
    loose = deployment.image("loose.png", 5).rename(deployment.folder / "loose.png")
    deployment.say(deployment.answer(loose, "r5"), Effusion=False, Edema=False)
    found = gather(deployment.sources())
    assert len(found.cases) == 1
    assert found.left_out == Counter(
        {
            "the same image twice": 1,
            "no answer to it is in the log": 1,
            "unconfirmed": 1,
            "not all findings are confirmed": 1,
            "no patient is named": 1,
        }
    )
    assert len(gather(deployment.sources(partial=True)).cases) == 2, "half a truth, where blanks are not zeros"


def test_of_contradictory_words_the_most_trusted_and_of_those_the_last_counts(deployment: Deployment) -> None:
    request = deployment.answer(deployment.image("a.png", 1), "r1")
    deployment.say(request, "radiologist", 0, Effusion=True, Edema=True)
    deployment.say(request, "radiologist", 5, Edema=False)
    deployment.say(request, "other", 9, Effusion=False, Edema=True)
    deployment.say(request, "radiologist", 5, Edema=False)
    assert gather(deployment.sources()).cases[0].labels == {"Effusion": True, "Edema": False}


def test_a_table_beside_the_images_names_requests_patients_and_labels(deployment: Deployment) -> None:
    path = deployment.image("x.dcm.png", 1).rename(deployment.folder / "x.png")
    deployment.answer(path, "r1")
    path.write_bytes(deployment.image("y.png", 2).rename(path).read_bytes())  # re-encoded: the digest is another
    (deployment.folder / "cases.csv").write_text(
        "file,request_id,dataset_patient,view,Effusion,Edema\nx.png,r1,00017,PA,1,no\n"
    )
    (case,) = gather(deployment.sources()).cases
    assert (case.patient, case.facts["view"], case.labels) == ("00017", "PA", {"Effusion": True, "Edema": False})


def test_what_was_answered_before_the_alarm_is_told_apart(deployment: Deployment, tmp_path: Path) -> None:
    for hour in (6, 9):
        path = deployment.image(f"{hour}.png", hour)
        deployment.say(deployment.answer(path, f"r{hour}", hour=hour), Effusion=True, Edema=False)
    stage(gather(deployment.sources()), tmp_path / "staged", "20261122-aa", "2026-11-22T08:00:00+00:00")
    batches = {case.batch for case in staged(tmp_path / "staged")}
    assert batches == {"20261122-aa", "20261122-aa-before"}


def test_an_image_that_cannot_be_read_is_left_out(deployment: Deployment, tmp_path: Path) -> None:
    path = deployment.image("a.png", 1)
    path.write_bytes(b"no image")
    deployment.say(deployment.answer(path, "r1"), Effusion=True, Edema=False)
    found = gather(deployment.sources())
    assert stage(found, tmp_path / "staged", "b", "") == 0
    assert found.left_out == {"unreadable": 1}


def test_a_table_that_is_refused_names_its_line_and_nobody(deployment: Deployment) -> None:
    deployment.image("Doe.png", 1)
    (deployment.folder / "cases.csv").write_text("file,patient\np1/Doe.png,Doe\np1/Doe.png,Doe\n")
    with pytest.raises(InputError, match=r"cases\.csv, line 3: a file stands twice") as refused:
        gather(deployment.sources())
    assert "Doe" not in str(refused.value)


def test_a_missing_folder_is_said(deployment: Deployment) -> None:
    deployment.folder.rmdir()
    with pytest.raises(InputError, match=r"confirmed_dir .* is not a folder"):
        gather(deployment.sources())
