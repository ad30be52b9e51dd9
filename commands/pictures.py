"""Pictures of the pages for the documentation, taken in a real browser: `python -m commands.pictures`."""

import shutil
from pathlib import Path

from thorax.errors import InputError
from thorax.settings import load

#: Pictures are cut at this height, in pixels: the README shows what a page begins with.
HEIGHT = 1150
WIDTH = 1180
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]


def take(pages: dict[str, Path], out: Path) -> None:
    """Take a picture of the beginning of each page.

    Args:
        pages: name of the picture → HTML file.
        out: folder for the PNG files, each reduced to 128 colours to stay small.

    Raises:
        InputError: no Chromium is installed.
    """
    from PIL import Image
    from playwright.sync_api import sync_playwright

    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        raise InputError("No Chromium is installed.", "On Debian: apt-get install chromium")
    out.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=browser, args=ARGUMENTS)
        view = chromium.new_page(viewport={"width": WIDTH, "height": HEIGHT})
        for name, page in pages.items():
            view.goto(page.absolute().as_uri())
            view.wait_for_timeout(1500)
            file = out / f"{name}.png"
            view.screenshot(path=str(file))
            Image.open(file).convert("RGB").quantize(128).save(file, optimize=True)
        chromium.close()


def main() -> None:
    """Take the pictures of the latest run's pages."""
    settings = load()
    reports = settings.var / "reports"
    drift = sorted(settings.var.glob("monitoring/reports/*/index.html"))
    pages = {"report": reports / "report.html"}
    pages |= {"drift": drift[-1]} if drift else {}
    missing = [str(page) for page in pages.values() if not page.is_file()]
    if missing:
        raise InputError(f"There is no page to take a picture of: {', '.join(missing)}.", "Run: make demo")
    take(pages, settings.home / "docs" / "images")


if __name__ == "__main__":
    main()
