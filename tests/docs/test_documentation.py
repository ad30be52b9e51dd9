"""The documentation says what is: every command on a page exists with its options, every link leads somewhere."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import typer
import yaml

from commands.main import app

ROOT = Path(__file__).resolve().parents[2]
#: Typer's own base of everything that is wrong with a command line.
UsageError = typer.BadParameter.__mro__[1]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])


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


@pytest.mark.slow
def test_the_site_builds_and_fetches_nothing_from_elsewhere(tmp_path):
    pytest.importorskip("mkdocs")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path / "site")]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=110)
    assert result.returncode == 0, result.stdout + result.stderr
    page = (tmp_path / "site" / "index.html").read_text(encoding="utf-8")
    assert "Thorax" in page
    assert not re.findall(r'(?:src|href)="https?://(?!www\.kubeflow)[^"]+\.(?:js|css|woff2?)"', page)
