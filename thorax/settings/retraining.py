"""What an alarm may start by itself, and how often."""

from typing import Annotated, Literal

from pydantic import Field

from thorax.settings.base import Count, Positive, Section


class Retrain(Section):
    """Retraining on an alarm: whether, how often, on what, and where the data revision goes."""

    auto: bool = True
    max_per_week: Count = 2
    cooldown_hours: Annotated[float, Field(ge=0)] = 24.0
    min_new_cases: Count = 50
    attempts: Positive = 2
    commit: Literal["branch", "in_place", "none"] = "branch"
    branch: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._/-]*$")] = "thorax/confirmed-cases"
    push: bool = False
