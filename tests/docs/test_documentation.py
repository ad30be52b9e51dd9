"""The documentation says what is: every command on a page exists with its options, every link leads somewhere."""

import functools
import re
import shlex
import shutil
import subprocess
import sys
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import typer
import yaml

from commands.main import app

ROOT = Path(__file__).resolve().parents[2]
#: Typer's own base of everything that is wrong with a command line.
UsageError = typer.BadParameter.__mro__[1]
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])


class Quiet(SimpleHTTPRequestHandler):
    """A server of files that says nothing."""

    def log_message(self, *_: object) -> None:
        """Keep the tests' output clean."""


def commands(text: str) -> list[str]:
    """Return the lines of shell blocks that start the `thorax` command, continued lines joined."""
    lines = []
    for block in re.findall(r"```(?:bash|sh|console)\n(.*?)```", text, flags=re.DOTALL):
        for line in block.replace("\\\n", " ").splitlines():
            found = re.match(r"\s*(?:\$ )?(?:[A-Z_]+=\S+ )*(thorax .*)", line)
            if found:
                lines.append(found[1])
    return lines


def parse(line: str) -> None:
    """Parse a command as the command line would, without running it.

    Raises:
        UsageError: an unknown command or option, or a missing argument.
    """
    words = [word for word in shlex.split(line, comments=True)[1:] if word not in ("&", "&&")]
    for stop in ("|", ">", ">>", ";", "2>"):
        if stop in words:
            words = words[: words.index(stop)]
    command = typer.main.get_command(app)
    while hasattr(command, "commands"):
        if not words or words[0].startswith("-"):  # a group that can be called by itself
            break
        if words[0] not in command.commands:
            raise UsageError(f"{line}: there is no {words[0]}")
        command, words = command.commands[words[0]], words[1:]
    if "--help" not in words:
        command.make_context(command.name, list(words))


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_every_command_on_a_page_exists(page):
    for line in commands(page.read_text(encoding="utf-8")):
        try:
            parse(line)
        except UsageError as error:
            if "does not exist" not in str(error.message):  # a file of the reader's own
                raise AssertionError(f"{page.name}: {line}: {error.message}") from error


@pytest.mark.parametrize("line", ["thorax pipeline fly", "thorax pipeline run --epochs 3", "thorax predict"])
def test_a_command_that_is_not_there_would_be_seen(line):
    with pytest.raises(UsageError):
        parse(line)


def test_make_knows_every_target_on_the_pages():
    known = set(re.findall(r"^([a-z][a-z-]*):", (ROOT / "Makefile").read_text(encoding="utf-8"), flags=re.MULTILINE))
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for block in [*re.findall(r"```bash\n(.*?)```", text, flags=re.DOTALL), *re.findall(r"`(make [^`]+)`", text)]:
            for targets in re.findall(r"^\s*make ((?:[a-z][a-z-]* ?)+)", block, flags=re.MULTILINE):
                assert set(targets.split()) <= known, f"{page.name}: make {targets}"


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_every_link_within_the_project_leads_somewhere(page):
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        if not re.match(r"[a-z]+:|#", target):
            assert (page.parent / target.split("#")[0]).exists(), f"{page.name}: {target}"


def test_the_settings_on_the_pages_are_settings():
    from thorax.settings.loading import parse as settings

    for page in PAGES:
        for block in re.findall(r"```yaml\n(.*?)```", page.read_text(encoding="utf-8"), flags=re.DOTALL):
            settings(yaml.safe_load(block), ROOT, page.name)


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    """The site, built as `make docs` builds it; a link or an anchor that leads nowhere ends that."""
    pytest.importorskip("mkdocs")
    folder = tmp_path_factory.mktemp("docs") / "site"
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=200)
    assert result.returncode == 0, result.stdout + result.stderr
    return folder


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_site_fetches_nothing_from_elsewhere(site):
    pages = sorted(site.rglob("*.html"))
    assert len(pages) >= len(list((ROOT / "docs").glob("*.md")))
    for page in pages:
        text = page.read_text(encoding="utf-8")
        fetched = re.findall(r"<(?:script|img|link|iframe)\b[^>]*?(?:src|href)=\"?(https?://[^\s\">]+)", text)
        assert not [url for url in fetched if "canonical" not in url], page


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("width", [1280, 390])
def test_no_page_is_wider_than_its_window_or_lacks_a_picture(site, width):
    if CHROMIUM is None:
        pytest.skip("Chromium is not installed")
    from playwright.sync_api import sync_playwright

    handler = functools.partial(Quiet, directory=str(site))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server, sync_playwright() as playwright:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        here = f"http://127.0.0.1:{server.server_address[1]}"
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = chromium.new_page(viewport={"width": width, "height": 900})
        wrong: list[str] = []
        page.on(
            "response", lambda answer: wrong.append(f"{answer.status}: {answer.url}") if answer.status > 399 else None
        )
        page.on("request", lambda request: wrong.append(request.url) if not request.url.startswith(here) else None)
        for name in sorted(path.stem for path in (ROOT / "docs").glob("*.md")):
            page.goto(f"{here}/" if name == "index" else f"{here}/{name}/", wait_until="load", timeout=90_000)
            if page.evaluate("document.documentElement.scrollWidth > window.innerWidth"):
                wrong.append(f"{name} is wider than {width} px")
        chromium.close()
        server.shutdown()
    assert not wrong
