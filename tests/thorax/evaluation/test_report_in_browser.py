"""The report and the comparison as a browser shows them, on a desk and on a phone."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from thorax.evaluation import evaluate, select
from thorax.settings import Evaluation, Select

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")

pytestmark = [pytest.mark.slow, pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium")]


@pytest.fixture(scope="module")
def pages(maker, tmp_path_factory) -> dict[str, Path]:
    """The report of a candidate, and the page that compares it with itself."""
    root = tmp_path_factory.mktemp("pages")
    folders = maker(root)
    evaluate(*folders, Evaluation(bootstrap=30), root / "evaluation", "custom_cnn", True)
    shutil.copytree(root / "evaluation", root / "again")
    select({"custom_cnn": root / "evaluation", "resnet50": root / "again"}, Select(), root / "selection")
    return {"report": root / "evaluation" / "report.html", "comparison": root / "selection" / "comparison.html"}


@pytest.fixture(scope="module")
def browser() -> Iterator:
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as driver:
        chromium = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield chromium
        chromium.close()


@pytest.mark.parametrize("name", ["report", "comparison"])
@pytest.mark.parametrize("width", [1280, 390])
def test_nothing_runs_off_the_page_and_every_picture_shows(pages, browser, name: str, width: int) -> None:
    page = browser.new_page(viewport={"width": width, "height": 900})
    fetched: list[str] = []
    page.on("request", lambda request: fetched.append(request.url))
    page.goto(pages[name].as_uri())
    document = page.evaluate("[document.documentElement.scrollWidth, document.documentElement.clientWidth]")
    assert document[0] <= document[1], "the page itself must not scroll sideways"
    loose = page.evaluate("[...document.querySelectorAll('table')].filter(t => !t.closest('.scroll')).length")
    assert loose == 0, "every table scrolls in a box of its own"
    assert page.evaluate("[...document.images].every(i => i.complete && i.naturalWidth > 0)")
    assert page.evaluate("document.images.length") > 1
    assert [url for url in fetched if not url.startswith(("file:", "data:"))] == []
    page.close()


@pytest.mark.parametrize("name", ["report", "comparison"])
def test_it_can_be_read_by_those_who_do_not_see_it_or_have_no_mouse(pages, browser, name: str) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright")
    page = browser.new_page(viewport={"width": 390, "height": 900})
    page.goto(pages[name].as_uri())
    found = axe.Axe().run(page)
    grave = [one["id"] for one in found.response["violations"] if one["impact"] in ("serious", "critical")]
    assert grave == [], found.generate_report()
    page.close()
