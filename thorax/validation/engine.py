"""Great Expectations: the one module that imports it.

Expectations on long tables are evaluated one column at a time: the library copies the whole table for every column that
it looks at, and a manifest is wide.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from thorax.validation.result import FAILURE_COLUMNS, Outcome, Severity

# Rows from which copying costs more than the library's fixed price of a batch.
_LONG = 5_000


@dataclass(frozen=True)
class Expectation:
    """One expectation of Great Expectations on one column of one table.

    Attributes:
        name: as `params.yaml` and the page call it.
        subject: what a row is: image, patient, finding, box, pair, split, table.
        kind: the class in `great_expectations.expectations`.
        meaning: what is expected, a sentence with its bounds.
        column: the column looked at; "" for expectations about the whole table.
        arguments: of the class, without the column.
    """

    name: str
    subject: str
    kind: str
    meaning: str
    column: str = ""
    arguments: dict[str, Any] = field(default_factory=dict)


def evaluate(
    tables: dict[str, pd.DataFrame],
    keys: dict[str, str],
    expectations: Sequence[Expectation],
    severities: dict[str, Severity],
) -> tuple[list[Outcome], pd.DataFrame]:
    """Evaluate expectations.

    Args:
        tables: subject → its table.
        keys: subject → the column that names a row in the failures.
        expectations: what must hold; each one's subject is among the tables.
        severities: expectation → severity.

    Returns:
        One outcome an expectation, in order, and all failing rows (`FAILURE_COLUMNS`). An error inside an expectation
        is an outcome that failed, with its error.
    """
    logging.getLogger("great_expectations").setLevel(logging.ERROR)
    import great_expectations as gx

    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = {"globally": False}
    whole = (
        context.data_sources.add_pandas("thorax")
        .add_dataframe_asset("table")
        .add_batch_definition_whole_dataframe("whole")
    )
    groups: dict[tuple[str, str], list[Expectation]] = {}
    for expectation in expectations:
        long = len(tables[expectation.subject]) > _LONG
        groups.setdefault((expectation.subject, expectation.column if long else ""), []).append(expectation)
    found: dict[str, tuple[Outcome, pd.DataFrame]] = {}
    for (subject, column), members in groups.items():
        table = tables[subject]
        columns = list(dict.fromkeys(member.column for member in members if member.column))
        narrow = table[columns] if columns else table.head(1)
        batch = whole.get_batch({"dataframe": narrow})
        suite = gx.ExpectationSuite(name=f"{subject} {column}", expectations=[_build(member) for member in members])
        # A row that fails is looked up by its position; the query that finds it again is for databases.
        verdict = batch.validate(
            suite, result_format={"result_format": "COMPLETE", "return_unexpected_index_query": False}
        )
        results = {result.expectation_config.meta["name"]: result for result in verdict.results}
        for member in members:
            severity = severities[member.name]
            found[member.name] = _read(results[member.name], member, severity, table, keys[subject])
    outcomes = [found[expectation.name][0] for expectation in expectations]
    failures = [found[expectation.name][1] for expectation in expectations if len(found[expectation.name][1])]
    empty = pd.DataFrame(columns=list(FAILURE_COLUMNS), dtype="string")
    return outcomes, pd.concat(failures, ignore_index=True) if failures else empty


def _build(expectation: Expectation) -> Any:
    import great_expectations.expectations as gxe

    arguments = dict(expectation.arguments)
    if expectation.column:
        arguments["column"] = expectation.column
    return getattr(gxe, expectation.kind)(**arguments, meta={"name": expectation.name})


def _read(
    result: Any, expectation: Expectation, severity: Severity, table: pd.DataFrame, key: str
) -> tuple[Outcome, pd.DataFrame]:
    """Turn a result of the library into an outcome and its failing rows."""
    error = _error(result.exception_info)
    details = result.result or {}
    rows = [] if result.success or error else list(details.get("unexpected_index_list") or [])
    failures = pd.DataFrame(
        {
            "expectation": expectation.name,
            "severity": severity,
            "subject": expectation.subject,
            "key": table[key].iloc[rows].astype(str).to_numpy() if rows else [],
            "value": table[expectation.column].iloc[rows].map(_show).to_numpy() if rows else [],
        },
        columns=list(FAILURE_COLUMNS),
        dtype="string",
    )
    checked = int(details.get("element_count", len(table)))
    failed = int(details.get("unexpected_count", 0))
    if error:
        observed = f"it could not be evaluated: {error}"
    elif "observed_value" in details:
        observed = f"it holds for {len(table):,} rows." if result.success else f"{_show(details['observed_value'])}."
    elif failed:
        first = ", ".join(failures["key"].head(3)) if len(failures) else ""
        observed = f"{failed:,} of {checked:,} rows fail" + (f", the first: {first}." if first else ".")
    elif not checked:
        observed = "there is nothing against it."
    else:
        observed = "the one row holds." if checked == 1 else f"all {checked:,} rows hold."
    outcome = Outcome(
        expectation.name,
        severity,
        bool(result.success) and not error,
        expectation.subject,
        expectation.meaning,
        observed,
        checked,
        failed,
        error,
    )
    return outcome, failures


def _error(information: Any) -> str:
    """Return the message of an exception inside an expectation: one record, or one a metric."""
    records = [information] if "raised_exception" in (information or {}) else list((information or {}).values())
    for record in records:
        if isinstance(record, dict) and record.get("raised_exception"):
            return str(record.get("exception_message") or "an unknown error")
    return ""


def _show(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return "missing" if value is None or value is pd.NA else str(value)
