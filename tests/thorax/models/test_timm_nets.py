"""Networks of timm by name; the library is optional, so a small stand-in takes its place where it is missing."""

import importlib.util
import sys
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from thorax import settings
from thorax.errors import InputError
from thorax.models import build


class Plain(nn.Module):
    num_features = 6

    def __init__(self, layout: str = "NCHW"):
        super().__init__()
        self.conv, self.layout = nn.Conv2d(1, 6, 3, stride=32), layout

    def forward_features(self, image):
        found = self.conv(image)
        return {"NCHW": found, "NHWC": found.permute(0, 2, 3, 1), "tokens": found.flatten(2).transpose(1, 2)}[
            self.layout
        ]


@pytest.fixture
def stand_in(monkeypatch):
    kinds = {"plain": "NCHW", "swinlike": "NHWC", "vitlike": "tokens"}

    def create_model(name, **options):
        if "output_stride" in options:
            raise TypeError("unexpected keyword output_stride")
        if options["pretrained"]:
            raise OSError("no route to huggingface.co")
        return Plain(kinds[name])

    library = SimpleNamespace(list_models=lambda: list(kinds), create_model=create_model)
    monkeypatch.setitem(sys.modules, "timm", library)


@pytest.mark.parametrize("name", ["plain", "swinlike"])
def test_either_layout_becomes_the_one_contract(stand_in, name):
    output = build(f"timm:{name}", 2)(torch.rand(2, 1, 64, 96))
    assert output.feature_map.shape == (2, 6, 2, 3)
    assert torch.allclose(output.features, output.feature_map.mean(dim=(2, 3)))


def test_what_has_no_map_or_no_such_stride_or_no_such_name_is_refused(stand_in):
    with pytest.raises(InputError, match="which is no feature map"):
        build("timm:vitlike", 2)
    with pytest.raises(InputError, match="cannot be built at output stride 16"):
        build("timm:plain", 2, stride=16)
    with pytest.raises(InputError, match=r"timm knows no network 'plane'. Did you mean plain\?"):
        build("timm:plane", 2)
    with pytest.raises(InputError, match=r"published weights of timm:plain could not be had: no route"):
        build("timm:plain", 2, pretrained="imagenet")


def test_the_settings_take_the_name():
    assert settings.Train(architectures=["timm:resnet18"]).architectures == ("timm:resnet18",)
    with pytest.raises(ValueError, match="unknown architecture 'timm:'"):
        settings.Train(architectures=["timm:"])


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("timm") is None, reason="timm is an optional extra")
@pytest.mark.parametrize(
    ("name", "stride"), [("resnet18", 16), ("convnextv2_atto", 32), ("swin_tiny_patch4_window7_224", 32)]
)
def test_real_networks_of_timm(name, stride):
    if name.startswith("swin"):
        with pytest.raises(InputError, match="does not take images of any size"):
            build(f"timm:{name}", 2)
        return
    output = build(f"timm:{name}", 2, stride=stride).eval()(torch.rand(2, 1, 96, 96))
    assert output.feature_map.shape[2:] == (96 // stride, 96 // stride)
