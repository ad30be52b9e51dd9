"""Which weights a recipe starts from, told so that other weights make another run."""

from pathlib import Path

from thorax import settings
from thorax.models.pretrained import digest_of_phantom_weights


def pinned(recipe: settings.Train, folder: Path) -> settings.Train:
    """Put the digest of the weights made on phantoms into a recipe that starts from them; leave any other as it is.

    Args:
        recipe: the settings of training, of all architectures.
        folder: holds `<architecture>.safetensors`.

    Raises:
        InputError: an architecture that starts from phantoms has no weights there.
    """
    if recipe.pretrained != "phantom":
        return recipe
    names = [name for name in recipe.architectures if recipe.of(name).pretrained == "phantom"]
    return recipe.model_copy(update={"pretrained": f"phantom:{digest_of_phantom_weights(folder, names)}"})
