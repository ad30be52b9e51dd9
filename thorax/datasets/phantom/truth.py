"""The truth table: what each phantom shows, whatever the label table says."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from thorax.datasets.phantom.layouts import Layout, Record
from thorax.datasets.phantom.population import Case
from thorax.files import atomic_path

TRUTH = "truth.parquet"

#: One row an image and finding that may be seen, support devices included. `severity` is 0 where it is absent;
#: `label` is what the tables publish (1, 0, −1, null: silent, or no column of that name); x, y (upper left corner),
#: w, h are fractions of the image, null where there is nothing to frame. The rest repeats on every row of an image.
#: The twin is rendered from `twin_seed` and the same subject without findings.
SCHEMA = pa.schema(
    [
        ("image_id", pa.string()),
        ("path", pa.string()),
        ("patient_id", pa.string()),
        ("finding", pa.string()),
        ("severity", pa.float32()),
        ("label", pa.float32()),
        ("x", pa.float32()),
        ("y", pa.float32()),
        ("w", pa.float32()),
        ("h", pa.float32()),
        ("cardiothoracic_ratio", pa.float32()),
        ("twin_seed", pa.int64()),
        ("view", pa.string()),
        ("age", pa.float32()),
        ("sex", pa.string()),
        ("size", pa.float32()),
        ("exposure", pa.float32()),
        ("noise", pa.float32()),
        ("blur", pa.float32()),
        ("scanner", pa.string()),
        ("marker", pa.string()),
    ]
)

#: Rows kept in memory before they are written.
_ROWS = 4096


@contextmanager
def truth_writer(layout: Layout, folder: Path) -> Iterator["TruthWriter"]:
    """Yield a writer of `truth.parquet` in flat memory; the file appears when all is written."""
    with atomic_path(folder / TRUTH) as path:
        writer = TruthWriter(layout, path)
        try:
            yield writer
        finally:
            writer.close()


class TruthWriter:
    """Gathers rows and writes them in groups."""

    def __init__(self, layout: Layout, path: Path) -> None:
        self._layout = layout
        self._rows: list[dict] = []
        self._parquet = pq.ParquetWriter(path, SCHEMA)

    def passing(self, rows: Iterable[tuple[Case, Record]]) -> Iterator[tuple[Case, Record]]:
        """Yield the rows on as they come, and note their truth."""
        for case, record in rows:
            self._rows += truth_rows(self._layout, case, record)
            if len(self._rows) >= _ROWS:
                self._flush()
            yield case, record

    def close(self) -> None:
        """Write what is left."""
        self._flush()
        self._parquet.close()

    def _flush(self) -> None:
        if self._rows:
            self._parquet.write_table(pa.Table.from_pylist(self._rows, schema=SCHEMA))
            self._rows = []


def truth_rows(layout: Layout, case: Case, record: Record) -> list[dict]:
    """Return the rows of one image, as `SCHEMA` says."""
    subject = case.subject
    common = {
        "image_id": layout.image_id(case),
        "path": layout.path(case),
        "patient_id": str(case.patient),
        "cardiothoracic_ratio": record.cardiothoracic_ratio,
        "twin_seed": subject.seed,
    }
    taken = ("view", "age", "sex", "size", "exposure", "noise", "blur", "scanner", "marker")
    common |= {name: getattr(subject, name) for name in taken}
    published = layout.published(case)
    rows = []
    for finding in layout.recipe.made:
        box = record.boxes.get(finding, (None,) * 4)
        truth = {"finding": finding, "severity": subject.findings.get(finding, 0.0), "label": published.get(finding)}
        rows.append(common | truth | dict(zip("xywh", box, strict=True)))
    return rows
