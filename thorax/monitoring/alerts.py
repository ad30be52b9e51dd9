"""Tell people: the log, e-mail, webhook, and gauges for Prometheus. Once an incident, and never lost.

A notice is written to the outbox before anything is sent, and stays there until it is delivered: a server that cannot
be reached costs a line in the log and a try with the next run, and never the run.
"""

import json
import logging
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from thorax.files import atomic_path
from thorax.monitoring.channels import DeliveryError, channels
from thorax.monitoring.history import History, stamp
from thorax.monitoring.notices import Notice, notice_of
from thorax.monitoring.page import headline
from thorax.settings import Settings

if TYPE_CHECKING:
    from thorax.monitoring.examine import Examination

_log = logging.getLogger("thorax.monitoring")
_STATUSES = ("quiet", "warning", "alarm", "too_few")


def tell(settings: Settings, found: "Examination", history: History) -> list[str]:
    """Tell what is new after an examination, and what earlier runs could not deliver.

    Returns:
        What could not be delivered, a sentence each; it is kept and tried again with the next run.
    """
    level = {"alarm": logging.ERROR, "warning": logging.WARNING}.get(found.verdict.status, logging.INFO)
    _log.log(level, "version %s: %s", found.verdict.window.version, headline(found.verdict))
    alerts = settings.monitor.alerts
    ways = channels(alerts)
    notice = notice_of(found.followed, found.verdict)
    if notice is not None:
        for name in ways:
            post(history, name, notice)
    problems = deliver(history, ways)
    if alerts.textfile is not None:
        try:
            write_gauges(settings.at_home(alerts.textfile), found)
        except OSError as error:
            problems.append(f"The gauges cannot be written to {alerts.textfile}: {error.strerror}.")
    for problem in problems:
        _log.warning("%s", problem)
    return problems


def post(history: History, channel: str, notice: Notice) -> None:
    """Put a notice into the outbox; one that was there before, sent or not, is not put in again."""
    with history.connect() as database:
        database.execute(
            "INSERT INTO outbox VALUES (?, ?, ?, ?, 0, '', '') ON CONFLICT (id) DO NOTHING",
            [f"{notice.id}-{channel}", channel, stamp(), json.dumps(asdict(notice))],
        )


def waiting(history: History) -> list[tuple[str, str, int, str]]:
    """Return what waits to be delivered: channel, subject, tries, and what went wrong last."""
    with history.connect() as database:
        rows = database.execute("SELECT * FROM outbox WHERE sent = '' ORDER BY made").fetchall()
    return [(row["channel"], json.loads(row["body"])["subject"], row["attempts"], row["problem"]) for row in rows]


def deliver(history: History, ways: dict[str, Callable[[Notice], None]]) -> list[str]:
    """Try everything that waits, the oldest first; a channel that fails once is left for the next run."""
    with history.connect() as database:
        rows = database.execute("SELECT * FROM outbox WHERE sent = '' ORDER BY made").fetchall()
    problems: dict[str, str] = {}
    for row in rows:
        channel = row["channel"]
        if channel not in ways or channel in problems:
            continue
        try:
            ways[channel](Notice(**json.loads(row["body"])))
        except DeliveryError as error:
            problems[channel] = error.message
        values = (problems.get(channel, ""), "" if channel in problems else stamp(), row["id"])
        with history.connect() as database:
            database.execute("UPDATE outbox SET attempts = attempts + 1, problem = ?, sent = ? WHERE id = ?", values)
    return [f"{message} It is kept, and tried again with the next run." for message in problems.values()]


def write_gauges(path: Path, found: "Examination") -> None:
    """Write gauges in Prometheus' text format, for the node exporter's textfile collector."""
    from prometheus_client import CollectorRegistry, Gauge, generate_latest

    registry = CollectorRegistry()
    version = found.verdict.window.version

    def gauge(name: str, about: str, labels: tuple[str, ...] = ()) -> Gauge:
        return Gauge(f"thorax_monitor_{name}", about, ("version", *labels), registry=registry)

    status = gauge("status", "1 for the status of the latest window", ("status",))
    for name in _STATUSES:
        status.labels(version, name).set(found.verdict.status == name)
    gauge("predictions", "Predictions in the latest window").labels(version).set(found.verdict.window.rows)
    open_ = found.incident is not None and found.incident.state != "closed"
    gauge("incident", "1 while an incident lasts").labels(version).set(open_)
    gauge("failures", "Share of requests that failed").labels(version).set(found.service.share)
    score = gauge("score", "How far out a figure is; 1 at its cut-off", ("figure",))
    for figure in found.verdict.figures:
        if figure.score is not None:
            score.labels(version, figure.name).set(figure.score)
    auroc = gauge("auroc", "AUROC, measured on confirmed images or estimated without truth", ("finding", "kind"))
    for item in found.performance:
        for kind, figures in (("measured", item.measured), ("estimated", item.estimated)):
            measured = figures.get("auroc")
            if measured is not None and measured["value"] is not None:
                auroc.labels(version, item.finding, kind).set(measured["value"])
    with atomic_path(path) as temporary:
        temporary.write_bytes(generate_latest(registry))
        temporary.chmod(0o644)
