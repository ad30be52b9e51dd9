"""Evaluation on the test split: every figure with its interval, the report pages, the choice, and the model card."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from thorax.evaluation.run import evaluate
    from thorax.evaluation.selection import select

__all__ = ["evaluate", "select"]


def __getattr__(name: str) -> Any:
    """Import a step only when it is asked for: the registry uses parts of this package and draws no report."""
    if name == "evaluate":
        from thorax.evaluation.run import evaluate

        return evaluate
    if name == "select":
        from thorax.evaluation.selection import select

        return select
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
