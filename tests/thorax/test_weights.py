"""An alias in `train.pretrained` becomes the version that it stands for, so that a moved alias is trained from anew."""

from types import SimpleNamespace

import pytest

from thorax.registry import versions
from thorax.settings import load
from thorax.weights import moving, pinned


def test_an_alias_is_pinned(home, monkeypatch):
    asked = []
    monkeypatch.setattr(
        versions, "resolve", lambda settings, which: asked.append(which) or SimpleNamespace(version="7")
    )
    settings = load(home, ["train.pretrained=registry:champion"])
    assert moving(settings)
    assert pinned(settings).train.pretrained == "registry:7"
    assert asked == ["champion"]
    assert not moving(pinned(settings))


def test_weights_made_on_phantoms_are_pinned_by_their_content(home, monkeypatch):
    settings = load(home, ["train.pretrained=phantom", "train.architectures=[custom_cnn]", "train.overrides={}"])
    assert moving(settings)
    folder = settings.var / "pretrained"
    folder.mkdir(parents=True)
    (folder / "custom_cnn.safetensors").write_bytes(b"one")
    first = pinned(settings).train.pretrained
    assert first.startswith("phantom:")
    (folder / "custom_cnn.safetensors").write_bytes(b"another")
    assert pinned(settings).train.pretrained != first
    assert not moving(pinned(settings))


@pytest.mark.parametrize("given", ["none", "imagenet", "registry:3", "some/folder/weights.safetensors"])
def test_other_weights_stay_as_they_are(home, given):
    settings = load(home, [f"train.pretrained={given}"])
    assert not moving(settings)
    assert pinned(settings) is settings
