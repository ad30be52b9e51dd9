"""Training: an image store and an architecture in, a trained network and its answers out."""

from thorax.training.run import learn, train
from thorax.training.starting import pinned
from thorax.training.step import TrainingError

__all__ = ["TrainingError", "learn", "pinned", "train"]
