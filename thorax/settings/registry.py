"""MLflow, and what a model must show before it is promoted."""

from typing import Annotated, Literal

from pydantic import Field

from thorax.settings.base import Section, Share


class Gates(Section):
    """What a model must show before it may be promoted."""

    min_mean_auroc: Share = 0.60
    min_auroc: Share = 0.50
    max_ece: Share = 0.15
    min_sensitivity: Share = 0.50
    conformal_slack: Share = 0.10
    max_bundle_mib: Annotated[float, Field(gt=0)] = 1024.0
    max_latency_ms: Annotated[float, Field(gt=0)] = 3000.0
    challenger_rule: Literal["not_worse", "better"] = "not_worse"
    challenger_margin: Share = 0.01


class Registry(Section):
    """MLflow: where runs and models are kept."""

    name: str = "thorax"
    tracking_uri: str | None = None
    experiment: str = "thorax"
    require_approval: bool = False
    auto_promote: bool = False
    gates: Gates = Gates()
