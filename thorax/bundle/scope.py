"""What a bundle is made for: the views, ages, sexes and devices of its training data, and what lies outside them."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from pydantic import BaseModel, ConfigDict

if TYPE_CHECKING:
    import pandas as pd

#: A value is in scope from this share of the training images on; ages between these quantiles are.
_SHARE = 0.01
#: Without so many known values nothing is stated of a fact.
_KNOWN = 20
#: Years to which the age range is rounded outwards.
_YEARS = 5
_MISSING = ("", "unknown")


class Scope(BaseModel):
    """What the training data hold; None, or no value, where they do not say.

    Attributes:
        views: PA, AP, LATERAL.
        age: years, from and to, both in scope.
        sexes: F, M.
        manufacturers, modalities: of the devices, where the manifest gives them.
        images: of the training split.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    views: tuple[str, ...] = ()
    age: tuple[float, float] | None = None
    sexes: tuple[str, ...] = ()
    manufacturers: tuple[str, ...] = ()
    modalities: tuple[str, ...] = ()
    images: int = 0

    @classmethod
    def of(cls, rows: "pd.DataFrame") -> "Scope":
        """Derive the scope from the rows of the training images (columns view, age, sex, manufacturer, modality)."""
        import pandas as pd

        words = {name: _frequent(rows[column]) for name, column in _COLUMNS.items() if column in rows}
        ages = pd.to_numeric(rows["age"], errors="coerce").dropna() if "age" in rows else ()
        age = None
        if len(ages) >= _KNOWN:
            low, high = np.quantile(ages, [_SHARE, 1 - _SHARE], method="nearest")
            age = (float(np.floor(low / _YEARS) * _YEARS), float(np.ceil(high / _YEARS) * _YEARS))
        return cls(age=age, images=len(rows), **words)

    def outside(
        self, view: str | None, age: float | None, sex: str | None, acquisition: Mapping[str, str] | None = None
    ) -> dict[str, str]:
        """Return which facts of an image lie outside, each with a sentence; what is not known is not judged."""
        device = acquisition or {}
        given = {
            "view": (view, self.views, "view"),
            "sex": (sex, self.sexes, "sex"),
            "manufacturer": (device.get("manufacturer"), self.manufacturers, "manufacturer"),
            "modality": (device.get("modality"), self.modalities, "modality"),
        }
        found = {
            fact: f"The {name} {value} is outside the model's training data ({', '.join(known)})."
            for fact, (value, known, name) in given.items()
            if known and value is not None and value not in _MISSING and value not in known
        }
        if self.age is not None and age is not None and not self.age[0] <= age <= self.age[1]:
            low, high = self.age
            found["age"] = f"The age {age:.0f} is outside the model's training data ({low:.0f} to {high:.0f} years)."
        return found


_COLUMNS = {"views": "view", "sexes": "sex", "manufacturers": "manufacturer", "modalities": "modality"}


def _frequent(values: "pd.Series") -> tuple[str, ...]:
    """Return the words that a share of the images has, in order."""
    texts = values.dropna().astype(str)
    texts = texts[~texts.isin(_MISSING)]
    if len(texts) < _KNOWN:
        return ()
    shares = texts.value_counts(normalize=True)
    return tuple(sorted(shares.index[shares >= _SHARE]))
