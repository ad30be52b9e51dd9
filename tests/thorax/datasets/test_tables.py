"""A table is read as it was written, whatever wrote it."""

import csv
import gzip
import io

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from thorax.datasets.tables import read_table
from thorax.errors import InputError

#: Text that survives trimming, with the characters that make tables hard.
CELLS = st.text(st.sampled_from('abcÅé0,;\t|"\n'), max_size=6).map(str.strip)
TABLES = st.integers(2, 4).flatmap(
    lambda width: st.lists(st.lists(CELLS, min_size=width, max_size=width).filter(any), min_size=1, max_size=6)
)


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rows=TABLES,
    separator=st.sampled_from(",;\t|"),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "latin-1"]),
    zipped=st.booleans(),
)
def test_what_the_csv_module_writes_is_read_back(tmp_path, rows, separator, encoding, zipped):
    header = [f"column {place}" for place in range(len(rows[0]))]
    stream = io.StringIO(newline="")
    csv.writer(stream, delimiter=separator, lineterminator="\n").writerows([header, *rows])
    raw = stream.getvalue().encode(encoding)
    path = tmp_path / ("table.csv.gz" if zipped else "table.csv")
    path.write_bytes(gzip.compress(raw) if zipped else raw)
    table = read_table(path)
    assert table.frame.columns.tolist() == header
    assert table.frame.to_numpy().tolist() == rows


def test_columns_are_found_whatever_their_case_and_blanks(tmp_path):
    (tmp_path / "t.csv").write_text("Image  Index,patient_id\na,1\n")
    table = read_table(tmp_path / "t.csv")
    assert table.column("image index").tolist() == ["a"]
    assert table.column("Patient ID").tolist() == ["1"]
    with pytest.raises(InputError, match=r"t\.csv lacks the column 'Patient IDs'\. Did you mean patient_id\?"):
        table.column("Patient IDs")


def test_numbers_are_numbers_blank_or_refused(tmp_path):
    (tmp_path / "t.csv").write_text("x,y\n1,a\n 2.5 ,b\n-3e2,c\n,d\nNaN,e\n")
    np.testing.assert_array_equal(read_table(tmp_path / "t.csv").numbers("x"), [1, 2.5, -300, np.nan, np.nan])
    (tmp_path / "t.csv").write_text("x,y\n1,a\ninf,b\nten,c\n")
    with pytest.raises(InputError, match=r"line 3: x is not a number: 'inf' \(2 rows like it\)"):
        read_table(tmp_path / "t.csv").numbers("x")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b" \n\n", "is empty"),
        (b"a,b\n", "has a header and no rows"),
        (b"a,b,A\n1,2,3\n", "has the column 'a' more than once"),
        (b"a,b\n1,2\x00\n", "it holds zero bytes"),
        (b"\xff\xfea,b\n1", "starts as utf-16 and is not"),
        (b"a,b\n1,2\n3\n", r"line 3: 1 fields, and the header has 2"),
        (b"a,b\n1,2\n3,4,5\n6,7,8\n", r"line 3: 3 fields, and the header has 2 \(2 rows like it\)"),
    ],
)
def test_a_file_that_is_no_table_is_refused(tmp_path, content, message):
    (tmp_path / "t.csv").write_bytes(content)
    with pytest.raises(InputError, match=message):
        read_table(tmp_path / "t.csv")


def test_files_cut_short_are_refused(tmp_path):
    whole = gzip.compress(b"a,b\n" + b"1,2\n" * 1000)
    (tmp_path / "t.csv.gz").write_bytes(whole[:-12])
    with pytest.raises(InputError, match=r"t\.csv\.gz cannot be read.*cut short"):
        read_table(tmp_path / "t.csv.gz")
    pd.DataFrame({"a": [1]}).to_parquet(tmp_path / "t.parquet")
    (tmp_path / "t.parquet").write_bytes((tmp_path / "t.parquet").read_bytes()[:-8])
    with pytest.raises(InputError, match=r"t\.parquet cannot be read.*cut short"):
        read_table(tmp_path / "t.parquet")


@pytest.mark.real_data
def test_pandas_reads_the_published_table_the_same(real_data):
    path = real_data / "labels" / "Data_Entry_2017_v2020.csv.gz"
    expected = pd.read_csv(path, dtype=str, keep_default_na=False)
    found = read_table(path).frame
    assert found.columns.tolist() == expected.columns.tolist()
    assert (found.to_numpy() == expected.to_numpy()).all()
