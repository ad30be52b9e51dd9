"""How each watched column is cut into bins, once, on the reference; everything after is counts."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from thorax.errors import InputError
from thorax.prediction_log import EMBEDDING, OF_FINDING, STATISTICS, columns_of

#: Fine bins of a numeric column, of equal mass on the reference; the distance between distributions is taken on them.
FINE = 40
#: Coarse bins, each several fine ones, on which the population stability index is taken, as is usual.
COARSE = 10
#: What a client may or may not send along; whether it does says nothing about the images.
GIVEN = ("view", "age", "sex")
_UNKNOWN = "unknown"
_GROUPS = dict.fromkeys((*STATISTICS, "bits"), "image") | dict.fromkeys(
    ("ood_score", "ood", "outside_scope"), "novelty"
)
_OF_FINDING = dict.fromkeys(OF_FINDING, "heat") | {
    "p": "probability",
    "d": "decision",
    "c": "conformal",
    "u": "uncertainty",
}


@dataclass(frozen=True)
class Column:
    """One watched column.

    Attributes:
        name: of the column.
        numeric: whether it is a measure; otherwise it is one of a few words.
        edges: inner edges of the fine bins (k − 1,), ascending; empty for words.
        widths: how much of the axis stands behind each inner edge (k − 1,), in reference standard deviations.
        words: the words that the reference knows, for columns of words; every other counts as one more.
        coarse: (k,) the coarse bin of each fine bin, words and missing values a bin each.
        skips_missing: missing values are left out rather than counted.
    """

    name: str
    numeric: bool
    edges: np.ndarray
    widths: np.ndarray
    words: tuple[str, ...]
    coarse: np.ndarray
    skips_missing: bool

    @property
    def size(self) -> int:
        """Fine bins, with the last for missing values."""
        return len(self.coarse)

    def codes(self, values: pd.Series) -> np.ndarray:
        """Return the fine bin of each value, int16 (n,); −1 where the value is left out."""
        if self.numeric:
            numbers = pd.to_numeric(values, errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan)
            missing = ~np.isfinite(numbers)
            found = np.searchsorted(self.edges, numbers, side="right").astype(np.int16)
        else:
            texts = _texts(values)
            missing = (texts.isna() | (texts == _UNKNOWN) if self.skips_missing else texts.isna()).to_numpy()
            place = {word: at for at, word in enumerate(self.words)}
            found = texts.map(place).fillna(len(self.words)).to_numpy(dtype=np.int16)
        found[missing] = -1 if self.skips_missing else self.size - 1
        return found


def watch(reference: pd.DataFrame) -> list[Column]:
    """Cut the columns that can be compared, in the order of the reference.

    Args:
        reference: a bundle's `reference.parquet`.

    Raises:
        InputError: the reference has no findings or no rows.
    """
    findings = findings_of(reference)
    if not findings or reference.empty:
        raise InputError("The reference is empty, or holds no finding.", "Register the model anew.")
    kinds = {name: kind for name, kind in columns_of(findings).items() if name not in EMBEDDING}
    made = (_column(name, kinds[name] == "REAL", reference[name]) for name in kinds if name in reference.columns)
    return [column for column in made if column is not None]


def findings_of(frame: pd.DataFrame) -> tuple[str, ...]:
    """Return the findings that a log or a reference has probabilities of."""
    return tuple(name.removeprefix("p_") for name in frame.columns if name.startswith("p_"))


def group_of(name: str) -> str:
    """Return the group of a column, as `monitor.alarm` and `monitor.warn` name it.

    >>> group_of("p_Edema"), group_of("noise"), group_of("heat_x_Edema"), group_of("ood")
    ('probability', 'image', 'heat', 'novelty')
    """
    if name in _GROUPS:
        return _GROUPS[name]
    kinds = sorted(_OF_FINDING, key=len, reverse=True)
    return next((_OF_FINDING[kind] for kind in kinds if name.startswith(f"{kind}_")), name)


def require(names: Iterable[str], columns: Sequence[Column]) -> None:
    """Refuse a log without probabilities of the reference's findings. Other columns that it lacks are only not judged.

    Raises:
        InputError: names the columns.
    """
    known = set(names)
    missing = [column.name for column in columns if column.name.startswith("p_") and column.name not in known]
    if missing:
        shown = ", ".join(missing[:6]) + (" …" if len(missing) > 6 else "")
        raise InputError(
            f"The prediction log lacks {shown}: it is of another model.",
            "Compare with the reference of the model that answered.",
        )


def _column(name: str, numeric: bool, values: pd.Series) -> Column | None:
    """Cut one column; None where the reference knows nothing of it."""
    skips = name in GIVEN
    if not numeric:
        texts = _texts(values).dropna()
        words = tuple(sorted(set(texts) - ({_UNKNOWN} if skips else set())))
        if not words:
            return None
        none = np.empty(0)
        return Column(name, False, none, none, words, np.arange(len(words) + 2, dtype=np.int64), skips)
    numbers = pd.to_numeric(values, errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan)
    finite = np.sort(numbers[np.isfinite(numbers)])
    if not len(finite):
        return None
    deviation = float(finite.std()) or 1.0
    distinct = np.unique(finite)
    if len(distinct) <= COARSE:
        # A few values: a bin each, and one on either side for values that the reference never had.
        middles = (distinct[1:] + distinct[:-1]) / 2
        edges = np.concatenate([distinct[:1], middles, [np.nextafter(distinct[-1], np.inf)]])
        coarse = np.arange(len(edges) + 1, dtype=np.int64)
    else:
        edges = np.unique(np.quantile(finite, np.linspace(0, 1, FINE + 1)[1:-1], method="inverted_cdf"))
        # An edge at the least value would leave an empty bin below it; values equal to an edge lie above it.
        edges = edges[edges > finite[0]]
        share = np.searchsorted(finite, edges, side="left") / len(finite)
        coarse = np.concatenate([[0], np.minimum((share * COARSE + 1e-9).astype(np.int64), COARSE - 1)])
        _, coarse = np.unique(coarse, return_inverse=True)
    points = np.concatenate([[finite[0]], edges, [finite[-1]]])
    widths = (points[2:] - points[:-2]) / 2 / deviation
    return Column(name, True, edges, widths, (), np.append(coarse, coarse[-1] + 1), skips)


def _texts(values: pd.Series) -> pd.Series:
    """Words as text: 1, 1.0 and True are the same word."""
    if pd.api.types.is_bool_dtype(values) or pd.api.types.is_numeric_dtype(values):
        return values.astype("Float64").astype("Int64").astype("string").astype(object)
    return values.astype(object)
