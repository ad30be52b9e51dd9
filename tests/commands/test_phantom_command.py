"""`thorax data make-phantom` as a person types it."""

import json
import signal
import subprocess
import sys
import time

import psutil
import pytest
from PIL import Image
from typer.testing import CliRunner

from commands.data.phantom import app
from thorax.errors import InputError

ARGUMENTS = ["make-phantom", "--count", "6", "--size", "32", "--seed", "1"]


def invoke(*arguments: str):
    return CliRunner().invoke(app, [*ARGUMENTS, *arguments], catch_exceptions=False)


def test_a_dataset_is_made_and_continued(tmp_path):
    first = invoke("--out", str(tmp_path / "data"), "--findings", "chexpert-report", "--severity", "0.3", "0.9")
    assert first.exit_code == 0 and "6 phantoms made" in first.stdout
    again = invoke("--out", str(tmp_path / "data"), "--findings", "chexpert-report", "--severity", "0.3", "0.9")
    assert "0 phantoms made, 6 were there already" in again.stdout


def test_json_says_how_it_was_made(tmp_path):
    arguments = ["--shift", "noise=3", "--shift", "age=+20", "--layout", "chexpert", "--uncertain", "0.1", "--json"]
    result = invoke("--out", str(tmp_path / "data"), *arguments)
    about = json.loads(result.stdout)
    assert about["made"] == 6 and about["synthetic"] is True
    assert about["arguments"]["shift"]["noise"] == 3 and about["arguments"]["shift"]["age"] == 20


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--size", "16"], "size 16"),
        (["--findings", "Efusion"], "Did you mean Effusion"),
        (["--shift", "scanner=vendor_b"], "unknown scanner"),
        (["--severity", "0.5", "2"], "severity"),
        (["--layout", "mimic"], "layout 'mimic'"),
    ],
)
def test_bad_input_is_refused_before_anything_is_written(tmp_path, arguments, named):
    with pytest.raises(InputError) as refusal:
        invoke("--out", str(tmp_path / "data"), *arguments)
    assert named in str(refusal.value)
    assert not (tmp_path / "data").exists()


def test_what_is_not_given_comes_from_the_project_s_settings(home, tmp_path, monkeypatch):
    text = (home / "params.yaml").read_text()
    assert "count: 2400" in text
    (home / "params.yaml").write_text(text.replace("count: 2400", "count: 3"))
    monkeypatch.setenv("THORAX_HOME", str(home))
    result = CliRunner().invoke(app, ["make-phantom", "--out", str(tmp_path / "d"), "--size", "32", "--json"])
    about = json.loads(result.stdout)["arguments"]
    assert (about["count"], about["seed"], about["size"]) == (3, 41, 32)


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_an_ended_run_leaves_no_process_and_no_half_image(tmp_path, project, how):
    folder = tmp_path / "data"
    command = [sys.executable, "-m", "commands.main", "data", "make-phantom", "--out", str(folder), "--size", "64"]
    run = subprocess.Popen(
        [*command, "--count", "4000", "--workers", "2"],
        cwd=project,
        stderr=subprocess.DEVNULL,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    workers: list[psutil.Process] = []
    try:
        wait_for(lambda: len(list(folder.glob("images/*.png"))) > 5)
        workers = psutil.Process(run.pid).children()
        run.send_signal(how)
        assert run.wait(timeout=30) == (130 if how == signal.SIGINT else -signal.SIGKILL)
        assert psutil.wait_procs(workers, timeout=20)[1] == []
    finally:
        run.kill()
        for process in workers:
            if process.is_running():
                process.kill()
    for image in folder.glob("images/*.png"):
        Image.open(image).load()


def wait_for(condition) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)
