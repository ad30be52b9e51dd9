"""The vocabulary of findings: the shipped definitions (`vocabularies/findings.yaml`), and a user's own over them.

Only this module reads definitions. A run's vocabulary is `settings.data.words`, a model's `bundle.info.words`; the
functions of this module speak of the shipped definitions alone.
"""

import functools
import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

import vocabularies
from thorax.errors import InputError, SettingsError, nearest

NO_FINDING = "No_Finding"
OTHER_FINDING = "Other_Finding"
SHIPPED_FILE = Path(vocabularies.__path__[0]) / "findings.yaml"
#: Codes that are this project's own (PS3.16 8.2: private designators begin with 99).
PRIVATE = "99THORAX"
_LONGEST_CODE = 16

Kind = Literal["finding", "device", "artefact", "none"]


class _Definition(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", coerce_numbers_to_str=True)


class Code(_Definition):
    """A code of a published scheme, or one of the project's own (`99THORAX`)."""

    scheme: Annotated[str, Field(min_length=1, max_length=16)]
    value: Annotated[str, Field(min_length=1, max_length=64)]
    meaning: Annotated[str, Field(min_length=1, max_length=64)]


class Finding(_Definition):
    """One finding. Its name is a column of manifests: it starts with a capital letter, then letters, digits and "_"."""

    name: Annotated[str, Field(pattern=r"^[A-Z][A-Za-z0-9_]{0,63}$")]
    display: Annotated[str, Field(max_length=64)] = ""
    synonyms: tuple[str, ...] = ()
    code: Code | None = None
    group: str = ""
    parents: tuple[str, ...] = ()
    excludes: tuple[str, ...] = ()
    kind: Kind = "finding"
    sensitivity: Annotated[float, Field(gt=0, lt=1)] | None = None

    def over(self, below: "Finding") -> "Finding":
        """Return this definition, with all that it leaves at its default taken from another."""
        defaults = {name: field.default for name, field in type(self).model_fields.items()}
        own = {name: getattr(self, name) for name in defaults if getattr(self, name) != defaults[name]}
        return below.model_copy(update=own)


def _named(value: Any) -> Any:
    """A mapping of names to definitions becomes a list of definitions."""
    if isinstance(value, Mapping):
        return [
            {"name": str(name), **(keys or {})} if isinstance(keys, (Mapping, type(None))) else keys
            for name, keys in value.items()
        ]
    return value


class Definitions(_Definition):
    """Findings and named sets of them, as a file or `data.vocabulary` holds them."""

    findings: Annotated[tuple[Finding, ...], BeforeValidator(_named)] = ()
    sets: dict[str, tuple[str, ...]] = {}

    @classmethod
    def read(cls, path: Path) -> "Definitions":
        """Read a YAML file: a list of findings, or `findings:` and `sets:`.

        Raises:
            SettingsError: the file is missing or not YAML, or holds a wrong key or value.
        """
        try:
            loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
            tree = yaml.load(path.read_bytes(), Loader=loader)  # noqa: S506  # nosec B506
        except FileNotFoundError as error:
            raise SettingsError(f"The vocabulary {path} does not exist.", "Correct data.vocabulary.") from error
        except (OSError, yaml.YAMLError, UnicodeDecodeError) as error:
            raise SettingsError(f"The vocabulary {path} is not valid YAML: {error}") from error
        try:
            return cls.model_validate({"findings": tree or ()} if not isinstance(tree, dict) else tree)
        except ValidationError as error:
            lines = [f"{_place(tree, item['loc'])}: {item['msg']}" for item in error.errors()]
            raise SettingsError(
                f"The vocabulary {path} holds wrong definitions:\n  " + "\n  ".join(lines),
                f"Keys of a finding: {', '.join(Finding.model_fields)}.",
            ) from error


def _place(tree: Any, keys: Sequence[str | int]) -> str:
    """Name the place of a wrong value, a finding by its name instead of its number."""
    listed = tree.get("findings", ()) if isinstance(tree, dict) else tree
    names = list(listed) if isinstance(listed, (list, Mapping)) else []
    words = [str(key) for key in keys if key != "findings"]
    if len(keys) > 1 and keys[0] == "findings" and isinstance(keys[1], int) and keys[1] < len(names):
        one = names[keys[1]]
        words[0] = str(one.get("name", f"finding {keys[1] + 1}") if isinstance(one, Mapping) else one)
    return ".".join(words) or "the file"


class Vocabulary:
    """A closed set of definitions: names are unique, parents and exclusions are defined, and no parent is circular.

    Raises:
        InputError: names what contradicts.
    """

    def __init__(self, findings: Iterable[Finding], sets: Mapping[str, Sequence[str]] | None = None) -> None:
        self._findings: dict[str, Finding] = {}
        for one in findings:
            if one.name in self._findings:
                raise InputError(f"The finding {one.name} is defined twice.", "Keep one definition.")
            self._findings[one.name] = one
        self._spellings = self._spelled()
        self.sets = {name: tuple(map(self._member, members)) for name, members in (sets or {}).items()}
        for one in self._findings.values():
            for kind in ("parents", "excludes"):
                for other in getattr(one, kind):
                    if other not in self._findings:
                        raise InputError(
                            f"{one.name}.{kind} names {other!r}, which is not defined.", nearest(other, self._findings)
                        )
        for name in self._findings:
            self._acyclic(name)

    def merged(self, own: Definitions) -> "Vocabulary":
        """Return this vocabulary with definitions laid over it, key by key; their spellings win over those below."""
        if not own.findings and not own.sets:
            return self
        taken = {fold(text) for one in own.findings for text in (one.name, *one.synonyms)}
        names = [one.name for one in own.findings]
        repeated = sorted({name for name in names if names.count(name) > 1})
        if repeated:
            raise InputError(f"The finding {repeated[0]} is defined twice.", "Keep one definition.")
        found = {}
        for name, one in self._findings.items():
            if fold(name) in taken and name not in names:
                clash = next(new.name for new in own.findings if fold(name) in map(fold, (new.name, *new.synonyms)))
                raise InputError(f"{clash} takes the name of the finding {name}.", f"Name it {name}, or differently.")
            rest = tuple(text for text in one.synonyms if fold(text) not in taken)
            found[name] = one.model_copy(update={"synonyms": rest})
        for one in own.findings:
            below = found.get(one.name)
            if below is not None:
                synonyms = tuple(dict.fromkeys((*below.synonyms, *one.synonyms)))
                one = one.over(below).model_copy(update={"synonyms": synonyms})
            found[one.name] = one
        return Vocabulary(found.values(), {**self.sets, **own.sets})

    def __iter__(self) -> Iterator[str]:
        """Iterate over the names, in the order of definition."""
        return iter(self._findings)

    def __contains__(self, name: object) -> bool:
        return name in self._findings

    def __getitem__(self, name: str) -> Finding:
        """Return a definition; that of a name that is not defined has a name alone."""
        return self._findings.get(name) or Finding.model_construct(name=name)

    def canonical(self, name: str) -> str:
        """Return the name of the finding that a published spelling means; an unknown spelling comes back as it is.

        >>> SHIPPED.canonical("Pleural Effusion"), SHIPPED.canonical("Infiltrate"), SHIPPED.canonical("No Finding")
        ('Effusion', 'Infiltration', 'No_Finding')
        """
        plain = name.strip()
        return self._spellings.get(fold(plain), plain)

    def resolve(self, choice: str | Sequence[str], among: Iterable[str] = ()) -> tuple[str, ...]:
        """Turn a choice (a named set, names with commas between, or a list) into finding names, in order.

        Args:
            choice: what to resolve.
            among: where it is given, only these findings may be chosen.

        Raises:
            InputError: an unknown or repeated finding, or none at all.
        """
        if isinstance(choice, str):
            if choice in self.sets:
                return self.sets[choice]
            choice = [part for part in choice.split(",") if part.strip()]
        names = tuple(self.canonical(str(name)) for name in choice)
        known = tuple(among) or tuple(self._findings)
        for name in names:
            if name not in known:
                near = nearest(name, (*known, *self.sets))
                raise InputError(
                    f"Unknown finding {name!r}.",
                    near if among else f"{near} Define a finding of your own under data.vocabulary in params.yaml.",
                )
        if not names:
            raise InputError("No finding was chosen.", "Name at least one under data.findings in params.yaml.")
        if len(set(names)) < len(names):
            repeated = sorted({name for name in names if names.count(name) > 1})
            raise InputError(f"Findings are named twice: {', '.join(repeated)}.")
        return names

    def display(self, name: str) -> str:
        """Return a finding as text shows it in mid-sentence.

        >>> SHIPPED.display("Pleural_Thickening"), SHIPPED.display("COVID_19")
        ('pleural thickening', 'COVID-19')
        """
        return self[name].display or name.replace("_", " ").lower()

    def code(self, name: str) -> Code:
        """Return a finding's code: the defined one, or a private one."""
        defined = self[name].code
        if defined is not None:
            return defined
        short = name
        if len(name) > _LONGEST_CODE:  # of a DICOM code value
            digest = hashlib.blake2b(name.encode(), digest_size=2).hexdigest()
            short = f"{name[: _LONGEST_CODE - 5]}_{digest}"
        return Code(scheme=PRIVATE, value=short, meaning=upper_first(self.display(name))[:64])

    def kind(self, name: str) -> Kind:
        """Return whether it is a finding, a device, an artefact, or none of them."""
        return self[name].kind

    def sensitivity(self, name: str) -> float | None:
        """Return the sensitivity that is wanted of a finding's operating point; None: the one of the settings."""
        return self[name].sensitivity

    def ancestors(self, name: str) -> tuple[str, ...]:
        """Return parents, their parents, and so on."""
        found: dict[str, None] = {}
        waiting = list(self[name].parents)
        while waiting:
            one = waiting.pop(0)
            if one not in found:
                found[one] = None
                waiting.extend(self[one].parents)
        return tuple(found)

    def descendants(self, name: str) -> tuple[str, ...]:
        """Return every finding of which this one is an ancestor."""
        return tuple(one for one in self._findings if name in self.ancestors(one))

    def exclude(self, one: str, other: str) -> bool:
        """Return whether two findings contradict each other on one image."""
        if other in self[one].excludes or one in self[other].excludes:
            return True
        kinds = {self.kind(one), self.kind(other)}
        return one != other and kinds == {"none", "finding"}

    def definitions(self, names: Iterable[str]) -> Definitions:
        """Return what is to be kept of some findings: their definitions, and those that they refer to."""
        kept: dict[str, Finding] = {}
        waiting = list(names)
        while waiting:
            one = self[waiting.pop(0)]
            if one.name not in kept:
                kept[one.name] = one
                waiting.extend((*one.parents, *one.excludes))
        return Definitions(findings=tuple(kept.values()))

    def _member(self, name: str) -> str:
        found = self.canonical(name)
        if found not in self._findings:
            raise InputError(f"A set names {name!r}, which is not defined.", nearest(name, self._findings))
        return found

    def _spelled(self) -> dict[str, str]:
        spelled: dict[str, str] = {}
        for one in self._findings.values():
            for text in (one.name, *one.synonyms):
                other = spelled.setdefault(fold(text), one.name)
                if other != one.name:
                    raise InputError(f"The spelling {text!r} means both {other} and {one.name}.", "Remove one.")
        return spelled

    def _acyclic(self, name: str) -> None:
        if name in self.ancestors(name):
            raise InputError(
                f"{name} is its own parent, by way of {', '.join(self.ancestors(name))}.", "Remove one of the parents."
            )


def fold(text: str) -> str:
    """Return a spelling without what does not matter: case, "_", "-", "/" and repeated spaces."""
    return re.sub(r"[\s_/-]+", " ", text).strip().lower()


def upper_first(text: str) -> str:
    """Return a text with its first letter in upper case, and all others as they are."""
    return text[:1].upper() + text[1:]


@functools.cache
def _shipped() -> Vocabulary:
    read = Definitions.read(SHIPPED_FILE)
    return Vocabulary(read.findings, read.sets)


SHIPPED = _shipped()
KNOWN = tuple(SHIPPED)
NIH14 = SHIPPED.sets["nih14"]
CHEXPERT13 = SHIPPED.sets["chexpert13"]
CHEXPERT14 = SHIPPED.sets["chexpert14"]
CHEXPERT_REPORT = SHIPPED.sets["chexpert-report"]
#: The device of CheXpert's labels, which phantoms draw.
SUPPORT_DEVICES = next(name for name in CHEXPERT13 if SHIPPED.kind(name) == "device")

canonical = SHIPPED.canonical
resolve = SHIPPED.resolve
