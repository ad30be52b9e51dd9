"""An ensemble of registered versions: the mean of their calibrated probabilities, as one bundle and one more version.

Members share findings, preprocessing and split, so that no member has learnt from another's test patients. What a mean
of networks gains in accuracy and calibration: Lakshminarayanan et al. 2017, NeurIPS. The ensemble is calibrated and
given thresholds of its own, on the calibration split, and evaluated on the same test patients as every other model.
"""

import json
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from thorax.bundle import Bundle, write_bundle
from thorax.bundle.merging import Member, merge
from thorax.bundle.session import open_session
from thorax.errors import GateError, InputError
from thorax.files import write_json
from thorax.provenance import code_lineage, hardware, versions
from thorax.registry.bundles import fetch_version
from thorax.registry.contrast import evidence_of
from thorax.registry.evidence import Evidence, collect, weigh
from thorax.registry.gates import Gate
from thorax.registry.record import CODE
from thorax.registry.register import Registered, register
from thorax.registry.run_logging import log_data, log_figures
from thorax.registry.stores import find_store
from thorax.registry.tracking import client, initialise, speaking
from thorax.registry.versions import Version, resolve
from thorax.settings import Settings

if TYPE_CHECKING:
    from thorax.preprocessing.store import ImageStore

#: Splits that the ensemble answers for, and whether its maps are kept.
_SPLITS = {"train": False, "validation": False, "calibration": True, "test": True}
_BATCH = 64
Say = Callable[[str], None]


@dataclass(frozen=True)
class _Part:
    """A member: its version and its bundle."""

    version: Version
    bundle: Bundle


def ensemble(
    settings: Settings,
    which: Sequence[str],
    *,
    reason: str = "",
    store: Path | None = None,
    anyway: bool = False,
    say: Say = lambda text: None,
) -> Registered:
    """Make an ensemble of versions and register it, if it passes every gate and is better than each member.

    Args:
        settings: where the registry is; calibration, evaluation and gates are those in force now.
        which: at least two versions, by number or alias.
        reason: why, for the history.
        store: the image store of their split; found among this machine's runs where it is not given.
        anyway: register it though it is no better; the gate `members` then stands as failed, and promotion refuses it.
        say: told what is under way.

    Raises:
        InputError: fewer than two, or the store is not at hand.
        GateError: they do not fit together; or the ensemble does not pass, or is no better.
        RegistryError: the registry cannot be reached.
    """
    connection = client(settings)
    numbers = dict.fromkeys(resolve(settings, name, connection).version for name in which)
    if len(numbers) < 2:
        raise InputError("An ensemble needs at least two different versions.", "Name them: thorax models ensemble 1 2.")
    say("fetching the members")
    parts = []
    for number in numbers:
        version = resolve(settings, number, connection)
        parts.append(_Part(version, Bundle.load(fetch_version(settings, version))))
    split = _require_fit(parts)
    place = find_store(settings, split, store)
    if place is None:
        raise InputError(
            "The image store that these versions were trained on is not on this machine.",
            "Run the pipeline on their data revision, or name the store with --store.",
        )
    with tempfile.TemporaryDirectory() as folder:
        return _make(settings, parts, place, Path(folder), reason, anyway, say)


def _require_fit(parts: Sequence[_Part]) -> str:
    """Refuse members that cannot answer together; return the digest of their split."""
    first = parts[0]
    for part in parts[1:]:
        for name, one, other in (
            ("findings", first.bundle.findings, part.bundle.findings),
            ("preprocessing", first.bundle.info.preprocessing, part.bundle.info.preprocessing),
            ("split", _split(first), _split(part)),
        ):
            if one != other:
                raise GateError(
                    f"Versions {first.version.version} and {part.version.version} cannot answer together: their "
                    f"{name} differ{'s' if name == 'split' else ''}.",
                    "Choose versions of one pipeline run, or of runs on the same data and settings.",
                )
    return _split(first)


def _split(part: _Part) -> str:
    return str((part.bundle.info.model_extra or {}).get("split_digest", ""))


def _make(
    settings: Settings, parts: Sequence[_Part], place: Path, folder: Path, reason: str, anyway: bool, say: Say
) -> Registered:
    from thorax.calibration import calibrate
    from thorax.evaluation import evaluate
    from thorax.preprocessing.store import ImageStore

    store = ImageStore.open(place)
    train, calibration, evaluation = (folder / name for name in ("train", "calibration", "evaluation"))
    for made in (train, calibration):
        made.mkdir()
    network = _write_network(parts, train)
    say("answering for every split")
    _write_answers(store, train)
    say("calibrating")
    calibrate(train, settings.calibration, calibration, place)
    say("evaluating")
    synthetic = bool(store.info.get("synthetic"))
    found = evaluate(train, calibration, place, settings.evaluation, evaluation, network["title"], synthetic)
    evidence = collect(train, calibration, place)
    lineage = _lineage(settings, parts, store)
    bundle = write_bundle(
        folder / "bundle",
        train_dir=train,
        calibration_dir=calibration,
        evaluation_dir=evaluation,
        store_dir=place,
        lineage=lineage,
    )
    say("judging and registering")
    run = _open_run(settings, parts, store, found)
    try:
        return register(
            settings,
            bundle,
            found,
            lineage | {"pipeline_run": run},
            evidence=evidence,
            store=place,
            run_id=run,
            reason=reason,
            more_gates=(_better_than_members(settings, parts, evidence),),
            must_pass=not anyway,
        )
    except BaseException:
        client(settings).set_terminated(run, "FAILED")
        raise


def _write_network(parts: Sequence[_Part], out: Path) -> dict[str, Any]:
    """Write graph, weights, head and `network.json` of the ensemble; a member's tensors carry its place in the name."""
    from safetensors.numpy import load_file, save_file

    merge(
        [
            Member(
                part.bundle.folder / "model.onnx", tuple(one.calibrator for one in part.bundle.calibration.by_finding)
            )
            for part in parts
        ],
        out / "model.onnx",
    )
    tensors: dict[str, np.ndarray] = {}
    weights, biases = [], []
    for number, part in enumerate(parts):
        own = load_file(part.bundle.folder / "weights.safetensors")
        tensors |= {f"member{number}.{name}": tensor for name, tensor in own.items()}
        head = load_file(part.bundle.folder / "head.safetensors")
        weights.append(head["weight"] / len(parts))
        biases.append(head["bias"] / len(parts))
    save_file(tensors, out / "weights.safetensors")
    # The linear part of the mean before calibration: what the features of all members add up to.
    save_file({"weight": np.concatenate(weights, axis=1), "bias": np.sum(biases, axis=0)}, out / "head.safetensors")
    details = [part.bundle.info.model_extra or {} for part in parts]
    networks = [item.get("network", {}) for item in details]
    names = [part.bundle.info.architecture for part in parts]
    network = {
        "architecture": " + ".join(names),
        "title": "Ensemble of "
        + ", ".join(f"{n} (version {p.version.version})" for n, p in zip(names, parts, strict=True)),
        "findings": list(parts[0].bundle.findings),
        "size": parts[0].bundle.info.size,
        "channels": 1,
        "feature_dim": int(sum(weight.shape[1] for weight in weights)),
        "members": len(parts),
        "parameters": sum(int(item.get("parameters") or 0) for item in networks) or None,
        "seconds": sum(float(item.get("seconds") or 0.0) for item in networks) or None,
    }
    write_json(out / "network.json", network)
    return network


def _write_answers(store: "ImageStore", out: Path) -> None:
    """Write `outputs-<split>.npz` of every split, as a training does."""
    session = open_session(out / "model.onnx", 0)
    for split, with_maps in _SPLITS.items():
        indices = store.indices(split)
        names = ["logits", "features", *(["maps"] if with_maps else [])]
        batches = []
        for start in range(0, len(indices), _BATCH):
            images = store.images(indices[start : start + _BATCH])[:, None].astype(np.float32) / np.float32(255)
            batches.append(session.run(names, {"image": images}))
        arrays: dict[str, Any] = {
            name: np.concatenate(part) for name, part in zip(names, zip(*batches, strict=True), strict=True)
        }
        if with_maps:
            arrays["maps"] = arrays["maps"].astype(np.float16)
        rows = store.rows.iloc[indices]
        np.savez(
            out / f"outputs-{split}.npz",
            image_id=rows["image_id"].to_numpy(dtype=str),
            patient_id=rows["patient_id"].to_numpy(dtype=str),
            truth=store.truth(indices),
            **arrays,
        )


def _better_than_members(settings: Settings, parts: Sequence[_Part], evidence: Evidence) -> Gate:
    """Compare with each member on the same test patients; the verdict is that against the hardest to beat."""
    gates = []
    for part in parts:
        found = weigh(evidence, evidence_of(settings, part.version), settings.evaluation)
        if isinstance(found, str):
            return Gate("members", False, None, None, f"against version {part.version.version}: {found}")
        low = found.mean.low
        note = (
            f"ensemble − version {part.version.version} {found.mean.value:+.3f} in mean AUROC, "
            f"{found.confidence:.0%} lower bound {low:+.3f}, on {found.images} images of {found.patients} patients"
        )
        gates.append(Gate("members", low > 0.0, low, 0.0, note))
    return min(gates, key=lambda gate: gate.figure or 0.0)


def _lineage(settings: Settings, parts: Sequence[_Part], store: "ImageStore") -> dict[str, Any]:
    members = [
        {
            "version": part.version.version,
            "architecture": part.bundle.info.architecture,
            "bundle": part.version.bundle_digest,
            "run": part.version.run_id,
        }
        for part in parts
    ]
    return {
        "members": json.dumps(members),
        **code_lineage(settings.home, CODE),
        "data_revision": str(store.info.get("revision", "")),
        "data_source": str(store.info.get("source", "")),
        "manifest_digest": str(store.info.get("manifest_digest", "")),
        "split_digest": str(store.info.get("split_digest", "")),
        "params_digest": settings.digest(),
        "versions": versions(),
        "hardware": hardware(),
    }


def _open_run(settings: Settings, parts: Sequence[_Part], store: "ImageStore", evaluation: dict[str, Any]) -> str:
    """Make the ensemble's MLflow run, with its data and figures."""
    connection = client(settings)
    with speaking(settings):
        tags = {
            "thorax.kind": "ensemble",
            "thorax.members": ",".join(part.version.version for part in parts),
            "thorax.synthetic": str(bool(store.info.get("synthetic"))).lower(),
        }
        run = connection.create_run(initialise(settings), tags=tags, run_name="ensemble")
        run_id = str(run.info.run_id)
        facts = {**store.info, "images": len(store), "patients": int(store.rows["patient_id"].nunique())}
        log_data(connection, run_id, store.rows.head(0), facts)
        log_figures(connection, run_id, evaluation)
        connection.set_terminated(run_id)
    return run_id
