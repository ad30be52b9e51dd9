"""A short training loop for the studies of phantoms: arrays in, logits out; no store, checkpoints or early stopping."""

from collections.abc import Callable

import numpy as np
import torch

from thorax.models import Network
from thorax.settings import Train
from thorax.training.runtime import choose_runtime, steady

#: From the indices of a batch's images and its logits (batch, F) to the loss.
Loss = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]

_AT_ONCE = 256
#: Images are moved by up to this share of their side, either way.
_MOVE = 0.05


def learn(
    network: Network, images: np.ndarray, loss: Loss, epochs: int, seed: int, batch: int = 32, rate: float = 2e-3
) -> Network:
    """Train a network in place by AdamW under a one-cycle schedule (Smith & Topin 2018).

    Args:
        network: a custom CNN.
        images: uint8 (images, size, size).
        loss: of a batch.
        epochs: passes over the images.
        seed: of the order, the movements and dropout.
        batch: images a step.
        rate: highest learning rate.
    """
    recipe = Train(threads=1)
    runtime = choose_runtime(recipe, "custom_cnn")
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    far = round(_MOVE * images.shape[-1])
    with steady(recipe):
        runtime.place(network).train()
        optimizer = torch.optim.AdamW(network.parameters(), lr=rate, weight_decay=0.02)
        steps = epochs * -(-len(images) // batch)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=rate, total_steps=steps, pct_start=0.2)
        for _ in range(epochs):
            for chosen in torch.randperm(len(images), generator=generator).split(batch):
                move = torch.randint(-far, far + 1, (2,), generator=generator).tolist()
                pixels = torch.roll(_pixels(images[chosen.numpy()]), move, (2, 3))
                pixels = pixels.to(runtime.device, memory_format=runtime.memory_format)
                with runtime.precision():
                    logits = network(pixels).logits
                optimizer.zero_grad()
                loss(chosen, logits.float()).backward()
                optimizer.step()
                schedule.step()
    return network


def answer(network: Network, images: np.ndarray) -> np.ndarray:
    """Return a network's logits for uint8 (images, size, size): float64 (images, F), computed in float32."""
    device = network.mean.device
    network.eval()
    with steady(Train(threads=1)), torch.inference_mode():
        parts = [
            network(_pixels(images[start : start + _AT_ONCE]).to(device)).logits.cpu()
            for start in range(0, len(images), _AT_ONCE)
        ]
    return torch.cat(parts).double().numpy()


def _pixels(images: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(images).float()[:, None] / 255
