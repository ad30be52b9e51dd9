"""Phantoms on disk: a published layout with a `phantom.json` beside it that says how they were made."""

from pathlib import Path

from thorax.datasets import chexpert, nih
from thorax.datasets.dataset import Dataset
from thorax.errors import InputError
from thorax.files import read_json

_READERS = {"nih": nih.read, "chexpert": chexpert.read}


def read(root: Path) -> Dataset:
    """Read a phantom dataset with the adapter of its layout, and mark it as synthetic.

    Args:
        root: holds `phantom.json` beside the files of the layout that it names (`nih` where it names none).

    Raises:
        InputError: there is no `phantom.json`, it does not say that the images are synthetic, or the layout's adapter
            refuses the folder.
    """
    file = root / "phantom.json"
    if not file.is_file():
        raise InputError(
            f"{root} holds no phantom.json, so it is no phantom dataset.",
            "Make one with `thorax data make-phantom`, fetch it with `dvc pull`, or choose another data.source.",
        )
    about = read_json(file)
    if not isinstance(about, dict) or about.get("synthetic") is not True:
        raise InputError(f'{file} does not say "synthetic": true.', "Make the phantoms again.")
    if about.get("complete") is False:
        raise InputError(f"{file} says that the set is unfinished.", "Run the same `thorax data make-phantom` again.")
    layout = str(about.get("layout", "nih")).lower()
    if layout not in _READERS:
        raise InputError(f"{file}: unknown layout {layout!r}.", f"Known: {', '.join(sorted(_READERS))}.")
    dataset = _READERS[layout](root)
    dataset.synthetic = True
    dataset.manifest["source"] = "phantom"
    dataset.notes["phantom"] = {key: about[key] for key in ("version", "seed") if key in about}
    return dataset
