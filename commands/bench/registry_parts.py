"""The measurements of `make bench-registry`; each returns its figures."""

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from commands.bench.figures import Figure, none_of, told
from thorax.errors import RegistryError, ThoraxError
from thorax.settings import Settings

_WORKER = """
import sys
from thorax.settings import load
from thorax.registry.promotion import promote
settings, rounds = load(sys.argv[1]), int(sys.argv[3])
print(sum(promote(settings, sys.argv[2], reason="race", force=True).changed for _ in range(rounds)))
"""
_LOADER = """
import os, sys, time
os.environ["MLFLOW_ALLOW_PICKLE_DESERIALIZATION"] = "false"
import torch
from thorax.registry.tracking import quiet_mlflow
from thorax.settings import load
quiet_mlflow()
settings = load(sys.argv[1])
began = time.perf_counter()
import mlflow.pyfunc
imported, spent = time.perf_counter(), time.process_time()
mlflow.set_tracking_uri(settings.tracking_uri)
mlflow.pyfunc.load_model(f"models:/{settings.registry.name}@champion", suppress_warnings=sys.argv[2] == "quiet")
print(imported - began, time.perf_counter() - imported, time.process_time() - spent)
"""


@contextmanager
def scratch(settings: Settings, bundle: Path | None, parts: Sequence[str], versions: int) -> Iterator[Path]:
    """Make a project whose SQLite registry holds copies of a bundle as versions; gives its folder.

    Args:
        settings: of this project, whose newest version gives the bundle where none is named.
        bundle: or the folder of one.
        parts: what will be measured; the simulation alone needs no registry.
        versions: how many.

    Raises:
        RegistryError: there is no version here to copy.
    """
    with tempfile.TemporaryDirectory(prefix="thorax-bench-") as name:
        home = Path(name)
        shutil.copyfile(settings.home / "params.yaml", home / "params.yaml")
        if set(parts) - {"simulation"}:
            _fill(settings, bundle, home, versions)
        yield home


def _fill(settings: Settings, bundle: Path | None, home: Path, versions: int) -> None:
    from thorax.registry.bundles import fetch_version
    from thorax.registry.register import register
    from thorax.registry.versions import list_versions
    from thorax.settings import load

    if bundle is None:
        known = list_versions(settings)
        if not known:
            raise RegistryError(
                "No version is registered here to measure with.", "Run `make demo`, or name a --bundle."
            )
        bundle = fetch_version(settings, known[0])
    evaluation = json.loads((bundle / "evaluation.json").read_text(encoding="utf-8"))
    for number in range(versions):
        place = home / "copies" / str(number) / "bundle"
        shutil.copytree(bundle, place)
        info = json.loads((bundle / "bundle.json").read_text(encoding="utf-8")) | {"copy": number}
        (place / "bundle.json").chmod(0o644)
        (place / "bundle.json").write_text(json.dumps(info), encoding="utf-8")
        register(load(home), place, evaluation, {})


def speed(home: Path, repeats: int) -> list[Figure]:
    """Time whole commands, start of the process included."""
    command = [sys.executable, "-m", "commands.main"]
    _timed([*command, "models", "promote", "1", "--force", "--reason", "set up"], home)
    promotions, rollbacks, helps = [], [], []
    for _ in range(repeats):
        promotions.append(_timed([*command, "models", "promote", "2", "--force", "--reason", "bench"], home))
        rollbacks.append(_timed([*command, "models", "rollback"], home))
        helps.append(_timed([*command, "--help"], home))
    return [
        _seconds("speed", "thorax models promote, SQLite", promotions, 4.0),
        _seconds("speed", "thorax models rollback, SQLite", rollbacks, 4.0),
        _seconds("speed", "thorax --help", helps, 0.6),
    ]


def loading(home: Path, repeats: int) -> list[Figure]:
    """Time the champion through MLflow with pickle forbidden, in fresh processes that have imported PyTorch.

    MLflow reads the metadata of every installed package to warn of versions other than the model's; that depends on the
    environment and not on the bundle, which proves itself by its stored answers. It is timed apart.
    """
    imports: list[float] = []
    quiet: list[float] = []
    warned: list[float] = []
    spent: list[float] = []
    for _ in range(repeats):
        for manner, loads in (("quiet", quiet), ("warned", warned)):
            done = _run([sys.executable, "-c", _LOADER, str(home), manner], home)
            first, second, third = (float(value) for value in done.split()[-3:])
            imports.append(first)
            loads.append(second)
            if manner == "quiet":
                spent.append(third)
    return [
        _seconds(
            "load", "champion loaded by MLflow, pickle forbidden, after PyTorch (`suppress_warnings`)", quiet, 1.5
        ),
        _seconds("load", "of which a processor's", spent),
        _seconds("load", "the same, with MLflow looking through all installed packages", warned),
        _seconds("load", "importing MLflow before that", imports),
    ]


@dataclass(frozen=True)
class Race:
    """What processes that promoted at once left: promotions that changed something, and all that is wrong."""

    processes: int
    rounds: int
    changed: int
    recorded: int
    seconds: float
    problems: tuple[str, ...]


def race(home: Path, processes: int, rounds: int) -> Race:
    """Let processes promote a version each, again and again, at once, and look at what is left.

    Raises:
        ThoraxError: a process failed.
    """
    from thorax.registry.audit import audit
    from thorax.registry.decisions import history_of
    from thorax.registry.history import DONE
    from thorax.registry.versions import CHAMPION, aliases, list_versions
    from thorax.settings import load

    settings = load(home)
    before = aliases(settings).get(CHAMPION, "")
    began = time.perf_counter()
    running = [
        subprocess.Popen(
            [sys.executable, "-c", _WORKER, str(home), str(number + 1), str(rounds)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for number in range(processes)
    ]
    ended = [process.communicate() for process in running]
    failed = [text[1] for process, text in zip(running, ended, strict=True) if process.returncode]
    if failed:
        raise ThoraxError(f"A process of the race failed: {failed[0].strip().splitlines()[-1]}")
    changed = sum(int(text[0]) for text in ended)
    recorded = [e for e in history_of(settings).entries() if e.reason == "race" and e.stage == DONE]
    champion = aliases(settings).get(CHAMPION, "")
    states = [item.state for item in list_versions(settings)]
    problems = [remark.text for remark in audit(settings, bundles=False) if remark.severity == "problem"]
    if len(recorded) != changed:
        problems.append(f"{changed} promotions changed the champion, {len(recorded)} are recorded")
    if recorded and [e.source for e in recorded] != [before, *[e.target for e in recorded[:-1]]]:
        problems.append("a promotion did not replace the one before it")
    if recorded and champion != recorded[-1].target:
        problems.append(f"the champion is {champion}, the last promotion was of {recorded[-1].target}")
    if states.count(CHAMPION) != 1:
        problems.append(f"{states.count(CHAMPION)} versions call themselves champion")
    return Race(processes, rounds, changed, len(recorded), time.perf_counter() - began, tuple(problems))


def race_figures(found: Race) -> list[Figure]:
    """Say what a race left."""
    part, what = "race", f"{found.processes} processes × {found.rounds} promotions at once"
    kept, each = not found.problems, 1000 * found.seconds / (found.processes * found.rounds)
    return [
        Figure(
            part, f"{what}: changed the champion, recorded", f"{found.changed:,}, {found.recorded:,}", "equal", kept
        ),
        none_of(part, f"{what}: lost, doubled or out of order", len(found.problems)),
        told(part, f"{what}: a promotion takes", each, ".0f", " ms"),
        *(Figure(part, problem, "", good=False) for problem in found.problems),
    ]


def simulation(settings: Settings, pairs: int, patients: int) -> list[Figure]:
    """Let challengers whose true difference is known meet a champion, under either rule."""
    from thorax.registry.simulation import simulate

    margin, confidence = settings.registry.gates.challenger_margin, settings.evaluation.confidence
    stated = 1.0 - confidence
    cases: list[tuple[str, float, float, str | None]] = [
        ("better", 0.0, 0.0, "equal models: false promotions"),
        ("better", 0.0, 0.04, None),
        ("better", margin, margin, "at the margin: false promotions"),
        ("better", margin, margin + 0.04, None),
        ("not_worse", margin, -margin, "worse by the margin: false promotions"),
        ("not_worse", margin, -margin - 0.04, "worse by more: false promotions"),
        ("not_worse", margin, 0.0, None),
        ("not_worse", margin, 0.04, None),
    ]
    figures: list[Figure] = []
    for rule, limit, difference, false in cases:
        found = simulate(rule, limit, difference, pairs=pairs, patients=patients, confidence=confidence)
        # Two standard errors for the pairs that were drawn.
        reached = None if false is None else found.passed <= stated + 2 * (stated * (1 - stated) / pairs) ** 0.5
        what = (
            f"{pairs:,} pairs, {patients} patients, rule {rule} by {limit:g}, true difference {difference:+.2f}: "
            f"{false or 'power'}"
        )
        wanted = "" if false is None else f"≤ {stated:.0%}"
        shown = f"{found.passed:.1%} ± {found.error:.1%}"
        figures.append(Figure("simulation", what, shown, wanted, reached, found.passed))
    return figures


def _seconds(part: str, what: str, times: Sequence[float], most: float | None = None) -> Figure:
    median = statistics.median(times)
    shown = f"{median:.2f} s (of {len(times)}: {min(times):.2f} to {max(times):.2f})"
    if most is None:
        return Figure(part, what, shown, found=median)
    return Figure(part, what, shown, f"≤ {most:g} s", median <= most, median)


def _timed(command: Sequence[str], home: Path) -> float:
    began = time.perf_counter()
    _run(command, home)
    return time.perf_counter() - began


def _run(command: Sequence[str], home: Path) -> str:
    environment = {**os.environ, "THORAX_HOME": str(home)}
    done = subprocess.run(list(command), env=environment, capture_output=True, text=True)
    if done.returncode:
        raise ThoraxError(f"{' '.join(command[-4:])} failed: {done.stderr.strip()[-400:]}")
    return done.stdout
