"""The champion on the challenger's test patients: its stored answers where it has them, new ones where it has not."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from thorax.bundle import Bundle
from thorax.errors import ThoraxError
from thorax.registry.bundles import fetch_version
from thorax.registry.contrast import GONE, NO_CHAMPION, evidence_of
from thorax.registry.evidence import Evidence, digests, weigh
from thorax.registry.paired import Comparison
from thorax.registry.versions import CHAMPION, aliases, exists, resolve
from thorax.settings import Settings

if TYPE_CHECKING:
    from mlflow import MlflowClient

_BATCH = 64


def with_champion(
    settings: Settings, connection: "MlflowClient", evidence: Evidence | None, store: Path | None
) -> Comparison | str:
    """Compare a new model with the champion on the same test patients, or say why that cannot be done.

    Args:
        settings: where the registry is, and the bootstrap's replicates and confidence.
        connection: to the registry.
        evidence: the new model's answers on its test patients.
        store: the image store of its test split; the champion is scored on those it has not answered yet.

    Returns:
        The comparison, or a text; it begins with "no champion" where there is none.
    """
    number = aliases(settings, connection).get(CHAMPION)
    if number is None or not exists(settings, number, connection):
        return NO_CHAMPION if number is None else GONE.format(number)
    if evidence is None:
        return "there are no answers on test patients to compare the champion with"
    champion = resolve(settings, CHAMPION, connection)
    try:
        theirs = evidence_of(settings, champion)
        rescore = None if store is None else _Rescorer(fetch_version(settings, champion), store)
        return weigh(evidence, theirs, settings.evaluation, rescore)
    except ThoraxError as error:
        return f"the champion, version {champion.version}, cannot be compared with: {error.message}"


class _Rescorer:
    """Scores images of a store's test split with another model's bundle."""

    def __init__(self, bundle: Path, store: Path) -> None:
        self._bundle = bundle
        self._store = store

    def __call__(self, images: np.ndarray) -> np.ndarray:
        """Return probabilities (n, F), NaN where the store does not hold what the bundle reads."""
        from thorax.preprocessing.store import ImageStore

        # In float32, as the answers that it is compared with.
        model, store = Bundle.load(self._bundle, precision="float32"), ImageStore.open(self._store)
        found = np.full((len(images), len(model.findings)), np.nan)
        how, wanted = store.info["preprocessing"], model.info.preprocessing
        stored = (store.size, how["resize"], how["clahe"], how.get("crop", "none"))
        if stored != (wanted.size, wanted.resize, wanted.clahe, wanted.crop):
            return found
        test = store.indices("test")
        place = dict(zip(digests(store.rows["image_id"].iloc[test]).tolist(), test.tolist(), strict=True))
        held = np.flatnonzero([image in place for image in images.tolist()])
        rows = np.array([place[image] for image in images[held].tolist()], dtype=np.int64)
        for start in range(0, len(rows), _BATCH):
            logits = model.run(store.images(rows[start : start + _BATCH]))[0]
            found[held[start : start + _BATCH]] = model.calibration.probabilities(logits)
        return found
