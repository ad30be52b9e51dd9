"""A bundle answers in bfloat16 only where it was measured to change little and the processor has it."""

import logging
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from precision_factory import measured, rewrite

from thorax.bundle import Bundle, measuring, openvino
from thorax.bundle.precision import Choice, Difference, Record, Tolerance, allowed, choose
from thorax.bundle.session import open_session
from thorax.errors import BundleError, SettingsError
from thorax.models import build
from thorax.training.export import Answering, export_onnx

here = pytest.mark.skipif(not openvino.has_bfloat16(), reason="this processor has no bfloat16")


@pytest.fixture
def anywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that has bfloat16."""
    monkeypatch.setattr(openvino, "has_bfloat16", lambda: True)


@pytest.fixture(scope="module")
def networks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Answering, Path]]:
    """A small network as PyTorch and as a graph, with a box head and a context."""
    torch.manual_seed(3)
    network = build("custom_cnn", 3, context=6, boxes=True).eval()
    assert network.context_head is not None
    torch.nn.init.normal_(network.context_head.weight)
    path = tmp_path_factory.mktemp("graph") / "model.onnx"
    export_onnx(network, 64, path)
    yield Answering(network).eval(), path


NAMES = ("logits", "features", "maps", "boxes")


@pytest.mark.parametrize("context", [None, 1, 5])
def test_every_runtime_answers_as_pytorch_does(networks: tuple[Answering, Path], context: int | None) -> None:
    network, graph = networks
    rng = np.random.default_rng(0)
    inputs = {"image": rng.random((5, 1, 64, 64)).astype(np.float32)}
    if context:
        inputs["context"] = rng.random((context, 6)).astype(np.float32)
    with torch.inference_mode():
        expected = [part.numpy() for part in network(*(torch.from_numpy(value) for value in inputs.values()))]
    sessions = [(open_session(graph, 1), 1e-5), (openvino.open_openvino(graph, 1, "float32"), 1e-5)]
    if openvino.has_bfloat16():
        sessions.append((openvino.open_openvino(graph, 1, "bfloat16"), 3e-2))
    for session, tolerance in sessions:
        for name, found, wanted in zip(NAMES, session.run(NAMES, inputs), expected, strict=True):
            np.testing.assert_allclose(found, wanted, atol=tolerance, err_msg=f"{session.runtime} {name}")


@here
def test_in_bfloat16_an_image_s_answer_does_not_depend_on_its_neighbours(networks: tuple[Answering, Path]) -> None:
    session = openvino.open_openvino(networks[1], 1)
    images = np.random.default_rng(1).random((7, 1, 64, 64)).astype(np.float32)
    together = session.run(NAMES, {"image": images})
    for number in range(7):
        alone = session.run(NAMES, {"image": images[number : number + 1]})
        for one, other in zip(together, alone, strict=True):
            np.testing.assert_array_equal(one[number], other[0])


@here
def test_threads_that_ask_at_once_get_what_each_gets_alone(networks: tuple[Answering, Path]) -> None:
    from concurrent.futures import ThreadPoolExecutor

    session = openvino.open_openvino(networks[1], 1)
    images = np.random.default_rng(2).random((40, 1, 64, 64)).astype(np.float32)
    expected = session.run(["logits"], {"image": images})[0]
    with ThreadPoolExecutor(4) as pool:
        found = pool.map(lambda image: session.run(["logits"], {"image": image[None]})[0][0], images)
    np.testing.assert_array_equal(np.stack(list(found)), expected)


@pytest.mark.usefixtures("anywhere")
def test_auto_takes_bfloat16_where_it_was_measured_to_change_little() -> None:
    assert choose("auto", Record(bfloat16=measured())).precision == "bfloat16"
    assert choose("float32", Record(bfloat16=measured())).precision == "float32"


@pytest.mark.usefixtures("anywhere")
@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"probabilities": Difference(largest=0.06, mean=0.001)}, "largest difference of a probability was 0.06"),
        ({"probabilities": Difference(largest=float("nan"), mean=0.001)}, "largest difference of a probability"),
        ({"probabilities": Difference(largest=0.01, mean=0.006)}, "mean difference"),
        ({"decisions": 0.02}, "changed decisions was 0.02, beyond 0.01"),
        ({"answers": 0.02}, "changed answers"),
        ({"novelty": 0.02}, "out-of-distribution"),
        ({"milliseconds": 58.0}, "58.0 ms an image where float32 took 60.0 ms"),
        ({"tolerance": Tolerance(probability=0.005)}, "beyond 0.005"),
    ],
)
def test_beyond_the_stated_tolerance_auto_stays_with_float32_and_says_why(changed: dict, said: str) -> None:
    found = choose("auto", Record(bfloat16=measured(**changed)))
    assert found.precision == "float32"
    assert said in found.why


@pytest.mark.usefixtures("anywhere")
def test_a_bundle_without_a_record_stays_with_float32() -> None:
    assert choose("auto", None) == Choice(precision="float32", why="the bundle does not say what bfloat16 changes")
    assert choose("auto", Record(note="it was not measured")).why == "it was not measured"


def test_a_machine_without_bfloat16_falls_back_and_one_that_must_have_it_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(openvino, "has_bfloat16", lambda: False)
    found = choose("auto", Record(bfloat16=measured()))
    assert (found.precision, "no bfloat16" in found.why) == ("float32", True)
    with pytest.raises(SettingsError, match=r"serve\.precision: bfloat16 cannot be had") as raised:
        choose("bfloat16", Record(bfloat16=measured()))
    assert "auto" in raised.value.mend


def test_a_machine_without_openvino_has_no_bfloat16(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    for cached in (openvino.processor, openvino._core):
        cached.cache_clear()
    try:
        assert not openvino.has_bfloat16()
    finally:
        openvino.processor.cache_clear()


@pytest.fixture
def with_record(sample_bundle: Path, tmp_path: Path) -> Path:
    """The tiny bundle, with a record that lets it answer in bfloat16."""
    copy = Path(shutil.copytree(sample_bundle, tmp_path / "bundle"))
    rewrite(copy, measured())
    return copy


@here
def test_a_bundle_within_its_tolerance_runs_in_bfloat16_and_every_answer_says_so(with_record: Path) -> None:
    bundle = Bundle.load(with_record)
    exact = Bundle.load(with_record, precision="float32")
    assert (bundle.model.precision, exact.model.precision) == ("bfloat16", "float32")
    assert bundle.runtime.startswith("OpenVINO")
    assert exact.runtime.startswith("ONNX Runtime")
    with np.load(with_record / "proof.npz") as proof:
        apart = np.abs(bundle.run(proof["inputs"])[0] - exact.run(proof["inputs"])[0])
    assert 1e-4 < apart.max() < 0.3


@here
def test_a_bundle_beyond_its_tolerance_runs_in_float32(with_record: Path) -> None:
    rewrite(with_record, measured(decisions=0.05))
    bundle = Bundle.load(with_record)
    assert bundle.model.precision == "float32"
    assert "changed decisions was 0.05" in bundle.choice.why


@here
def test_what_was_stored_must_be_reproduced_to_twice_what_was_measured(with_record: Path) -> None:
    rewrite(with_record, measured(logits=Difference(largest=1e-6, mean=1e-7)))
    with pytest.raises(BundleError, match="does not prove itself"):
        Bundle.load(with_record)
    assert allowed("bfloat16", Record(bfloat16=measured())) == pytest.approx(0.3)
    assert allowed("float32", None) is None


@here
def test_writing_a_bundle_measures_it(
    sample_steps: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from thorax.bundle import write_bundle
    from thorax.calibration import Calibration
    from thorax.preprocessing.store import ImageStore

    monkeypatch.setattr(measuring, "WORTH", 0.0)  # the tiny network gains nothing, and would not be measured
    made = write_bundle(tmp_path / "bundle", lineage={}, **sample_steps)
    found = Bundle.load(made, precision="float32").info.precision
    assert found is not None
    assert found.bfloat16 is not None
    assert "Precision" in (made / "model_card.md").read_text()
    # The same by hand: every image of the two splits, in each runtime.
    store, calibration = ImageStore.open(sample_steps["store_dir"]), Calibration.load(made)
    rows = np.concatenate([store.indices(split) for split in ("calibration", "test")])
    inputs = {"image": store.images(rows)[:, None].astype(np.float32) / 255}
    exact, fast = (
        calibration.probabilities(session.run(["logits"], inputs)[0])
        for session in (open_session(made / "model.onnx", 1), openvino.open_openvino(made / "model.onnx", 1))
    )
    assert found.bfloat16.images == len(rows)
    assert found.bfloat16.probabilities.largest == pytest.approx(np.abs(exact - fast).max(), rel=1e-3)
    changed = (exact >= calibration.thresholds) != (fast >= calibration.thresholds)
    assert found.bfloat16.decisions == pytest.approx(changed.mean())


def test_a_machine_without_bfloat16_writes_that_nothing_was_measured(
    sample_steps: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from thorax.bundle import write_bundle

    monkeypatch.setattr(openvino, "has_bfloat16", lambda: False)
    made = write_bundle(tmp_path / "bundle", lineage={}, **sample_steps)
    assert "does not have it" in (made / "model_card.md").read_text()
    assert Bundle.load(made).choice.precision == "float32"


def test_a_graph_that_openvino_cannot_run_is_written_without(
    sample_bundle: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise BundleError("cannot")

    monkeypatch.setattr(openvino, "has_bfloat16", lambda: True)
    monkeypatch.setattr(openvino, "open_openvino", refuse)
    monkeypatch.setattr(measuring, "WORTH", 0.0)
    calibration = Bundle.load(sample_bundle, precision="float32").calibration
    with caplog.at_level(logging.WARNING, "bentoml.thorax"):
        found = measuring.measure(
            sample_bundle / "model.onnx", calibration, np.zeros((2, 64, 64), np.uint8), ["PA", "AP"]
        )
    assert found.bfloat16 is None
    assert "OpenVINO cannot run this network" in found.note
    assert "bfloat16 is left out" in caplog.text


def test_a_graph_without_the_outputs_and_a_file_that_is_none_are_refused(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"nonsense")
    with pytest.raises(BundleError, match="not a graph that OpenVINO can run"):
        openvino.open_openvino(tmp_path / "model.onnx", 1)


def test_openvino_tells_nobody_that_it_is_used_and_brings_no_pytorch() -> None:
    # Its telemetry package reports each import to its maker; it must not even be loaded.
    code = (
        "import socket, sys\n"
        "def no(*_, **__): raise SystemExit('a connection')\n"
        "socket.socket.connect = no\n"
        "from thorax.bundle import openvino\n"
        "openvino.has_bfloat16()\n"
        "loaded = [n for n in sys.modules if n.startswith('openvino_telemetry.')]\n"
        "assert sys.modules['openvino_telemetry'] is None and not loaded, loaded\n"
        "assert 'torch' not in sys.modules\n"
        "import threading; assert threading.active_count() == 1\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
