"""Put a bundle into the registry: as a new version, without pickle, with its lineage and the verdict of each gate."""

import json
import math
import tempfile
import time
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from thorax.bundle import Bundle, identity
from thorax.bundle.verify import content, read_info
from thorax.errors import BundleError, GateError
from thorax.files import write_json
from thorax.provenance import UNKNOWN
from thorax.provenance import versions as installed
from thorax.registry.challenge import with_champion
from thorax.registry.decisions import decide, heal
from thorax.registry.evidence import FILE, Evidence
from thorax.registry.gates import Gate, Trial, judge
from thorax.registry.pyfunc import signature
from thorax.registry.run_logging import describe_version
from thorax.registry.tracking import client, initialise, locked, quiet_mlflow, speaking
from thorax.registry.versions import (
    AGAINST,
    BUNDLE_CONTENT,
    BUNDLE_DIGEST,
    BUNDLE_PATH,
    CHALLENGER,
    CHAMPION,
    FACT,
    GATE,
    LINEAGE,
    METRIC,
    STATE,
    VALIDATION,
    Version,
    aliases,
    resolve,
)
from thorax.settings import Settings

if TYPE_CHECKING:
    from mlflow import MlflowClient

#: What the registered model needs to answer; PyTorch and MLflow's own server are not among it.
_NEEDS = (
    "thorax",
    "numpy",
    "pandas",
    "onnxruntime",
    "openvino",
    "opencv-python-headless",
    "pillow",
    "safetensors",
    "pydantic",
)
_ARTIFACT = "model"
_DESCRIPTION = (
    "Multi-label findings on chest radiographs. Research software, not a medical device.\n\n"
    "The service answers with the version that has the alias `champion`. `thorax models promote`, `rollback` and "
    "`history` change and show it; a promotion requires that every gate of the version passed."
)
#: All settings under which a version was made, beside its bundle.
SETTINGS = "settings.json"


@dataclass(frozen=True)
class Registered:
    """A registered version: its number, its aliases, the verdict of each gate, and the MLflow run that made it."""

    name: str
    version: str
    aliases: tuple[str, ...]
    gates: tuple[Gate, ...]
    run_id: str
    #: False where an earlier run registered the same bundle: nothing has changed since.
    new: bool = True

    @property
    def passed(self) -> bool:
        """Whether every gate passed."""
        return all(gate.passed for gate in self.gates)


def register(
    settings: Settings,
    bundle: Path,
    evaluation: Mapping[str, Any],
    lineage: Mapping[str, Any],
    *,
    evidence: Evidence | None = None,
    store: Path | None = None,
    run_id: str | None = None,
    reason: str = "",
    more_gates: Sequence[Gate] = (),
    must_pass: bool = False,
) -> Registered:
    """Register a bundle as a new version, as challenger, and as champion where there is none and its gates pass.

    A bundle with the content of a registered version makes no new version: that version is returned.
    Where a second person must approve, the first champion needs them too, and nobody is promoted here.

    Args:
        settings: where the registry is, and its gates.
        bundle: the folder.
        evaluation: the content of its `evaluation.json`.
        lineage: where it comes from; each value stands as a tag on the version.
        evidence: its answers on its test patients; without them it cannot be compared with a champion.
        store: the image store of its test split, on which the champion is scored where it has not answered yet.
        run_id: the MLflow run that it belongs to; one is made where it is not given.
        reason: why the model was made, for the history.
        more_gates: verdicts that stand on the version beside those that every model must pass.
        must_pass: register nothing where a gate did not pass.

    Raises:
        GateError: a gate did not pass, and `must_pass`.
        BundleError: the folder is no bundle, or was changed. One that does not prove itself is registered, and its
            gate says so.
        RegistryError: the registry cannot be reached.
    """
    info = read_info(bundle)
    connection = client(settings)
    with speaking(settings):
        _ensure_model(settings, connection)
        known = _same(settings, connection, bundle, info)
    if known is not None:
        gates = _judged_again(settings, known, evaluation, bundle)
    else:
        judged = aliases(settings, connection).get(CHAMPION, "")
        comparison = with_champion(settings, connection, evidence, store)
        gates = (*judge(evaluation, settings.registry.gates, try_out(bundle), comparison), *more_gates)
    if must_pass and (failed := [gate for gate in gates if not gate.passed]):
        lines = "\n  ".join(f"{gate.name}: {gate.text}" for gate in failed)
        raise GateError(
            f"The model did not pass what was agreed, and is not registered:\n  {lines}",
            "Choose other members, or register it all the same with --anyway; promotion then refuses it.",
        )
    made = False
    # Two runs that end at once with the same bundle make one version.
    with locked(settings, "version"), speaking(settings):
        known = known or _same(settings, connection, bundle, info)
        if known is None:
            run = run_id or _own_run(settings, connection)
            tags = _tags(info, bundle, evaluation, lineage, gates) | {AGAINST: judged}
            description = describe_version(info, evaluation, lineage, gates)
            version = _create(settings, connection, bundle, evidence, run, tags, info, description)
            known = resolve(settings, version, connection)
            made = True
        elif gates != known.gates:
            _set_gates(settings, connection, known.version, gates)
    with locked(settings), speaking(settings):
        new = _stand(settings, connection, known, gates, reason) or made
        named = aliases(settings, connection)
        given = tuple(sorted(alias for alias, number in named.items() if number == known.version))
    return Registered(settings.registry.name, known.version, given, gates, known.run_id, new)


def _stand(
    settings: Settings, connection: "MlflowClient", version: Version, gates: Sequence[Gate], reason: str
) -> bool:
    """Let a version stand as challenger, or as champion where there is none and it passed; the caller holds the lock.

    A version that was decided on before stays where it stands, unless it is the first to pass gates that were changed.
    Return whether this was the first decision on it.
    """
    entries = heal(settings, connection)
    first = not any(e.model == settings.registry.name and e.target == version.version for e in entries)
    named = aliases(settings, connection)
    champion, number = named.get(CHAMPION, ""), version.version
    verdict: dict[str, Any] = {"gates": {gate.name: gate.passed for gate in gates}, "bundle": version.bundle_digest}
    verdict["code"] = version.lineage.get("git_commit") or UNKNOWN
    passed = all(gate.passed for gate in gates) and not settings.registry.require_approval
    if not champion and passed and (first or version.state in ("registered", CHALLENGER)):
        why = "the first model whose gates pass"
        decide(settings, connection, "promote", "", number, why, verdict)
        connection.set_registered_model_alias(settings.registry.name, CHALLENGER, number)
    elif first and number != champion:
        verdict["superseded"] = named.get(CHALLENGER, "")
        decide(settings, connection, "challenge", champion, number, reason, verdict)
    return first


def _judged_again(settings: Settings, known: Version, evaluation: Mapping[str, Any], bundle: Path) -> tuple[Gate, ...]:
    """Return a version's gates, those whose limits were changed since it was registered judged anew.

    The comparison with the champion stays: promotion makes it anew where the champion has changed.
    """
    anew = {
        gate.name: gate
        for gate in judge(evaluation, settings.registry.gates, try_out(bundle), "no champion is asked again")
        if gate.name != CHAMPION
    }
    return tuple(
        anew[gate.name] if gate.name in anew and anew[gate.name].limit != gate.limit else gate for gate in known.gates
    )


def _set_gates(settings: Settings, connection: "MlflowClient", version: str, gates: Sequence[Gate]) -> None:
    for key, value in _gate_tags(gates).items():
        connection.set_model_version_tag(settings.registry.name, version, key, value)


def _gate_tags(gates: Sequence[Gate]) -> dict[str, str]:
    verdicts = {GATE + gate.name: json.dumps(asdict(gate)) for gate in gates}
    return verdicts | {VALIDATION: "passed" if all(gate.passed for gate in gates) else "failed"}


def try_out(bundle: Path) -> Trial:
    """Load a bundle, let it prove itself, and time it on one of its stored inputs."""
    mib = sum(path.stat().st_size for path in bundle.rglob("*") if path.is_file()) / 2**20
    try:
        model = Bundle.load(bundle, verify=True)
    except BundleError as error:
        return Trial(error.message, mib, math.nan)
    with np.load(bundle / "proof.npz", allow_pickle=False) as proof:
        one = proof["inputs"][:1]
    model.run(one)
    times = []
    for _ in range(5):
        began = time.perf_counter()
        model.run(one)
        times.append(time.perf_counter() - began)
    return Trial("", mib, float(np.median(times)) * 1000)


def _ensure_model(settings: Settings, connection: "MlflowClient") -> None:
    from mlflow.exceptions import MlflowException

    try:
        connection.create_registered_model(settings.registry.name, description=_DESCRIPTION)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise


def _same(settings: Settings, connection: "MlflowClient", bundle: Path, info: dict[str, Any]) -> Version | None:
    """The first version with the same content: of an earlier run, or of one that was killed after creating it."""
    found = connection.search_model_versions(
        f"name = '{settings.registry.name}' and tags.`{BUNDLE_CONTENT}` = '{content(bundle, info)}'", max_results=1000
    )
    if not found:
        return None
    return resolve(settings, min((str(item.version) for item in found), key=int), connection)


def _own_run(settings: Settings, connection: "MlflowClient") -> str:
    run = connection.create_run(initialise(settings), run_name="register")
    connection.set_terminated(run.info.run_id)
    return str(run.info.run_id)


def _tags(
    info: dict[str, Any],
    bundle: Path,
    evaluation: Mapping[str, Any],
    lineage: Mapping[str, Any],
    gates: tuple[Gate, ...],
) -> dict[str, str]:
    tags = {
        BUNDLE_DIGEST: identity(info),
        BUNDLE_CONTENT: content(bundle, info),
        BUNDLE_PATH: f"data/{bundle.name}",
        STATE: "registered",
    }
    tags |= _gate_tags(gates)
    tags |= {LINEAGE + key: value if isinstance(value, str) else json.dumps(value) for key, value in lineage.items()}
    facts = {
        "architecture": info["architecture"],
        "findings": ",".join(info["findings"]),
        "size": info["size"],
        "synthetic": str(bool(info["synthetic"])).lower(),
        "test_images": evaluation.get("images", ""),
        "bytes": sum(path.stat().st_size for path in bundle.rglob("*") if path.is_file()),
    }
    tags |= {FACT + key: str(value) for key, value in facts.items()}
    for metric, figure in evaluation.get("metrics", {}).get("mean", {}).items():
        value = figure.get("value") if isinstance(figure, Mapping) else figure
        if isinstance(value, (int, float)):
            tags[METRIC + metric] = repr(float(value))
    return tags


def _create(
    settings: Settings,
    connection: "MlflowClient",
    bundle: Path,
    evidence: Evidence | None,
    run_id: str,
    tags: Mapping[str, str],
    info: Mapping[str, Any],
    description: str,
) -> str:
    """Upload the model to its run, then create the version with all its tags in one call."""
    quiet_mlflow()
    import mlflow.pyfunc

    found = installed(_NEEDS)
    with tempfile.TemporaryDirectory() as folder:
        model = Path(folder) / _ARTIFACT
        with warnings.catch_warnings():
            # No radiograph is put beside a model as an example, and users need not be told so.
            warnings.filterwarnings("ignore", message=".*input example was not provided", category=UserWarning)
            mlflow.pyfunc.save_model(
                str(model),
                loader_module="thorax.registry.pyfunc",
                data_path=str(bundle),
                signature=signature(info["findings"]),
                pip_requirements=[f"{name}=={found[name]}" for name in _NEEDS if name in found],
                metadata={"architecture": info["architecture"], "synthetic": bool(info["synthetic"])},
            )
        if evidence is not None:
            evidence.save(model / FILE)
        # What `thorax models reproduce` runs again; the run's parameters are cut at 6,000 characters each.
        write_json(model / SETTINGS, settings.model_dump(mode="json"))
        connection.log_artifacts(run_id, str(model), _ARTIFACT)
    uri = connection.get_run(run_id).info.artifact_uri
    version = connection.create_model_version(
        settings.registry.name,
        source=f"{uri}/{_ARTIFACT}",
        run_id=run_id,
        tags=dict(tags),
        description=description,
    )
    return str(version.version)
