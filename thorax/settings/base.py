"""What every section of the settings is made of: its base class, its types, and how a wrong value is told."""

import re
from collections.abc import Sequence
from typing import Annotated, Any, get_args

from pydantic import BaseModel, ConfigDict, Field

from thorax.errors import nearest

Share = Annotated[float, Field(ge=0.0, le=1.0)]
Count = Annotated[int, Field(ge=0)]
Positive = Annotated[int, Field(ge=1)]


class Section(BaseModel):
    """A frozen part of the settings that knows no key but its own."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=False)


def explain(item: Any, root: type[BaseModel]) -> str:
    """One line for one validation error: the path, what is wrong, what was expected."""
    path = ".".join(str(part) for part in item["loc"])
    if item["type"] == "extra_forbidden":
        return f"{path}: unknown key. {nearest(str(item['loc'][-1]), _keys(item['loc'][:-1], root))}"
    if isinstance(item["input"], dict):
        return f"{path}: {item['msg'].removeprefix('Value error, ')}"
    told = f"{path}: {item['msg']} (found {item['input']!r})"
    if item["type"] == "literal_error" and isinstance(item["input"], str):
        words = re.findall(r"'([^']*)'", item["ctx"]["expected"])
        hint = nearest(item["input"], words)
        told += f". {hint}" if hint.startswith("Did") else ""
    return told


def _keys(path: Sequence[Any], root: type[BaseModel]) -> list[str]:
    """The keys that are known under a path."""
    section: Any = root
    for part in path:
        if isinstance(part, int):
            section = next(iter(get_args(section)), None)
            continue
        field = section.model_fields.get(part) if hasattr(section, "model_fields") else None
        section = field.annotation if field is not None else None
    return [name for name in getattr(section, "model_fields", {}) if name != "home"]
