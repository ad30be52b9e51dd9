"""A bundle answers as its network did, without PyTorch, and refuses to answer when anything about it changed."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from thorax.bundle import Bundle
from thorax.bundle.answers import box_on_image, map_on_image
from thorax.errors import BundleError
from thorax.files import digest_file
from thorax.imaging import Placement, Radiograph, read_image
from thorax.preprocessing.store import ImageStore


@pytest.fixture
def copy(sample_bundle: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(sample_bundle, tmp_path / "bundle"))


def radiographs(folder: Path) -> list[Radiograph]:
    return [read_image(path) for path in sorted((folder / "examples").glob("*.png"))]


def test_answers_are_those_of_the_training_run(sample_bundle: Path, sample_steps: dict[str, Path]) -> None:
    store = ImageStore.open(sample_steps["store_dir"])
    bundle = Bundle.load(sample_bundle)
    with np.load(sample_steps["train_dir"] / "outputs-test.npz") as stored:
        logits = stored["logits"]
    images = store.images(store.indices("test")[:5])
    pictures = [Radiograph(image.astype(np.float32) / 255, 64, 64, 8, "PNG") for image in images]
    expected = bundle.calibration.probabilities(logits[:5])
    found = [[answer.probability for answer in one.findings] for one in bundle.predict(pictures)]
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_one_image_and_many_get_the_same_answer(sample_bundle: Path) -> None:
    bundle = Bundle.load(sample_bundle)
    together = bundle.predict(radiographs(sample_bundle))
    alone = [bundle.predict([picture])[0] for picture in radiographs(sample_bundle)]
    for one, other in zip(together, alone, strict=True):
        for a, b in zip(one.findings, other.findings, strict=True):
            assert a.probability == pytest.approx(b.probability, abs=1e-6)
            assert a.box == b.box


def test_the_mean_of_a_map_is_the_logit(sample_bundle: Path) -> None:
    bundle = Bundle.load(sample_bundle)
    logits, _, maps = bundle.run(bundle.inputs(radiographs(sample_bundle)))
    np.testing.assert_allclose(maps.mean(axis=(2, 3)), logits, atol=1e-4)


def test_no_images_no_answers(sample_bundle: Path) -> None:
    assert Bundle.load(sample_bundle).predict([]) == []


def test_refers_as_the_calibration_s_rule_says(sample_bundle: Path) -> None:
    bundle = Bundle.load(sample_bundle)
    pictures = radiographs(sample_bundle)
    noise = np.random.default_rng(0).random((64, 64)).astype(np.float32)
    pictures.append(Radiograph(noise, 64, 64, 8, "PNG"))
    inputs = bundle.inputs(pictures)
    logits, features, _ = bundle.run(inputs)
    rule = bundle.calibration
    expected = rule.refer(rule.probabilities(logits), rule.ood_score(features, inputs))
    expected |= np.array([bool(picture.checks) for picture in pictures])
    predictions = bundle.predict(pictures)
    assert [one.refer for one in predictions] == expected.tolist()
    assert predictions[-1].novelty.out
    assert "outside the model's training data" in predictions[-1].summary


@pytest.mark.parametrize("name", ["model.onnx", "calibration.json", "reference.parquet", "model_card.md", "proof.npz"])
def test_a_changed_or_missing_file_is_named(copy: Path, name: str) -> None:
    path = copy / name
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))
    with pytest.raises(BundleError, match=name.replace(".", r"\.")):
        Bundle.load(copy)
    path.unlink()
    with pytest.raises(BundleError, match=f"lacks {name}"):
        Bundle.load(copy)


def test_a_graph_that_answers_otherwise_is_refused_even_with_the_right_digest(copy: Path) -> None:
    graph = onnx.load(copy / "model.onnx")
    bias = next(tensor for tensor in graph.graph.initializer if tensor.name == "bias")
    bias.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(bias) + np.float32(0.01), "bias"))
    onnx.save(graph, copy / "model.onnx")
    info = json.loads((copy / "bundle.json").read_text())
    info["digests"]["model.onnx"] = digest_file(copy / "model.onnx")
    (copy / "bundle.json").write_text(json.dumps(info))
    with pytest.raises(BundleError, match="does not prove itself"):
        Bundle.load(copy)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "not valid JSON"),
        ("[]", "does not describe a bundle"),
        ('{"digests": {}, "format": 99}', "format 99"),
        ('{"digests": {}, "format": 1}', "wrong or missing keys: name"),
    ],
)
def test_a_damaged_description_is_refused(copy: Path, content: str, said: str) -> None:
    (copy / "bundle.json").write_text(content)
    with pytest.raises(BundleError, match=said):
        Bundle.load(copy)


def test_a_folder_that_is_no_bundle_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="is not a bundle"):
        Bundle.load(tmp_path)
    with pytest.raises(BundleError, match="no bundle at"):
        Bundle.load(tmp_path / "nowhere")


def test_loading_and_answering_imports_neither_pytorch_nor_mlflow_nor_pandas(sample_bundle: Path) -> None:
    program = (
        "import sys\n"
        "from thorax.bundle import Bundle\n"
        "from thorax.imaging import read_image\n"
        "from thorax.bundle.drawing import draw\n"
        f"bundle = Bundle.load({str(sample_bundle)!r})\n"
        f"picture = read_image({str(sample_bundle / 'examples' / '1-positive.png')!r})\n"
        "answer = bundle.predict([picture])[0]\n"
        "assert draw(bundle, picture, answer, ['Edema'])['Edema'][:4] == b'\\x89PNG'\n"
        "print(sorted({'torch', 'mlflow', 'pandas', 'matplotlib', 'sklearn', 'scipy'} & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "[]", done.stderr


def test_a_box_of_a_padded_image_lies_on_the_image() -> None:
    # An image of 200 × 100 px lies in rows 16 to 48 of a square of 64 px.
    spot = Placement(left=0, top=16, width=64, height=32)
    box = box_on_image((0.25, 0.25, 0.5, 0.25), 64, spot)
    assert box is not None
    assert (box.x, box.y, box.w, box.h) == pytest.approx((0.25, 0.0, 0.5, 0.5))
    assert box_on_image((0.0, 0.0, 0.5, 0.2), 64, spot) is None  # on the padding alone
    ramp = np.repeat(np.linspace(0, 1, 8, dtype=np.float32)[:, None], 8, axis=1)
    assert map_on_image(ramp, 64, spot).shape == (32, 64)
