"""Gradient methods for comparison with the closed form, through the grad-cam library. Needs PyTorch.

Each costs a backward pass a finding; the maps in closed form (`thorax.explain.maps`) cost none.
"""

import copy
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np

from thorax.errors import InputError, nearest

if TYPE_CHECKING:
    from thorax.models.network import Network

Method = Literal["grad-cam", "grad-cam++", "layercam", "guided-backprop", "guided-grad-cam"]


def gradient_map(network: "Network", image: np.ndarray, finding: int, method: Method = "grad-cam") -> np.ndarray:
    """Return a gradient method's map of one finding.

    Args:
        network: any of the project's; it is left as it was.
        image: (S, S), float in [0, 1].
        finding: which output, from 0.
        method: `grad-cam` (Selvaraju et al. 2017), `grad-cam++` (Chattopadhay et al. 2018), `layercam` (Jiang et al.
            2021), all at the last feature map; `guided-backprop` (Springenberg et al. 2015) at the pixels, and
            `guided-grad-cam`, its product with the upsampled Grad-CAM.

    Returns:
        float32: (h, w) for the first three, before the rectifier and without scaling; (S, S) for the guided ones.

    Raises:
        InputError: an unknown method or finding, or a guided method on a network without rectified linear units.
    """
    if method not in get_args(Method):
        raise InputError(f"Unknown explanation {method!r}.", nearest(str(method), get_args(Method)))
    if not 0 <= finding < network.findings:
        raise InputError(f"There is no finding {finding}: the network has {network.findings}.")
    if method == "guided-backprop":
        return _guided(network, image, finding)
    if method == "guided-grad-cam":
        from thorax.explain.maps import upsample

        coarse = upsample(np.maximum(gradient_map(network, image, finding), 0), image.shape)
        return _guided(network, image, finding) * coarse
    return _library_map(network, image, finding, method)


def randomised(network: "Network", seed: int = 0) -> "Network":
    """Return a copy of a network with all weights drawn anew: a map that does not change with it explains nothing.

    The sanity check of Adebayo et al. (2018, NeurIPS).
    """
    import torch

    fresh = copy.deepcopy(network)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for module in fresh.modules():
            reset = getattr(module, "reset_parameters", None)
            if callable(reset):
                reset()
    return fresh.eval()


def _library_map(network: "Network", image: np.ndarray, finding: int, method: str) -> np.ndarray:
    from pytorch_grad_cam import GradCAM, GradCAMPlusPlus, LayerCAM
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

    kind = {"grad-cam": GradCAM, "grad-cam++": GradCAMPlusPlus, "layercam": LayerCAM}[method]
    targets: list[Any] = [ClassifierOutputTarget(finding)]
    batch = _batch(network, image)
    with kind(model=_logits_only(network), target_layers=[network.backbone]) as cam:
        cam(input_tensor=batch, targets=targets)
        activations = cam.activations_and_grads.activations[0].detach().cpu().numpy()
        gradients = cam.activations_and_grads.gradients[0].detach().cpu().numpy()
        raw = cam.get_cam_image(batch, network.backbone, targets, activations, gradients, False)
    return np.asarray(raw[0], dtype=np.float32)


def _guided(network: "Network", image: np.ndarray, finding: int) -> np.ndarray:
    from pytorch_grad_cam import GuidedBackpropReLUModel
    from torch import nn

    if not any(isinstance(module, nn.ReLU) for module in network.modules()):
        raise InputError(
            "Guided backpropagation is defined for rectified linear units, and this network has none.",
            "Take grad-cam, grad-cam++ or layercam, or a DenseNet or ResNet.",
        )
    # The library swaps the units of the network that it is given: it gets a copy.
    model = GuidedBackpropReLUModel(model=_logits_only(copy.deepcopy(network)))
    return np.asarray(model(_batch(network, image), target_category=finding)[:, :, 0], dtype=np.float32)


def _batch(network: "Network", image: np.ndarray) -> Any:
    import torch

    values = np.asarray(image, dtype=np.float32)
    if values.ndim != 2:
        raise InputError(f"An image to explain has two dimensions; this one has the shape {values.shape}.")
    return torch.from_numpy(values[None, None]).to(network.mean.device)


def _logits_only(network: "Network") -> Any:
    """Return the network as the library wants one: an evaluated module whose output is a tensor of logits."""
    from torch import Tensor, nn

    class LogitsOnly(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = network

        def forward(self, image: Tensor) -> Tensor:
            return self.network(image).logits

    return LogitsOnly().eval()
