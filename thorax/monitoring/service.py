"""How the service itself does: requests that failed, and how long answers took."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from thorax.monitoring.verdict import Figure, Level
from thorax.settings import Monitor

#: Of the standard normal distribution, for a one-sided bound at 97.5%.
_Z = 1.96


@dataclass(frozen=True)
class Service:
    """Requests of a window.

    Attributes:
        answered: requests that were answered.
        failed: requests that were refused or failed.
        statuses: how often each HTTP status was among them.
        median_ms: of the time that one image took; None where the log does not say.
        p95_ms: likewise, the 95th percentile.
    """

    answered: int
    failed: int
    statuses: dict[str, int]
    median_ms: float | None
    p95_ms: float | None

    @property
    def share(self) -> float:
        """Share of the requests that failed."""
        total = self.answered + self.failed
        return self.failed / total if total else 0.0

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        return asdict(self) | {"share": self.share}


def look(answered: int, statuses: dict[str, int], took_ms: np.ndarray) -> Service:
    """Sum up a window's requests; `took_ms` (n,) may be of a part of them."""
    known = took_ms[np.isfinite(took_ms)]
    median, p95 = (float(value) for value in np.quantile(known, [0.5, 0.95])) if len(known) else (None, None)
    return Service(answered, sum(statuses.values()), statuses, median, p95)


def judge(service: Service, settings: Monitor) -> list[Figure]:
    """Hold failures and latency against their limits; failures only where they are surely above."""
    found = []
    total = service.answered + service.failed
    if total >= settings.min_rows:
        lower = _lower_bound(service.failed, total)
        found.append(_figure("failures", service.share, settings.max_failure_share, lower, settings))
    if service.p95_ms is not None and service.answered >= settings.min_rows:
        found.append(_figure("latency", service.p95_ms, settings.max_latency_ms, service.p95_ms, settings))
    return found


def _figure(name: str, value: float, cutoff: float, sure: float, settings: Monitor) -> Figure:
    level: Level = "alarm" if name in settings.alarm else "warn" if name in settings.warn else "silent"
    crossed = sure > cutoff and level != "silent"
    return Figure(name, name, level, value, cutoff, sure / cutoff if cutoff else float(sure > 0), crossed, crossed)


def _lower_bound(failed: int, total: int) -> float:
    """Return the lower end of Wilson's interval of a share (Wilson 1927)."""
    share = failed / total
    middle = share + _Z**2 / (2 * total)
    width = _Z * np.sqrt(share * (1 - share) / total + _Z**2 / (4 * total**2))
    return float(max(0.0, (middle - width) / (1 + _Z**2 / total)))
