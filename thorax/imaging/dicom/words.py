"""What free text in DICOM tags says of body part, view, age and sex, in the spellings and languages that occur."""

import json
import re
import unicodedata
from collections.abc import Iterable
from datetime import date
from functools import lru_cache
from importlib.resources import files

_UNITS = {"D": 1 / 365.25, "T": 1 / 365.25, "W": 7 / 365.25, "M": 1 / 12, "Y": 1.0, "J": 1.0, "A": 1.0}
_AGE = re.compile(r"\s*(\d{1,3}(?:[.,]\d+)?)\s*([A-Z]?)[A-Z]*\s*")
OLDEST = 120.0
#: Dates that stand for no date.
_NO_BIRTHDAY = ("19000101", "00010101", "18000101")
_SEXES = {
    "F": ("F", "FEMALE", "W", "WEIBLICH", "WOMAN", "FEMININ", "FEMENINO", "FEMININO", "FEMMINA", "MUJER", "FEMME"),
    "M": ("M", "MALE", "MANNLICH", "MAN", "MASCULIN", "MASCULINO", "MASCHIO", "HOMBRE", "HOMME"),
}
_LATERAL = (
    r"LL|RL|LLAT|RLAT|LATL|LATR|LAT|LATERAL\w*|SEITLICH|PROFIL\w*|PERFIL|BOCZN\w*|БОКОВ\w*"
    r"|\w*側面\w*|\w*侧位\w*|\w*側位\w*"
)
_OTHER = r"OBL|OBLIQUE\w*|LAO|RAO|LPO|RPO|LLO|RLO|LLD|RLD|DECUB\w*|LORDOTIC|LORD|APICAL|SCHRAG|TANGENTIAL"
_VIEWS = {
    "LATERAL": re.compile(rf"\b(?:{_LATERAL})\b"),
    "AP": re.compile(r"\bA[-./>→]{0,2}P\b|ANTERO[\W_]*POSTERI|前後|正位AP"),
    "PA": re.compile(r"\bP[-./>→]{0,2}A\b|POSTERO[\W_]*ANTERI|後前|后前"),
    "other": re.compile(rf"\b(?:{_OTHER})\b"),
}


def plain(text: str) -> str:
    """Return text in lower case without accents, its words apart by single blanks.

    >>> plain("TÓRAX_AP")
    'torax ap'
    """
    spread = unicodedata.normalize("NFKD", text).casefold()
    spread = "".join(mark for mark in spread if not unicodedata.combining(mark)).replace("ı", "i").replace("ß", "ss")
    return " ".join(re.sub(r"[\W_\d]+", " ", spread).split())


@lru_cache(maxsize=1)
def _parts() -> dict[str, tuple[frozenset[str], tuple[str, ...], tuple[str, ...]]]:
    stored = json.loads(files("thorax.imaging.dicom").joinpath("body_parts.json").read_text(encoding="utf-8"))
    return {
        name: (
            frozenset(plain(word) for word in said["words"]),
            tuple(plain(word) for word in said["stems"]),
            tuple(plain(word) for word in said["inside"]),
        )
        for name, said in stored.items()
    }


def body_parts(text: str, more: Iterable[str] = (), label: bool = False) -> frozenset[str]:
    """Return which parts of the body a text names, in any language that `body_parts.json` holds.

    Args:
        text: the value of a tag.
        more: further words to look for, returned as they stand.
        label: the text is a label such as BodyPartExamined, whose words may run together (PORTABLECHEST).
    """
    said = plain(text)
    words = said.split()
    joined = said.replace(" ", "")
    found = {word for word in more if plain(word) and f" {plain(word)} " in f" {said} "}
    for name, (whole, stems, inside) in _parts().items():
        if (
            whole.intersection(words)
            or joined in whole
            or any(word.startswith(stems) for word in words)
            or any(part in said for part in inside)
        ):
            found.add(name)
    if label and "chest" in joined:
        found.add("chest")
    # "Thoracic spine" and its kind are spines, not chests.
    if "chest" in found and re.search(r"spine|wirbel|vertebr|column|colonn|позвон|lumb", said):
        found = found - {"chest", "neck or spine"} | {"thoracic spine"}
    return frozenset(found)


def view(text: str) -> str | None:
    """Return PA, AP, LATERAL or "other" (oblique, decubitus, …); None where the text names none of them, or several.

    >>> view("AP Supine"), view("P.A."), view("CHEST PA AND LATERAL"), view("LLO")
    ('AP', 'PA', None, 'other')
    """
    spread = unicodedata.normalize("NFKD", text).upper().replace("_", " ")
    spread = "".join(mark for mark in spread if not unicodedata.combining(mark))
    found = [name for name, pattern in _VIEWS.items() if pattern.search(spread)]
    if "other" in found:
        return "other"
    return found[0] if len(found) == 1 else None


def age(text: str) -> float | None:
    """Return years from an age with or without a unit; None where it is empty, zero or impossible.

    >>> age("060Y"), age("60"), age("6M"), age("")
    (60.0, 60.0, 0.5, None)
    """
    match = _AGE.fullmatch(text.upper())
    if match is None or match[2] not in ("", *_UNITS):
        return None
    years = float(match[1].replace(",", ".")) * _UNITS.get(match[2], 1.0)
    return years if 0 < years <= OLDEST else None


def age_between(born: str, seen: str) -> float | None:
    """Return whole years, of infants whole months as years, between two DICOM dates; None where either is no date.

    Coarse on purpose: with the date of a study, an exact age gives the day of birth away.
    """
    try:
        first, last = (date(int(day[:4]), int(day[4:6]), int(day[6:8])) for day in (_digits(born), _digits(seen)))
    except ValueError:
        return None
    if _digits(born) in _NO_BIRTHDAY:
        return None
    months = (last.year - first.year) * 12 + last.month - first.month - (last.day < first.day)
    years = float(months // 12) if months >= 24 else months / 12
    return years if 0 <= years <= OLDEST else None


def _digits(day: str) -> str:
    return re.sub(r"\D", "", day)[:8]


def sex(text: str) -> str | None:
    """Return F or M, or None for other, unknown or empty."""
    word = plain(text).upper()
    return next((sex for sex, words in _SEXES.items() if word in words), None)
