"""Several networks as one graph: it gives what the parts give, computed apart."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from bundle_factory import SIZE, _filters, _graph
from onnx import TensorProto, helper

from thorax.bundle.merging import Member, merge
from thorax.bundle.session import open_session
from thorax.calibration.calibrators import Calibrator, logit
from thorax.errors import BundleError

LINE = Calibrator("platt", 0.7, -0.4)
BETA = Calibrator("beta", None, None, beta=(1.3, 0.6, 0.2))
STEPS = Calibrator("isotonic", None, None, knots=((-1.0, -0.2, -0.2, 0.3, 2.0), (0.05, 0.1, 0.4, 0.45, 0.9)))


def network(folder: Path, seed: int) -> Path:
    """A small network with random weights."""
    rng = np.random.default_rng(seed)
    folder.mkdir()
    model = _graph(_filters(rng), rng.normal(0, 0.02, 12), rng.normal(0, 3, (3, 12)), rng.normal(0, 0.5, 3))
    onnx.save(model, folder / "model.onnx")
    return folder / "model.onnx"


def outputs(graph: Path, images: np.ndarray) -> dict[str, np.ndarray]:
    names = ["logits", "features", "maps"]
    return dict(zip(names, open_session(graph, 1).run(names, {"image": images}), strict=True))


@pytest.fixture
def images() -> np.ndarray:
    return np.random.default_rng(0).random((7, 1, SIZE, SIZE), np.float32)


@pytest.mark.parametrize("calibrators", [(LINE, LINE, LINE), (BETA, STEPS, LINE), (STEPS, STEPS, BETA)])
def test_it_gives_the_log_odds_of_the_mean_calibrated_probability(
    tmp_path: Path, images: np.ndarray, calibrators: tuple[Calibrator, ...]
) -> None:
    graphs = [network(tmp_path / str(seed), seed) for seed in range(3)]
    merge([Member(graph, calibrators) for graph in graphs], tmp_path / "merged.onnx")
    found, apart = outputs(tmp_path / "merged.onnx", images), [outputs(graph, images) for graph in graphs]
    each = [
        np.stack([one.probabilities(part["logits"][:, j]) for j, one in enumerate(calibrators)], axis=1)
        for part in apart
    ]
    np.testing.assert_allclose(found["logits"], logit(np.mean(each, axis=0)), atol=2e-5)
    np.testing.assert_array_equal(found["features"], np.concatenate([part["features"] for part in apart], axis=1))
    np.testing.assert_allclose(found["maps"].mean(axis=(2, 3)), found["logits"], atol=1e-5)
    mean = np.mean([part["maps"] for part in apart], axis=0)
    centred = [maps - maps.mean(axis=(2, 3), keepdims=True) for maps in (found["maps"], mean)]
    np.testing.assert_allclose(*centred, atol=1e-5)


def test_sure_probabilities_keep_their_figures(tmp_path: Path, images: np.ndarray) -> None:
    """Near one, a probability in float32 has no figures left; its log-odds have."""
    sure = (Calibrator("platt", 1.0, 25.0),) * 3
    graphs = [network(tmp_path / str(seed), seed) for seed in range(2)]
    merge([Member(graph, sure) for graph in graphs], tmp_path / "merged.onnx")
    z = np.stack([outputs(graph, images)["logits"].astype(np.float64) + 25 for graph in graphs])
    odds = -np.log(np.mean(np.exp(-z), axis=0))
    np.testing.assert_allclose(outputs(tmp_path / "merged.onnx", images)["logits"], odds, atol=1e-3)


def test_maps_of_other_resolutions_are_brought_to_the_finest(tmp_path: Path, images: np.ndarray) -> None:
    coarse = onnx.load(network(tmp_path / "coarse", 1))
    for node in coarse.graph.node:
        if node.op_type == "AveragePool":
            node.CopyFrom(
                helper.make_node("AveragePool", ["rectified"], ["field"], kernel_shape=[16, 16], strides=[16, 16])
            )
    maps = next(item for item in coarse.graph.output if item.name == "maps")
    maps.CopyFrom(helper.make_tensor_value_info("maps", TensorProto.FLOAT, ["N", 3, SIZE // 16, SIZE // 16]))
    onnx.save(coarse, tmp_path / "coarse.onnx")
    members = [Member(graph, (LINE,) * 3) for graph in (tmp_path / "coarse.onnx", network(tmp_path / "fine", 2))]
    merge(members, tmp_path / "merged.onnx")
    found = outputs(tmp_path / "merged.onnx", images)
    assert found["maps"].shape == (7, 3, SIZE // 8, SIZE // 8)
    np.testing.assert_allclose(found["maps"].mean(axis=(2, 3)), found["logits"], atol=1e-5)


def test_what_does_not_fit_together_is_refused(tmp_path: Path) -> None:
    one = Member(network(tmp_path / "one", 1), (LINE,) * 3)
    with pytest.raises(BundleError, match="at least two"):
        merge([one], tmp_path / "merged.onnx")
    other = onnx.load(network(tmp_path / "other", 2))
    other.opset_import[0].version = 17
    onnx.save(other, tmp_path / "other.onnx")
    with pytest.raises(BundleError, match="17, 18"):
        merge([one, Member(tmp_path / "other.onnx", one.calibrators)], tmp_path / "merged.onnx")
