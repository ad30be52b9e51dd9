"""Two versions side by side: what differs in where they come from, and in what they answer."""

import tempfile
from pathlib import Path
from typing import Any

from thorax.errors import ThoraxError
from thorax.registry.bundles import download
from thorax.registry.evidence import FILE, Evidence, weigh
from thorax.registry.gates import Gate, against_champion
from thorax.registry.paired import Comparison
from thorax.registry.tracking import client, speaking
from thorax.registry.versions import Version, exists, resolve
from thorax.settings import Settings

#: What stands in place of a comparison where there is nobody to compare with.
NO_CHAMPION = "no champion yet: there is nobody to beat"
#: And where its alias points to a version that was deleted.
GONE = "no champion to compare with: version {} is gone"


def evidence_of(settings: Settings, version: Version) -> Evidence:
    """Fetch what a version answered on its test patients.

    Raises:
        RegistryError: it is gone, or was never kept.
        InputError: it is damaged.
    """
    with tempfile.TemporaryDirectory() as folder:
        return Evidence.load(download(settings, version, FILE, Path(folder)))


def compare(settings: Settings, one: Version, two: Version) -> Comparison | str:
    """Compare two versions on the test images that both have answered, of patients that neither has learnt from.

    Returns:
        The comparison (one − two), or a text that says why there is none.
    """
    try:
        return weigh(evidence_of(settings, one), evidence_of(settings, two), settings.evaluation)
    except ThoraxError as error:
        return f"they cannot be compared: {error.message}"


def against(settings: Settings, version: Version, champion: str) -> Gate:
    """Judge a version against a champion, "" for none, by the answers that both have kept."""
    rule, connection = settings.registry.gates, client(settings)
    if champion and exists(settings, champion, connection):
        found = compare(settings, version, resolve(settings, champion, connection))
    else:
        found = GONE.format(champion) if champion else NO_CHAMPION
    return against_champion(found, rule.challenger_rule, rule.challenger_margin)


def differences(settings: Settings, one: Version, two: Version) -> dict[str, tuple[str, str]]:
    """Return what differs between two versions: `{name: (of one, of two)}`, lineage first, then parameters."""
    facts = [{f"lineage.{key}": value for key, value in item.lineage.items()} for item in (one, two)]
    for found, item in zip(facts, (one, two), strict=True):
        found |= {f"model.{key}": value for key, value in item.facts.items()}
        found |= {f"params.{key}": value for key, value in _params(settings, item).items()}
    names = dict.fromkeys((*facts[0], *facts[1]))
    pairs = {name: (facts[0].get(name, ""), facts[1].get(name, "")) for name in names}
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}


def _params(settings: Settings, version: Version) -> dict[str, Any]:
    """The parameters of the run that made a version; none where the run is gone."""
    from mlflow.exceptions import MlflowException

    connection = client(settings)
    if not version.run_id:
        return {}
    with speaking(settings):
        try:
            return dict(connection.get_run(version.run_id).data.params)
        except MlflowException as error:
            if error.error_code == "RESOURCE_DOES_NOT_EXIST":
                return {}
            raise
