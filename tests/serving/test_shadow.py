"""The challenger sees the same images without anyone waiting for it; by choice it answers for a share of them."""

import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from bundle_factory import make_bundle
from prometheus_client import generate_latest
from starlette.testclient import TestClient

from serving import shadow as module
from serving.holder import Holder, falls_to_canary
from serving.pointer import Pointer, write_pointer
from serving.runtime import Runtime
from serving.shadow import Shadow
from thorax.bundle import Bundle
from thorax.imaging import read_image_bytes
from thorax.prediction_log import read_log, read_shadow


@pytest.fixture(scope="module")
def challenger(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_bundle(tmp_path_factory.mktemp("challenger"), seed=4, sharpness=0.5)


@pytest.fixture
def shadowed(
    runtime: Runtime, sample_bundle: Path, challenger: Path, start: Callable[[], TestClient], request: Any
) -> TestClient:
    """A service with a challenger; the parameter is the share that it answers for."""
    share = getattr(request, "param", 0.0)
    runtime.model_copy(update={"shadow": True, "canary_share": share}).write(runtime.folder / "runtime.json")
    pointer = Pointer(bundle=sample_bundle, version="7", challenger=challenger, challenger_version="8")
    write_pointer(runtime.pointer, pointer)
    return start()


def test_the_challenger_is_compared_on_the_metrics_and_in_the_log(
    shadowed: TestClient, runtime: Runtime, phantom: bytes, challenger: Path
) -> None:
    answer = shadowed.post("/predict", files={"file": phantom}).json()
    assert answer["model"]["version"] == "7"
    deadline = time.monotonic() + 20
    while (rows := read_shadow(runtime.log)).empty and time.monotonic() < deadline:
        time.sleep(0.02)
    assert set(rows["request_id"]) == {answer["request_id"]}
    assert set(rows["shadow_version"]) == {"8"}
    direct = Bundle.load(challenger).predict([read_image_bytes(phantom)])[0]
    for finding, probability in zip(rows["finding"], rows["shadow_p"], strict=True):
        assert probability == pytest.approx(direct.of(finding).probability, abs=1e-6)
    figures = generate_latest().decode()
    assert 'thorax_shadow_scored_total{version="8"}' in figures
    assert "thorax_shadow_decisions_total" in figures


@pytest.mark.parametrize("shadowed", [1.0], indirect=True)
def test_a_canary_answers_and_says_so_in_the_answer_and_in_the_log(
    shadowed: TestClient, runtime: Runtime, phantom: bytes
) -> None:
    assert shadowed.post("/predict", files={"file": phantom}).json()["model"]["version"] == "8"
    assert read_log(runtime.log)["model_version"].tolist() == ["8"]


def test_the_same_image_always_gets_the_same_model_and_the_share_is_kept() -> None:
    rng = np.random.default_rng(0)
    digests = [rng.bytes(32).hex() for _ in range(4000)]
    chosen = [falls_to_canary(digest, 0.2) for digest in digests]
    assert chosen == [falls_to_canary(digest, 0.2) for digest in digests]
    assert np.mean(chosen) == pytest.approx(0.2, abs=0.03)  # five standard errors
    assert not any(falls_to_canary(digest, 0.0) for digest in digests)
    assert all(falls_to_canary(digest, 1.0) for digest in digests)


def test_a_bad_challenger_is_left_out_and_the_champion_goes_on(
    tmp_path: Path, sample_bundle: Path, challenger: Path
) -> None:
    pointer = tmp_path / "pointer.json"
    write_pointer(pointer, Pointer(bundle=sample_bundle, version="1", challenger=tmp_path / "gone"))
    holder = Holder(pointer, 60, challenger=True, canary_share=1.0)
    assert holder.challenger is None
    assert holder.get("0" * 64).version == "1"
    write_pointer(pointer, Pointer(bundle=sample_bundle, version="1", challenger=challenger, challenger_version="2"))
    holder.look()
    assert holder.get("0" * 64).version == "2"
    assert holder.get().version == "1"
    write_pointer(pointer, Pointer(bundle=sample_bundle, version="1"))
    holder.look()
    assert holder.get("0" * 64).version == "1"
    holder.close()


def test_when_it_is_busy_images_are_left_out_and_nobody_waits(
    sample_bundle: Path, phantom: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    radiograph = read_image_bytes(phantom)
    bundle = Bundle.load(sample_bundle, version="1")
    answer = bundle.predict([radiograph])[0]
    other = SimpleNamespace(version="2")
    hold, begun = threading.Event(), threading.Event()

    def slow(*_: object) -> list[Any]:
        begun.set()
        hold.wait(20)
        raise RuntimeError("a challenger's failure is its own")

    other.predict = slow
    dropped: list[int] = []
    left_out = SimpleNamespace(inc=lambda: dropped.append(1))
    instruments: Any = SimpleNamespace(scoring_now=0, left_out=left_out, stage=lambda _: threading.Lock())
    shadow = Shadow(SimpleNamespace(challenger=other), instruments, SimpleNamespace(), waiting=2)  # type: ignore[arg-type]
    assert shadow.offer(radiograph, answer)
    assert begun.wait(10)
    began = time.monotonic()
    assert [shadow.offer(radiograph, answer) for _ in range(4)] == [True, True, False, False]
    assert time.monotonic() - began < 5
    assert len(dropped) == 2
    monkeypatch.setattr(module, "MOST_BYTES", 0)
    hold.set()
    shadow.close()
    assert not shadow.offer(radiograph, answer)  # too many bytes wait
    assert not shadow.offer(
        radiograph, answer.model_copy(update={"model": answer.model.model_copy(update={"version": "2"})})
    )


def test_it_works_only_while_a_core_is_free(sample_bundle: Path, phantom: bytes) -> None:
    radiograph = read_image_bytes(phantom)
    answer = Bundle.load(sample_bundle, version="1").predict([radiograph])[0]
    seen = threading.Event()
    other = SimpleNamespace(version="2", predict=lambda *_: (seen.set(), [answer])[1])
    instruments: Any = SimpleNamespace(scoring_now=10_000, stage=lambda _: threading.Lock(), compare=lambda *_: None)
    log: Any = SimpleNamespace(write_shadow=lambda *_: None)
    shadow = Shadow(SimpleNamespace(challenger=other), instruments, log, waiting=2)  # type: ignore[arg-type]
    assert shadow.offer(radiograph, answer)
    assert not seen.wait(0.3)
    instruments.scoring_now = 0
    assert seen.wait(20)
    shadow.close()
