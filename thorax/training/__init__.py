"""Training: an image store and an architecture in, a trained network and its answers out."""

from thorax.training.fit import TrainingError
from thorax.training.run import train

__all__ = ["TrainingError", "train"]
