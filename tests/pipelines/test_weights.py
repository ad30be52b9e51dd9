"""An alias in `train.pretrained` becomes the version that it stands for, so that a moved alias is trained from anew."""

from types import SimpleNamespace

import pytest

from pipelines.run import _with_weights
from thorax.registry import versions
from thorax.settings import load


@pytest.mark.parametrize(("given", "pinned"), [("registry:champion", "registry:7"), ("registry:3", "registry:7")])
def test_an_alias_is_pinned(home, monkeypatch, given, pinned):
    asked = []
    monkeypatch.setattr(
        versions, "resolve", lambda settings, which: asked.append(which) or SimpleNamespace(version="7")
    )
    settings = load(home, [f"train.pretrained={given}"])
    assert _with_weights(settings).train.pretrained == pinned
    assert asked == [given.partition(":")[2]]


@pytest.mark.parametrize("given", ["none", "imagenet", "some/folder/weights.safetensors"])
def test_other_weights_stay_as_they_are(home, given):
    settings = load(home, [f"train.pretrained={given}"])
    assert _with_weights(settings) is settings
