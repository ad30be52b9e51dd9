"""Reading tables as people publish them: CSV of any common encoding and separator, gzip, or Parquet.

A table is either read rightly or refused with its file and line. Nothing is guessed silently: a row with too many or
too few fields, a value that is not a number and a column that is not there are errors that name themselves.
"""

import csv
import gzip
import io
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import islice
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv
import pyarrow.parquet as pq

from thorax.errors import InputError, nearest

_SEPARATORS = (",", ";", "\t", "|")
_BOMS = ((b"\xef\xbb\xbf", "utf-8-sig"), (b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"))
_MAX_BLOCK = 2**31 - 1
#: Words that stand for "no value" in published tables.
BLANK = frozenset({"", "nan", "na", "n/a", "none", "null", "?"})


@dataclass(frozen=True)
class Table:
    """A table of trimmed text, with the file and the line of every row at hand for errors."""

    path: Path
    frame: pd.DataFrame
    separator: str = ","
    _text: str = field(default="", repr=False)

    def column(self, name: str) -> pd.Series:
        """Return one column as trimmed text; the name is found whatever its case and inner blanks.

        Raises:
            InputError: the column is not there; the message names the nearest one.
        """
        self.require([name])
        return self.frame[self._names[_fold(name)]]

    def has(self, name: str) -> bool:
        """Tell whether there is such a column."""
        return _fold(name) in self._names

    def require(self, names: Iterable[str]) -> None:
        """Refuse a table that lacks a column.

        Raises:
            InputError: names every missing column and those that are there.
        """
        missing = [name for name in names if not self.has(name)]
        if missing:
            found = [str(name) for name in self.frame.columns if str(name)]
            hint = nearest(missing[0], found) if len(missing) == 1 else f"It has: {', '.join(found)}."
            words = f"columns {', '.join(map(repr, missing))}" if len(missing) > 1 else f"column {missing[0]!r}"
            raise InputError(f"{self.path} lacks the {words}.", hint)

    def numbers(self, name: str, values: pd.Series | None = None) -> np.ndarray:
        """Return a column as float64 of shape (rows,), with NaN where it is blank.

        In a table separated by semicolons a comma counts as the decimal point.

        Args:
            name: the column, for the values and for errors.
            values: text to read instead, a value a row, where the column needed preparing.

        Raises:
            InputError: a value is not a number; the message names line and value.
        """
        text = self.column(name) if values is None else values
        codes, words = pd.factorize(text)
        plain = pd.Series(words.astype(str)).str.lower()
        if self.separator == ";":
            plain = plain.str.replace(",", ".", regex=False)
        parsed = pd.to_numeric(plain, errors="coerce").to_numpy(np.float64)
        wrong = ~np.isfinite(parsed) & ~plain.isin(BLANK).to_numpy()
        self.refuse(wrong[codes], f"{name} is not a number", text)
        return parsed[codes]

    def refuse(self, bad: np.ndarray, what: str, values: Sequence | pd.Series | None = None, mend: str = "") -> None:
        """Refuse the table when any row is bad.

        Raises:
            InputError: says what, names the first bad line and its value, and counts the others.
        """
        rows = np.flatnonzero(bad)
        if not len(rows):
            return
        value = "" if values is None else f": {np.asarray(values, dtype=object)[rows[0]]!r}"
        others = "" if len(rows) == 1 else f" ({len(rows):,} rows like it)"
        raise InputError(f"{self.path}, line {self.line(int(rows[0]))}: {what}{value}{others}.", mend)

    def line(self, row: int) -> int:
        """Return the line of the file, counted from 1, on which a row ends (a row's number in a Parquet file)."""
        if not self._text:
            return row + 1
        # The header is the first record.
        return next(islice(_records(self._text, self.separator, self.path), row + 1, None))[0]

    @cached_property
    def _names(self) -> dict[str, str]:
        return {_fold(name): name for name in map(str, self.frame.columns)}


def read_table(path: Path) -> Table:
    """Read a CSV (`.csv`, `.txt`, `.tsv`, also with `.gz`) or Parquet table as trimmed text.

    UTF-8 with or without a byte-order mark, UTF-16 with one and Latin-1 are told apart, as are commas, semicolons, tabs
    and bars. Lines may end as they like. Empty lines and rows of nothing but separators are skipped.

    Raises:
        InputError: the file is missing, empty, binary, cut short, repeats a column, or has a row with more or fewer
            fields than its header.
    """
    try:
        if path.suffix.lower() in (".parquet", ".pq"):
            return Table(path, _as_text(pq.read_table(path), path))
        raw = gzip.decompress(path.read_bytes()) if path.suffix.lower() == ".gz" else path.read_bytes()
    except FileNotFoundError as error:
        raise InputError(f"The table {path} does not exist.", "Check the data root and the file's name.") from error
    except (EOFError, gzip.BadGzipFile, pa.ArrowInvalid, OSError) as error:
        raise InputError(f"The table {path} cannot be read: {error}", "It may be cut short; get it again.") from error
    text = _decode(raw, path)
    separator, header, body = _header(text, path)
    return Table(path, _parse(body, header, separator, path, text), separator, text)


def _decode(raw: bytes, path: Path) -> str:
    for mark, name in _BOMS:
        if raw.startswith(mark):
            try:
                return raw.decode(name)
            except UnicodeDecodeError as error:
                raise InputError(f"{path} starts as {name} and is not: {error}.", "Save it as UTF-8.") from error
    if b"\0" in raw:
        raise InputError(f"{path} is not a text table: it holds zero bytes.", "Save it as CSV in UTF-8.")
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw.decode("latin-1")


def _header(text: str, path: Path) -> tuple[str, list[str], str]:
    """Return the separator, the column names, and the text below the header."""
    plain = text.lstrip("\r\n \t")
    if not plain:
        raise InputError(f"The table {path} is empty.", "Get the file again.")
    stream = io.StringIO(plain, newline=None)
    first = stream.readline().rstrip("\n")
    body = stream.read()
    bare = "".join(first.split('"')[::2])  # Outside quotes only.
    separator = max(_SEPARATORS, key=lambda mark: (bare.count(mark), -_SEPARATORS.index(mark)))
    names = [name.strip() for name in next(csv.reader([first], delimiter=separator))]
    rows = islice(_records(plain, separator, path), 1, None)
    width = next((len(fields) for _, fields in rows), None)
    if width is not None and len(names) != width:
        trimmed = list(names)
        while trimmed and not trimmed[-1]:
            trimmed.pop()
        # NIH publishes `OriginalImage[Width,Height]` for two columns, in quotes in some copies.
        split = [part.strip() for name in trimmed for part in name.split(",")]
        for candidate in (trimmed, [*trimmed, ""], split, [*split, ""]):
            if len(candidate) == width:
                names = candidate
                break
    folded = [_fold(name) for name in names if name]
    repeated = sorted({name for name in folded if folded.count(name) > 1})
    if repeated:
        raise InputError(f"{path} has the column {repeated[0]!r} more than once.", "Give each column its own name.")
    return separator, [name or f"unnamed {place}" for place, name in enumerate(names)], body


def _records(text: str, separator: str, path: Path) -> Iterator[tuple[int, list[str]]]:
    """Yield each row that is not empty, with the line, counted from 1, on which it ends."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator)
    begin = 1
    try:
        for fields in reader:
            if any(field.strip() for field in fields):
                yield reader.line_num, fields
            begin = reader.line_num + 1
    except csv.Error as error:
        message = f"{path}: the row that begins on line {begin} cannot be read: {error}."
        raise InputError(message, "Look for a quote that is not closed.") from error


def _parse(body: str, header: list[str], separator: str, path: Path, text: str) -> pd.DataFrame:
    bad: list[pacsv.InvalidRow] = []

    def note(row: pacsv.InvalidRow) -> str:
        if row.text.strip(f"{separator} \t\r\n"):
            bad.append(row)
        return "skip"

    # One block: a quoted value with line breaks may not cross a border.
    block = min(max(4 * len(body), 1024), _MAX_BLOCK)
    try:
        table = pacsv.read_csv(
            pa.BufferReader(body.encode()),
            read_options=pacsv.ReadOptions(column_names=header, use_threads=False, block_size=block),
            parse_options=pacsv.ParseOptions(delimiter=separator, newlines_in_values=True, invalid_row_handler=note),
            convert_options=pacsv.ConvertOptions(
                column_types=dict.fromkeys(header, pa.string()), strings_can_be_null=False
            ),
        )
    except pa.ArrowInvalid as error:
        if "Empty CSV" in str(error) or not body.strip():
            raise InputError(f"The table {path} has a header and no rows.", "Get the file again.") from error
        raise InputError(f"The table {path} cannot be read: {error}.", "Check its quotes and separators.") from error
    if bad:
        more = f" ({len(bad):,} rows like it)" if len(bad) > 1 else ""
        rows = islice(_records(text, separator, path), 1, None)
        line = next((line for line, fields in rows if len(fields) != len(header)), 0)
        raise InputError(
            f"{path}, line {line}: {bad[0].actual_columns} fields, and the header has {bad[0].expected_columns}{more}.",
            "Look for a stray separator, an unclosed quote or a line cut short.",
        )
    frame = _as_text(table, path)
    empty = (frame == "").all(axis=1)
    return frame[~empty].reset_index(drop=True) if empty.any() else frame


def _as_text(table: pa.Table, path: Path) -> pd.DataFrame:
    """Return every column as trimmed text, with "" where a value is missing."""
    columns = {}
    for name in table.column_names:
        values = table.column(name)
        if not pa.types.is_string(values.type):
            values = _plain(values, name, path)
        columns[name] = pc.utf8_trim_whitespace(values.fill_null("")).to_numpy(zero_copy_only=False)
    return pd.DataFrame(columns)


def _plain(values: pa.ChunkedArray, name: str, path: Path) -> pa.ChunkedArray:
    if pa.types.is_dictionary(values.type):
        values = values.cast(values.type.value_type)
    if pa.types.is_boolean(values.type):
        values = values.cast(pa.int8())
    try:
        return values.cast(pa.string())
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise InputError(f"{path}: the column {name!r} is neither text nor numbers: {values.type}.") from error


def _fold(name: str) -> str:
    return " ".join(name.lower().replace("_", " ").split())
