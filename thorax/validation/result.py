"""What validation found: one outcome an expectation, every failing row, and the verdict."""

from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import pandas as pd

Severity = Literal["critical", "warning"]

#: Columns of the failures table; a row is one failing row of one expectation.
FAILURE_COLUMNS = ("expectation", "severity", "subject", "key", "value")

#: Failing rows that the page shows of each expectation; the file beside it holds all.
SHOWN = 8


@dataclass(frozen=True)
class Outcome:
    """One expectation, and what was found.

    Attributes:
        name: the expectation, as `params.yaml` calls it.
        severity: "critical" stops a run, "warning" is reported.
        success: it holds.
        subject: what a row of it is: an image, a patient, a finding, a box, a pair of images, the table.
        meaning: what was expected, as a sentence with its bounds.
        observed: what was found, in words.
        checked: rows looked at.
        failed: rows that fail.
        error: why the expectation could not be evaluated, else "".
    """

    name: str
    severity: Severity
    success: bool
    subject: str
    meaning: str
    observed: str
    checked: int = 0
    failed: int = 0
    error: str = ""

    def __str__(self) -> str:
        return f"{self.name}: {self.meaning} Found: {self.observed}"


@dataclass(frozen=True)
class ValidationResult:
    """The verdict on a dataset.

    Attributes:
        success: nothing critical failed.
        critical: outcomes of critical expectations that failed.
        warnings: outcomes of the others that failed.
        outcomes: of all expectations, in the order of the page.
        statistics: facts about the dataset, as JSON.
        failures: every failing row; `FAILURE_COLUMNS`.
    """

    success: bool
    critical: list[Outcome]
    warnings: list[Outcome]
    outcomes: list[Outcome]
    statistics: dict[str, Any] = field(default_factory=dict)
    failures: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=list(FAILURE_COLUMNS)))

    @classmethod
    def of(
        cls, outcomes: list[Outcome], failures: pd.DataFrame, statistics: dict[str, Any] | None = None
    ) -> "ValidationResult":
        """Sort outcomes into a verdict."""
        failed = [outcome for outcome in outcomes if not outcome.success]
        critical = [outcome for outcome in failed if outcome.severity == "critical"]
        warnings = [outcome for outcome in failed if outcome.severity == "warning"]
        return cls(not critical, critical, warnings, outcomes, statistics or {}, failures)

    def as_json(self) -> dict[str, Any]:
        """Return what `result.json` holds: everything but the failing rows."""
        return {
            "success": self.success,
            "critical": [outcome.name for outcome in self.critical],
            "warnings": [outcome.name for outcome in self.warnings],
            "expectations": [asdict(outcome) for outcome in self.outcomes],
            "statistics": self.statistics,
        }
