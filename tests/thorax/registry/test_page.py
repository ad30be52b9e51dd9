"""The comparison page: whole in itself, with pictures where the images are at hand, and saying so where not."""

import re
import shutil
from pathlib import Path

import pytest

from thorax.errors import InputError
from thorax.registry.page import verdict, write_page
from thorax.registry.versions import resolve
from thorax.settings import Settings


def page(settings: Settings, out: Path, store: Path | None = None) -> str:
    found = write_page(settings, resolve(settings, "2"), resolve(settings, "1"), out, store)
    assert found["images"] == 64
    return out.read_text()


def test_it_holds_everything_and_fetches_nothing(with_registry: Settings, tmp_path: Path) -> None:
    text = page(with_registry, tmp_path / "page.html")
    assert not re.findall(r'(?:src|href)="(?!data:|#)[^"]*"', text)
    for words in ("Version 2 compared with version 1", "Reliability", "Subgroups", "sex: F", "Gates", "params_digest"):
        assert words in text
    assert "Synthetic" in text
    assert "do not differ significantly" in text
    assert "not on this machine" in text


def test_images_on_which_they_disagree_are_drawn_with_both_heats(
    with_registry: Settings, sample_steps: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from thorax.registry import page as pages

    place = with_registry.var / "steps" / "run" / "preprocess" / "store"
    shutil.copytree(sample_steps["store_dir"], place)
    # The sample's versions are one network described anew: they agree, and so the first images stand for the rest.
    assert "agree on every radiograph" in page(with_registry, tmp_path / "same.html")
    monkeypatch.setattr(pages, "disagreements", lambda common: [(0, 0), (1, 2)])
    text = page(with_registry, tmp_path / "page.html")
    assert text.count("data:image/jpeg") == 4
    assert text.count('<div class="pair">') == 2
    with pytest.raises(InputError, match="not the image store"):
        page(with_registry, tmp_path / "page.html", tmp_path)


@pytest.mark.parametrize(
    ("low", "high", "words"),
    [
        (0.01, 0.03, "Version 2 is better"),
        (-0.03, -0.01, "Version 1 is better"),
        (-0.01, 0.01, "do not differ significantly"),
    ],
)
def test_the_verdict_goes_by_the_interval(with_registry: Settings, low: float, high: float, words: str) -> None:
    figure = {"value": 0.8, "low": 0.7, "high": 0.9}
    difference = {"value": (low + high) / 2, "low": low, "high": high}
    found = {"metrics": {"mean": {"auroc": {"one": figure, "two": figure, "difference": difference}}}}
    one, two = resolve(with_registry, "2"), resolve(with_registry, "1")
    assert words in verdict(found, one, two)
    assert "too few" in verdict({"metrics": {"mean": {}}}, one, two)
