"""Presets: small files of settings under `presets/` that lie over `params.yaml` and under what is set by hand."""

from pathlib import Path
from typing import Any

import yaml

from thorax.errors import SettingsError, nearest

FOLDER = "presets"
#: Mappings that a preset replaces whole: what an architecture takes otherwise belongs to the recipe it stood in.
_WHOLE = frozenset({"overrides"})


def list_presets(home: Path) -> dict[str, str]:
    """Return the presets of a project: each one's name, and the first comment line of its file."""
    found = {}
    for file in sorted((home / FOLDER).glob("*.yaml")):
        first = file.read_text(encoding="utf-8").partition("\n")[0]
        found[file.stem] = first.removeprefix("#").strip() if first.startswith("#") else ""
    return found


def read_preset(home: Path, name: str) -> dict[str, Any]:
    """Read a preset.

    Args:
        home: the project's folder.
        name: of a file under `presets/`, without its suffix.

    Raises:
        SettingsError: there is none of that name (the nearest is named), or it is not YAML of sections.
    """
    known = list_presets(home)
    if name not in known:
        raise SettingsError(f"There is no preset {name!r} in {home / FOLDER}.", nearest(str(name), known))
    file = home / FOLDER / f"{name}.yaml"
    try:
        tree = yaml.safe_load(file.read_text(encoding="utf-8")) or {}
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise SettingsError(f"{file} is not valid YAML: {error}") from error
    if not isinstance(tree, dict):
        raise SettingsError(f"{file} must hold sections, such as `train:`; it holds {type(tree).__name__}.")
    return tree


def lay_over(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    """Return settings with a preset laid over them: sections are joined key by key, values replaced.

    >>> lay_over({"train": {"epochs": 2, "seed": 1}}, {"train": {"epochs": 9}})
    {'train': {'epochs': 9, 'seed': 1}}
    """
    joined = dict(below)
    for key, value in above.items():
        old = joined.get(key)
        both = isinstance(value, dict) and isinstance(old, dict) and key not in _WHOLE
        joined[key] = lay_over(old or {}, value) if both else value
    return joined
