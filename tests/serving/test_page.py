"""The page in a browser: what a clinician does with it, on a desk and on a phone, with no network behind it."""

import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dicom_factory import radiograph_dicom
from PIL import Image

from serving.launch import Running, launched
from thorax.prediction_log import log_path, read_feedback
from thorax.settings import load

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(360),  # the first test waits for service and page, which a busy machine starts slowly
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is at hand"),
]
#: Where to leave pictures of the page; nowhere where it is not named.
PICTURES = os.environ.get("THORAX_SCREENSHOTS")
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]


@pytest.fixture(scope="module")
def started(sample_bundle: Path, project: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    home = tmp_path_factory.mktemp("home")
    shutil.copyfile(project / "params.yaml", home / "params.yaml")
    bundle = Path(os.environ.get("THORAX_TEST_BUNDLE", sample_bundle))
    with launched(load(home), bundle, port=0, page=True) as running:
        yield running


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield chromium
        chromium.close()


def visit(browser: Any, started: Running, theme: str = "light", **context: Any) -> Any:
    """Open the page and wait for its examples; remember every address that it asks for."""
    page = browser.new_context(**context).new_page()
    page.asked = []
    page.on("request", lambda request: page.asked.append(request.url))
    page.errors = []
    page.on("pageerror", lambda error: page.errors.append(str(error)))
    deadline = time.monotonic() + 60
    while True:
        try:
            page.goto(f"{started.page}/?__theme={theme}")
            break
        except Exception:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)
    page.locator("button.tx-example").nth(4).wait_for(timeout=30_000)
    return page


def keep(page: Any, name: str) -> None:
    if PICTURES:
        page.wait_for_timeout(400)
        file = Path(PICTURES) / f"{name}.png"
        page.screenshot(path=str(file), full_page=True)
        few = Image.open(file).convert("RGB").quantize(256, method=Image.Quantize.MAXCOVERAGE)  # keeps the heat smooth
        few.save(file, optimize=True)


def test_an_example_is_answered_toggled_commented_and_exported(browser: Any, started: Running) -> None:
    page = visit(browser, started, viewport={"width": 1280, "height": 900})
    keep(page, "page-start")
    page.get_by_role("button", name="Phantom with").first.click()
    page.locator(".tx-result").wait_for(timeout=30_000)
    assert page.locator(".tx-layer:visible").count() == 1
    keep(page, "page-answer")

    page.locator(".tx-show").nth(1).focus()
    page.keyboard.press("Space")  # by keyboard alone
    finding = page.locator(".tx-show").nth(1).get_attribute("value")
    assert page.locator(".tx-layer:visible").get_attribute("data-finding") == finding
    page.locator(".tx-opacity").fill("25")
    assert page.locator(".tx-layer:visible").evaluate("e => getComputedStyle(e).opacity") == "0.25"
    page.get_by_label("Show the radiograph alone").check()
    assert page.locator(".tx-layer:visible").count() == 0

    page.get_by_label("Effusion", exact=True).check()
    page.get_by_role("button", name="Submit feedback").click()
    page.get_by_text("Feedback saved").wait_for(timeout=15_000)
    var = started.log.parent.parent
    kept = read_feedback(log_path(var))
    assert dict(zip(kept["finding"], kept["present"], strict=True))["Effusion"] == 1

    with page.expect_download() as download:
        page.get_by_role("button", name="Download as PDF").click()
    assert Path(download.value.path()).read_bytes().startswith(b"%PDF")
    outside = [url for url in page.asked if "127.0.0.1" not in url and not url.startswith(("data:", "blob:"))]
    assert outside == []
    assert page.errors == []


def test_an_upload_that_is_no_radiograph_is_called_that_and_not_kept(
    browser: Any, started: Running, tmp_path: Path
) -> None:
    page = visit(browser, started)
    noise = (np.random.default_rng(0).random((300, 200)) * 255).astype(np.uint8)
    Image.fromarray(noise).save(tmp_path / "noise.png")
    page.set_input_files("input[type=file]", str(tmp_path / "noise.png"))
    page.get_by_text("Outside the model's training data").first.wait_for(timeout=30_000)
    keep(page, "page-strange")
    (tmp_path / "text.png").write_text("no image at all")
    page.set_input_files("input[type=file]", str(tmp_path / "text.png"))
    page.get_by_text("It is not a PNG, JPEG, TIFF or DICOM image").wait_for(timeout=30_000)
    assert not list((started.log.parent / "page").rglob("*noise*.png"))


def test_a_dicom_file_without_a_suffix_is_answered_and_the_page_says_what_was_assumed(
    browser: Any, started: Running, sample_bundle: Path, tmp_path: Path
) -> None:
    pixels = np.asarray(Image.open(sample_bundle / "examples" / "1-positive.png").convert("L"))
    tags = {"BodyPartExamined": "TÓRAX AP", "SpecificCharacterSet": "ISO_IR 192", "Modality": "OT", "NumberOfFrames": 2}
    (tmp_path / "IM000001").write_bytes(radiograph_dicom(pixels, **tags, PixelData=pixels.tobytes() * 2))
    page = visit(browser, started)
    page.set_input_files("input[type=file]", str(tmp_path / "IM000001"))
    page.locator(".tx-facts").wait_for(timeout=60_000)
    assert "Assumptions\nIt holds 2 frames; frame 1 was read." in page.locator(".tx-facts").inner_text()
    keep(page, "page-assumed")


def test_on_a_phone_in_the_dark_nothing_is_cut_off(browser: Any, started: Running) -> None:
    page = visit(browser, started, theme="dark", viewport={"width": 390, "height": 844})
    page.get_by_role("button", name="unsure").click()
    page.locator(".tx-result").wait_for(timeout=30_000)
    keep(page, "page-phone")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert page.locator(".tx-table").evaluate("e => e.scrollWidth <= e.parentElement.clientWidth")
    assert page.locator(".tx-verdict").evaluate("e => e.getBoundingClientRect().top") < 844  # it came into view


@pytest.mark.parametrize(("theme", "width"), [("light", 1280), ("dark", 390)])
def test_no_serious_barrier_is_found(browser: Any, started: Running, theme: str, width: int) -> None:
    from axe_playwright_python.sync_playwright import Axe

    page = visit(browser, started, theme=theme, viewport={"width": width, "height": 900})
    barriers = _barriers(Axe().run(page).response)
    page.get_by_role("button", name="unsure").click()
    page.locator(".tx-result").wait_for(timeout=30_000)
    page.get_by_role("button", name="Submit feedback").wait_for(timeout=30_000)
    keep(page, f"page-{theme}-{width}")
    assert page.locator(".tx-table").evaluate("e => e.scrollWidth <= e.parentElement.clientWidth"), "it is cut off"
    barriers += _barriers(Axe().run(page).response)
    assert barriers == []


def _barriers(found: dict[str, Any]) -> list[tuple[str, str]]:
    """What axe finds serious or critical: its rule, and where."""
    return [
        (violation["id"], node["html"][:200])
        for violation in found["violations"]
        if violation["impact"] in ("serious", "critical")
        for node in violation["nodes"]
    ]


def test_every_control_has_a_name(browser: Any, started: Running) -> None:
    page = visit(browser, started)
    page.get_by_role("button", name="Phantom with").first.click()
    page.locator(".tx-result").wait_for(timeout=30_000)
    nameless = page.evaluate(
        """() => [...document.querySelectorAll('.tx-result input, button.tx-example')].filter(e =>
             !(e.getAttribute('aria-label') || e.closest('label')?.innerText.trim() || e.innerText.trim())
           ).map(e => e.outerHTML)"""
    )
    assert nameless == []
    assert page.title() == "Thorax"
