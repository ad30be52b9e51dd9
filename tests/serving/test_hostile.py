"""Whatever is sent, the service answers or refuses with a reason; it never fails inside, and it stays up.

`python -m commands.bench.serve --part hostile` sends thousands, to real workers; these are enough to notice a change.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from starlette.testclient import TestClient

from commands.bench.corpus import dicom, mutants, seeds, tricks
from commands.bench.hostile import Verdict, explained, odd, schemathesis, upload
from serving.launch import Running, launched
from thorax.settings import load

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def started(sample_bundle: Path, project: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A service whose uploads must hurry."""
    home = tmp_path_factory.mktemp("home")
    (home / "params.yaml").write_text((project / "params.yaml").read_text())
    settings = load(home, ["serve.upload_seconds=1", "serve.max_upload_mib=2"])
    with launched(settings, sample_bundle, port=0) as running:
        yield running


def test_mutants_and_tricks_are_answered_or_refused_with_a_reason(client: TestClient, phantom: bytes) -> None:
    verdict = Verdict()
    for number, data in enumerate(mutants([*seeds(), phantom], 300)):
        verdict.judge(f"mutant {number}", client.post("/predict", files={"file": data}))
    assert verdict.statuses[200] > 0
    assert verdict.statuses[400] > 0
    for name, data in tricks().items():
        answer = client.post("/predict", files={"file": ("../../x.png", data)})
        verdict.judge(name, answer)
        assert answer.status_code in (400, 413), name
    assert (verdict.failed, verdict.unexplained) == ([], [])
    assert client.post("/predict", files={"file": phantom}).status_code == 200


def test_odd_requests_are_refused_and_the_service_goes_on(started: Running, phantom: bytes) -> None:
    verdict = Verdict()
    odd(started.address, phantom, verdict, 2 << 20)
    assert (verdict.failed, verdict.unexplained) == ([], [])
    # A batch is answered, and says of each file in it why it cannot be.
    assert set(verdict.accepted) <= {"a zip that climbs to /predict_batch"}
    assert upload(started.address, [("good", phantom)]).statuses[200] == 1


def test_schemathesis_finds_no_failure(started: Running) -> None:
    failures, said = schemathesis(started.address, examples=3)
    assert failures == 0, said


def test_a_refusal_that_tells_of_the_inside_or_nothing_is_noticed() -> None:
    from httpx import Response

    assert explained(Response(400, json={"error": "The image is empty.", "mend": ""}))
    assert not explained(Response(400, json={"error": "No."}))
    assert not explained(Response(400, json={"error": 'File "/opt/x.py", line 3, in score'}))
    assert not explained(Response(400, text="Bad request"))
    failing = Verdict()
    failing.judge("one", Response(500, json={"error": "Something went wrong inside."}))
    assert failing.failed


def test_the_name_of_a_patient_in_a_file_goes_nowhere(client: TestClient, runtime) -> None:
    grey = (np.random.default_rng(0).random((96, 80)) * 255).astype(np.uint8)
    answer = client.post("/predict", files={"file": ("Nobody.dcm", dicom(grey))})
    assert answer.status_code == 200
    assert "Nobody" not in answer.text
    for path in runtime.folder.rglob("*"):
        if path.is_file():
            assert b"Nobody" not in path.read_bytes(), path
