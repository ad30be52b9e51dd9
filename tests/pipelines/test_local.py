"""Steps of the local runner: any interpreter's path, and what is said of a step that died before it could speak."""

import re
import sys
from pathlib import Path

import pytest

from pipelines.local import start_step, with_interpreter
from pipelines.run import _raise_failure
from thorax.errors import ThoraxError
from thorax.events import FILE, read_events


def test_an_interpreter_may_lie_anywhere_and_arguments_stay_as_they_are(tmp_path: Path, capfd) -> None:
    folder = tmp_path / "my folder ü $x 'q' \"d\" (a&b;c) 50% #1"
    folder.mkdir()
    (folder / "python").symlink_to(sys.executable)
    script = 'python3 -c "import sys; print(sys.argv[1])" "$@"'
    assert start_step(with_interpreter(["sh", "-ec", script, "sh", "/a/python3"], str(folder / "python")), {}) == 0
    assert capfd.readouterr().out == "/a/python3\n"


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("kill -9 $$", r"step train custom_cnn was killed \(SIGKILL\), probably because memory ran out"),
        (
            "'{python}' -c 'import nowhere'",
            r"(?s)train custom_cnn ended with exit code 1.*No module named 'nowhere'$",
        ),
        ("echo /home/me/my: not found; exit 127", r"(?s)exit code 127.*/home/me/my: not found$"),
    ],
)
def test_a_step_that_dies_before_it_can_speak_is_named_with_what_it_printed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, said: str
) -> None:
    events = tmp_path / "events.jsonl"
    events.write_text('{"step": "train", "label": "custom_cnn", "event": "begin"}\n')
    monkeypatch.setenv(FILE, str(events))
    command = ["sh", "-c", script.format(python=sys.executable), "sh", "--function_to_execute", "train"]
    assert start_step(command, {}) != 0
    with pytest.raises(ThoraxError) as caught:
        _raise_failure(read_events(events)[0], 1, tmp_path)
    assert re.search(said, caught.value.message), caught.value.message


def test_a_runner_that_dies_is_told_with_the_end_of_its_log(tmp_path: Path) -> None:
    (tmp_path / "log.txt").write_text("Traceback (most recent call last):\n  File x\nImportError: no kfp\n")
    with pytest.raises(ThoraxError, match=r"(?s)pipeline ended with exit code 1.*ImportError: no kfp"):
        _raise_failure([], 1, tmp_path)
    with pytest.raises(ThoraxError, match=r"killed .*memory ran out"):
        _raise_failure([], -9, tmp_path)
