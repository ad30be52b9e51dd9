"""Running the training pipeline on this machine, and following it."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pipelines.reports import write_reports
from thorax import endings, errors, steps
from thorax.endings import last_of, with_words
from thorax.errors import ThoraxError
from thorax.events import FILE, read_events
from thorax.files import read_json, write_json
from thorax.settings import Settings
from thorax.weights import pinned

Follow = Callable[[dict[str, Any]], None]

#: The steps that run once an architecture.
EACH = ("train", "calibrate", "evaluate")


@dataclass(frozen=True)
class Run:
    """What a finished run gave.

    `seconds` is the wall time of the run; `computed` is the time, in seconds, in which at least one step was at work;
    `overhead` is the share of the wall time in which none was: what orchestration costs.
    """

    folder: Path
    seconds: float
    computed: float
    steps: list[dict[str, Any]]
    skipped: list[str]
    validation: Path
    selection: Path
    registered: Path
    reports: Path
    #: What was registered and what was compared: name, version, aliases, gates, winner, reason, table, synthetic.
    facts: dict[str, Any] = field(default_factory=dict)

    @property
    def overhead(self) -> float:
        """Share of the wall time in which no step was at work, 0 to 1."""
        return max(0.0, 1.0 - self.computed / self.seconds) if self.seconds else 0.0

    def summary(self) -> dict[str, Any]:
        """The run as JSON would have it."""
        return {
            "folder": str(self.folder),
            "seconds": round(self.seconds, 1),
            "computed_seconds": round(self.computed, 1),
            "orchestration_share": round(self.overhead, 4),
            "steps": self.steps,
            "skipped": self.skipped,
            "reports": str(self.reports),
            **self.facts,
        }


def run_training(settings: Settings, reason: str = "", follow: Follow | None = None) -> Run:
    """Run the training pipeline on this machine.

    Args:
        settings: all settings; the dataset is the one under `data.root`.
        reason: why, in a person's words; kept with the version.
        follow: called with every event of every step.

    Raises:
        ThoraxError: what a step refused, with that step's own message and exit code. What was finished is kept:
            running again repeats only the rest.
    """
    from thorax.datasets import versioning
    from thorax.datasets.arrival import extent

    began = time.time()
    settings = pinned(settings)
    revision = versioning.revision(settings.home, settings.data_root)
    folder = _new_folder(settings, revision)
    events = folder / "events.jsonl"
    events.touch()
    write_json(
        folder / "arguments.json",
        {
            "settings": settings.model_dump(mode="json"),
            "var": str(settings.var),
            "arguments": {
                "revision": revision,
                "reason": reason,
                **steps.arguments(_with_threads(settings), {"check": {"data": extent(settings.data_root)}}),
            },
        },
    )
    code = _follow(_start(settings, folder, events), events, follow)
    history, _ = read_events(events)
    _raise_failure(history, code, folder)
    outputs = {name: Path(path) for name, path in read_json(folder / "outputs.json").items()}
    reports = settings.var / "reports"
    write_reports(reports, **outputs)
    done = [event for event in history if event["event"] == "end"]
    names = {(event["step"], event["label"]) for event in done}
    run = Run(
        folder=folder,
        seconds=time.time() - began,
        computed=_covered([(event["time"] - event["seconds"], event["time"]) for event in done]),
        steps=[{"step": e["step"], "label": e["label"], "seconds": e["seconds"]} for e in done],
        skipped=[" ".join(item).strip() for item in _wanted(settings) if item not in names],
        facts={
            **read_json(outputs["registered"] / "registered.json"),
            **read_json(outputs["selection"] / "selection.json"),
            "synthetic": read_json(outputs["registered"] / "bundle" / "bundle.json")["synthetic"],
        },
        reports=reports,
        **outputs,
    )
    write_json(folder / "summary.json", run.summary())
    return run


def _wanted(settings: Settings) -> list[tuple[str, str]]:
    """Return step and label of all that a run consists of, in the order of the flow."""
    parts = steps.part_names(settings)
    return [
        ("check", ""),
        ("ingest", ""),
        *(("prepare", part if len(parts) > 1 else "") for part in parts),
        ("validate", ""),
        ("preprocess", ""),
        *((step, name) for step in EACH for name in settings.train.architectures),
        ("select", ""),
        ("register", ""),
    ]


def _new_folder(settings: Settings, revision: str) -> Path:
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S")
    short = "".join(c for c in revision if c.isalnum())[:8] or "unversioned"
    folder = settings.var / "runs" / f"{stamp}-{short}-{os.getpid()}"
    folder.mkdir(parents=True)
    return folder


def _with_threads(settings: Settings) -> Settings:
    """Share the cores among the architectures that are trained side by side."""
    if settings.train.threads:
        return settings
    beside = min(settings.pipeline.parallel, len(settings.train.architectures))
    threads = max(1, (os.cpu_count() or 1) // beside)
    return settings.model_copy(update={"train": settings.train.model_copy(update={"threads": threads})})


def _start(settings: Settings, folder: Path, events: Path) -> subprocess.Popen[bytes]:
    environment = {
        **os.environ,
        FILE: str(events),
        "THORAX_HOME": str(settings.home.absolute()),
        "OMP_NUM_THREADS": str(_with_threads(settings).train.threads),
        # Threads that wait must not burn the core that another architecture is trained on.
        "OMP_WAIT_POLICY": "PASSIVE",
        "GOMP_SPINCOUNT": "0",
        "KFP_DISABLE_EXECUTION_CACHING_BY_DEFAULT": "false",
    }
    with (folder / "log.txt").open("wb") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "pipelines.local", str(folder)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=environment,
            start_new_session=True,  # so that an interruption reaches the steps in order, through us
        )


def _follow(process: subprocess.Popen[bytes], events: Path, follow: Follow | None) -> int:
    """Hand on events until the process ends; on an interruption, end its whole group."""
    offset = 0
    before = _as_interruption(signal.SIGTERM)
    try:
        while True:
            code = process.poll()
            fresh, offset = read_events(events, offset)
            for event in fresh:
                if follow is not None:
                    follow(event)
            if code is not None:
                return code
            time.sleep(0.1)
    except BaseException:
        _end(process)
        raise
    finally:
        if before is not None:
            signal.signal(signal.SIGTERM, before)


def _as_interruption(number: signal.Signals) -> Any:
    """Let a signal end the run as Ctrl-C does; return the handler before, None where signals cannot be set."""
    if threading.current_thread() is not threading.main_thread():
        return None

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    return signal.signal(number, interrupt)


def _end(process: subprocess.Popen[bytes]) -> None:
    """Interrupt the group, give training ten seconds to write its checkpoint, then end it."""
    for number, patience in ((signal.SIGINT, 10), (signal.SIGKILL, 5)):
        try:
            os.killpg(process.pid, number)
            process.wait(patience)
            return
        except subprocess.TimeoutExpired:
            continue
        except ProcessLookupError:
            return


def _raise_failure(history: list[dict[str, Any]], code: int, folder: Path) -> None:
    """Raise the first refusal of a step as the error that it was; one that a retry has overcome is none."""
    if not code:
        return
    ended = {(event["step"], event["label"]) for event in history if event["event"] == "end"}
    for event in history:
        if event["event"] != "error" or (event["step"], event["label"]) in ended:
            continue
        where = f"{event['step']} {event['label']}".strip()
        kind = getattr(errors, event["kind"], None)
        if kind is None:
            raise ThoraxError(f"The step {where} failed: {event['message']}", f"The whole log: {folder / 'log.txt'}")
        raise kind(f"[{where}] {event['message']}", event["mend"])
    again = f"Run it again: only what had not finished is repeated. The whole log: {folder / 'log.txt'}"
    for event in history:
        begun = [e["label"] for e in history if e["event"] == "begin" and e["step"] == event["step"]]
        open_ = [label for label in begun if (event["step"], label) not in ended]
        if event["event"] != "died" or (begun and not open_):
            continue
        where = f"{event['step']} {open_[0] if len(open_) == 1 else ''}".strip()
        raise ThoraxError(with_words(f"The step {where} {endings.ended(event['code'])}.", event["said"]), again)
    said = "\n".join(event["message"] for event in history if event["event"] == "stopped")
    raise ThoraxError(with_words(f"The pipeline {endings.ended(code)}.", said or last_of(folder / "log.txt")), again)


def _covered(intervals: list[tuple[float, float]]) -> float:
    """Return the length of the union of intervals, in seconds.

    >>> _covered([(0, 2), (1, 3), (5, 6)])
    4.0
    """
    total, end = 0.0, float("-inf")
    for start, stop in sorted(intervals):
        total += max(0.0, stop - max(start, end))
        end = max(end, stop)
    return total
