"""Drift, alarms and what follows from them."""

from typing import Annotated

from pydantic import Field

from thorax.settings.base import Positive, Section


class Monitor(Section):
    """Drift reports."""

    min_rows: Positive = 300
    false_alarm_rate: Annotated[float, Field(gt=0, lt=1)] = 0.05
    resamples: Annotated[int, Field(ge=50)] = 400
