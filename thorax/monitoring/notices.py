"""What is told of an incident: when it opens and when it is over, once each. Nothing of a person."""

from dataclasses import dataclass
from typing import Any, Literal

from thorax.monitoring.incidents import Followed, Incident
from thorax.monitoring.page import headline, moment, said
from thorax.monitoring.verdict import Verdict

Kind = Literal["opened", "closed"]


@dataclass(frozen=True)
class Notice:
    """One notice.

    Attributes:
        id: the same for the same news, so that a receiver can tell a repetition.
        subject: one line.
        text: what a person reads.
        body: what a machine reads.
    """

    id: str
    subject: str
    text: str
    body: dict[str, Any]


def notice_of(followed: Followed, verdict: Verdict) -> Notice | None:
    """Return what is to be told after a verdict; None where there is no news."""
    incident = followed.incident
    if incident is None or not (followed.opened or followed.closed):
        return None
    return _opened(incident, verdict) if followed.opened else _closed(incident, verdict)


def _opened(incident: Incident, verdict: Verdict) -> Notice:
    window = verdict.window
    lines = [f"{headline(verdict)}", "", *_about(incident, verdict), ""]
    for alarm in verdict.alarms:
        value = (
            "" if alarm.value is None or alarm.cutoff is None else f"{alarm.value:.3f}, cut-off {alarm.cutoff:.3f}, "
        )
        lines.append(f"- {said(alarm.figure)}: {value}score {alarm.score:.2f}, {alarm.windows} windows in a row")
    lines += ["", f"Say that you look after it: thorax monitor ack {incident.id}"]
    subject = f"[thorax] Alarm on version {window.version}: {', '.join(said(a.figure) for a in verdict.alarms[:2])}"
    return Notice(_id(incident, "opened"), subject, "\n".join(lines), _body("opened", incident, verdict))


def _closed(incident: Incident, verdict: Verdict) -> Notice:
    lines = [f"Incident {incident.id} is over: {incident.note}.", "", *_about(incident, verdict)]
    subject = f"[thorax] Over: incident {incident.id} on version {incident.version}"
    return Notice(_id(incident, "closed"), subject, "\n".join(lines), _body("closed", incident, verdict))


def _about(incident: Incident, verdict: Verdict) -> list[str]:
    window = verdict.window
    return [
        f"Incident {incident.id}, version {incident.version}, opened {moment(incident.opened)} UTC.",
        f"Window: {window.rows:,} predictions, {moment(window.since)} to {moment(window.until)} UTC.",
    ]


def _body(kind: Kind, incident: Incident, verdict: Verdict) -> dict[str, Any]:
    tree = verdict.as_dict()
    kept = {key: tree[key] for key in ("status", "window", "alarms", "warnings")}
    told = ("id", "version", "state", "opened", "closed", "figures")
    about = {key: value for key, value in incident.as_dict().items() if key in told}
    return {"event": f"incident.{kind}", "incident": about, "verdict": kept}


def _id(incident: Incident, kind: Kind) -> str:
    return f"{incident.key}-{kind}"
