"""What every bench tells, and how the pages of the documentation keep it."""

import json
from pathlib import Path

import pytest

from commands.bench.figures import Figure, Table, at_least, at_most, none_of, tables_of, told
from commands.bench.page import BEGIN, END, keep, tell
from commands.bench.parts import chosen, real_data
from commands.bench.watch import Peak
from thorax.errors import InputError

DOCS = Path(__file__).resolve().parents[2] / "docs"


def test_a_figure_knows_whether_it_is_as_it_should_be() -> None:
    figures = [
        at_least("A", "share", 0.953, 0.9, ".1%"),
        at_most("A", "tail", 3.5, 3, unit=" s"),
        none_of("B", "lost", 0),
        told("B", "n", 7),
    ]
    assert [one.good for one in figures] == [True, False, True, None]
    assert tables_of(figures)["A"].rows == [
        ("share", "95.3%", "≥ 90%", "reached"),
        ("tail", "3.50 s", "≤ 3 s", "**missed**"),
    ]


def test_a_page_keeps_its_words_and_what_was_not_measured_now(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# Title\n\nWords.\n")
    keep(page, tables_of([told("One", "x", 1), none_of("Two", "|lost|", 2)]), "Said.")
    page.write_text(page.read_text() + "\nMore words.\n")
    keep(page, tables_of([told("One", "x", 3)]), "Said again.")
    assert page.read_text().splitlines() == [
        *("# Title", "", "Words.", "", BEGIN, "", "Said again.", ""),
        *("### One", "", "| what | measured | agreed |  |", "|---|---:|---:|---|", "| x | 3.0 |  |  |", ""),
        *("### Two", "", "| what | measured | agreed |  |", "|---|---:|---:|---|"),
        *("| \\|lost\\| | 2 | 0 | **missed** |", "", END, "", "More words."),
    ]


def test_figures_without_an_end_are_left_alone(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"{BEGIN}\nwords that nobody wants to lose\n")
    with pytest.raises(InputError, match="no end"):
        keep(page, {}, "Said.")
    assert "nobody wants to lose" in page.read_text()


PAGES = [page.name for page in sorted(DOCS.glob("*.md")) if BEGIN in page.read_text(encoding="utf-8")]


@pytest.mark.parametrize("name", PAGES)
def test_the_pages_of_the_documentation_are_of_this_form(name: str, tmp_path: Path) -> None:
    text = (DOCS / name).read_text(encoding="utf-8")
    (tmp_path / name).write_text(text, encoding="utf-8")
    keep(tmp_path / name, {})
    assert (tmp_path / name).read_text(encoding="utf-8") == text


def test_a_person_and_a_machine_are_told_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    figures = [at_most("A [x]", "tail [s]", 3.5, 3), Figure("A [x]", "text", "a → b")]
    tell(figures)
    shown = capsys.readouterr().out
    assert all(word in shown for word in ("A [x]", "tail [s]", "3.50", "missed", "a → b"))
    tell(figures, json=True)
    assert [one["found"] for one in json.loads(capsys.readouterr().out)] == [3.5, None]
    tell({"Drift": Table(("drift", "seen"), [("blur", "6%")])}, json=True)
    assert json.loads(capsys.readouterr().out) == {"Drift": [{"drift": "blur", "seen": "6%"}]}


def test_an_unknown_part_is_refused_with_the_nearest() -> None:
    assert chosen(None, ("speed", "race")) == ["speed", "race"]
    with pytest.raises(InputError, match="Did you mean speed"):
        chosen(["sped"], ("speed", "race"))


def test_real_radiographs_are_those_that_were_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("THORAX_REAL_DATA", str(tmp_path))
    assert real_data() is None
    with pytest.raises(InputError, match="nih256"):
        real_data(tmp_path)
    (tmp_path / "nih256").mkdir()
    assert real_data() == real_data(tmp_path) == tmp_path


def test_the_largest_of_what_was_seen_counts_even_of_a_short_block() -> None:
    seen = iter([3.0, 7.0])
    with Peak(lambda: next(seen, 5.0), every=60) as peak:
        pass
    assert peak.value == 3.0
    with Peak(lambda: next(seen, 5.0), every=0.01) as peak:
        while peak.value < 7:
            pass
    assert peak.value == 7.0
