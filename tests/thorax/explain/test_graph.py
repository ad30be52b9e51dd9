"""The graph that is served, asked for maps, and its sanity check."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from graph_factory import write_graph
from onnx import numpy_helper
from onnx.reference import ReferenceEvaluator

from thorax.errors import InputError
from thorax.explain.faithfulness import rank_correlation
from thorax.explain.graph import Graph, randomised_graph


@pytest.fixture
def model(tmp_path: Path) -> Path:
    write_graph(tmp_path / "model.onnx")
    return tmp_path / "model.onnx"


@pytest.fixture
def images() -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (40, 64, 64), dtype=np.uint8)


def test_it_answers_as_onnxs_reference_does(model: Path, images: np.ndarray) -> None:
    answer = Graph(model)(images)
    reference = ReferenceEvaluator(str(model))
    logits, _, maps = reference.run(None, {"image": images[:, None].astype(np.float32) / 255})
    np.testing.assert_allclose(answer.logits, logits, atol=1e-5)
    np.testing.assert_allclose(answer.maps, maps, atol=1e-4)
    np.testing.assert_allclose(answer.maps.mean(axis=(2, 3)), answer.logits, atol=1e-4)
    np.testing.assert_allclose(Graph(model)(images / 255).logits, answer.logits, atol=1e-5)


def test_redrawn_weights_have_the_same_spread_and_another_map(model: Path, images: np.ndarray) -> None:
    redrawn = randomised_graph(model, 3)
    before, after = (
        {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.graph.initializer}
        for graph in (onnx.load(str(model)), onnx.load_model_from_string(redrawn))
    )
    np.testing.assert_array_equal(before["bias"], after["bias"])
    assert after["kernel"].std() == pytest.approx(before["kernel"].std(), rel=0.2)
    assert abs(np.corrcoef(before["kernel"].ravel(), after["kernel"].ravel())[0, 1]) < 0.2
    ours, theirs = Graph(model)(images).maps, Graph(redrawn)(images).maps
    alike = [abs(rank_correlation(ours[i, 0], theirs[i, 0])) for i in range(len(images))]
    assert np.mean(alike) < 0.5
    assert randomised_graph(model, 3) == redrawn


def test_what_is_no_graph_is_named(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"half a graph")
    with pytest.raises(InputError, match=r"model.onnx cannot be opened"):
        Graph(tmp_path / "model.onnx")
