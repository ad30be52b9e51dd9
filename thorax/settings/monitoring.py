"""Drift, alarms and what follows from them."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from thorax.settings.base import Positive, Section, Share
from thorax.settings.retraining import Retrain

#: What is watched, in groups that a person may put on the list of alarms, on that of warnings, or on neither.
Group = Literal[
    "probability",
    "decision",
    "conformal",
    "uncertainty",
    "novelty",
    "image",
    "view",
    "age",
    "sex",
    "heat",
    "embedding",
    "failures",
    "latency",
    "performance",
]
Rate = Annotated[float, Field(gt=0, lt=1)]


class Mail(Section):
    """Alerts by e-mail; none is sent where `to` is empty."""

    to: tuple[str, ...] = ()
    sender: str = "thorax@localhost"
    host: str = "localhost"
    port: Annotated[int, Field(ge=1, le=65535)] = 25
    starttls: bool = False
    user: str | None = None
    password_variable: str = "THORAX_SMTP_PASSWORD"  # noqa: S105  # the variable's name


class Webhook(Section):
    """Alerts by HTTP POST; none is sent where `url` is null."""

    url: str | None = None
    secret_variable: str = "THORAX_ALERT_SECRET"  # noqa: S105  # the variable's name


class Alerts(Section):
    """Whom an incident is told to, and how."""

    mail: Mail = Mail()
    webhook: Webhook = Webhook()
    textfile: Path | None = None
    timeout_seconds: Annotated[float, Field(gt=0, le=60)] = 5.0


class Monitor(Section):
    """What is watched, when it is warned of, and when it alarms."""

    min_rows: Positive = 200
    sample_rows: Annotated[int, Field(ge=1000)] | None = 30_000
    false_alarm_rate: Rate = 0.01
    warning_rate: Rate = 0.05
    resamples: Annotated[int, Field(ge=50)] = 1000
    persistence: Positive = 2
    at_once: Annotated[float, Field(gt=1)] = 2.0
    close_after: Positive = 3
    alarm: tuple[Group, ...] = ("probability", "decision", "novelty", "image", "embedding", "failures", "performance")
    warn: tuple[Group, ...] = ("conformal", "uncertainty", "view", "age", "sex", "heat", "latency")
    max_failure_share: Share = 0.05
    max_latency_ms: Annotated[float, Field(gt=0)] = 3000.0
    max_skew_minutes: Annotated[float, Field(ge=0)] = 5.0
    min_truth: Positive = 50
    performance_margin: Share = 0.05
    alerts: Alerts = Alerts()
    confirmed_dir: Path | None = None
    retrain: Retrain = Retrain()

    @model_validator(mode="after")
    def _one_list(self) -> "Monitor":
        both = sorted(set(self.alarm) & set(self.warn))
        if both:
            raise ValueError(f"{', '.join(both)}: on the list of alarms and on that of warnings; keep one")
        return self
