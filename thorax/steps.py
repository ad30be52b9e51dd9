"""What a pipeline hands to its steps: for each, the settings it reads and a digest of the code it runs, and no more.

A step is repeated when something it depends on has changed, and only then: changing the service's port retrains
nothing.
"""

import json
import os
from pathlib import Path
from typing import Any

from thorax.errors import InputError
from thorax.files import digest_json
from thorax.provenance import code_digest
from thorax.proxies import bypass
from thorax.settings import Settings, parse

#: A step, the sections of the settings that it reads, and the modules where its code begins.
READS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "check": (("paths", "preprocess", "registry"), ("thorax.preflight",)),
    "ingest": (("paths", "data"), ("thorax.datasets.ingest", "thorax.datasets.pack", "thorax.datasets.arrival")),
    "prepare": (("paths", "preprocess"), ("thorax.preprocessing.parts", "thorax.datasets.pack")),
    "validate": (("paths", "data", "validation", "split", "preprocess"), ("thorax.validation.gate",)),
    "preprocess": (("paths", "data", "split", "preprocess"), ("thorax.preprocessing",)),
    "train": (("train", "paths", "registry"), ("thorax.training",)),
    "calibrate": (("calibration",), ("thorax.calibration",)),
    "evaluate": (("evaluation",), ("thorax.evaluation",)),
    "select": (("select",), ("thorax.evaluation",)),
    # The record of a run holds all its settings, but for those of what comes after it.
    "register": (
        (
            *("paths", "data", "validation", "split", "preprocess", "train"),
            *("calibration", "evaluation", "select", "registry"),
        ),
        ("thorax.registry.record", "thorax.evaluation.exports"),
    ),
}

#: Settings that change where or when work is done, never its result.
_IRRELEVANT = {
    "data": {"root": None, "phantom": None},
    "preprocess": {"workers": None},
    "train": {"architectures": None},
}


def arguments(settings: Settings, more: dict[str, dict[str, Any]] | None = None) -> dict[str, Any]:
    """Return the pipeline's arguments, but for the data's revision and the reason of the run.

    They are the dataset's folder, what is fanned out over, and for each step `<step>_settings`: a JSON text of sections
    and code digest.

    Args:
        settings: all settings.
        more: a step, and what else it is handed; see `handed_of`.
    """
    tree = settings.model_dump(mode="json")
    tree["paths"]["var"] = str(settings.var)
    tree["registry"]["tracking_uri"] = settings.tracking_uri
    return {
        "root": str(settings.data_root),
        "parts": part_names(settings),
        "architectures": list(settings.train.architectures),
        **{f"{step}_settings": _argument(tree, step, (more or {}).get(step, {})) for step in READS},
    }


def part_names(settings: Settings) -> list[str]:
    """Return the names of the parts among which the images are divided: 1/3, 2/3, 3/3."""
    count = settings.pipeline.parts
    return [f"{number}/{count}" for number in range(1, count + 1)]


def _argument(tree: dict[str, Any], step: str, more: dict[str, Any]) -> str:
    sections, modules = READS[step]
    kept = {name: _without(tree[name], _IRRELEVANT.get(name, {})) for name in sections}
    if step == "train":
        # A training is followed in MLflow; what its model will be judged by is not its business.
        kept["registry"] = _without(tree["registry"], {"gates": None, "require_approval": None})
    if step == "check":
        kept["registry"] = {"tracking_uri": tree["registry"]["tracking_uri"]}
        more = {**more, "codes": {other: code_digest(begins) for other, (_, begins) in READS.items()}}
    return json.dumps({"step": step, "settings": kept, "code": code_digest(modules), **more}, sort_keys=True)


def _without(section: dict[str, Any], dropped: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in section.items() if key not in dropped}


def settings_of(argument: str) -> Settings:
    """Return the settings that a step was handed; sections that it does not read have their defaults.

    Raises:
        InputError: the code here is not the code that the run was begun with, under whose digest the result would be
            kept: an image of another commit, or a file that was edited meanwhile.
    """
    bypass(addresses=argument)
    handed = json.loads(argument)
    require_code({handed["step"]: handed["code"]})
    home = Path(os.environ.get("THORAX_HOME", ".")).absolute()
    return parse(handed["settings"], home, "the step's settings")


def handed_of(argument: str, key: str, default: Any = None) -> Any:
    """Return what else a step was handed beside its settings: a fact of the run, such as how many GPUs it was given."""
    return json.loads(argument).get(key, default)


def require_code(codes: dict[str, str]) -> None:
    """Refuse code that is not the code that a run was begun with.

    Args:
        codes: a step, and the digest of its code then.

    Raises:
        InputError: names the steps whose code is another here.
    """
    others = [step for step in READS if step in codes and code_digest(READS[step][1]) != codes[step]]
    if others:
        raise InputError(
            f"The code of {', '.join(others)} here is not the code that the run was begun with.",
            "On a cluster: build the image from the commit that you submit from, name it under cluster.image, and "
            "submit again. On your machine the code was edited meanwhile: run again.",
        )


def key_of(*parts: Any) -> str:
    """Return a short key for what a result depends on, for folders that outlive a run, such as checkpoints."""
    return digest_json(parts)[:24]
