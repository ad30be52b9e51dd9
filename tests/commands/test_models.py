"""`thorax models`, as a person types it."""

import json
import os
import resource
import subprocess
import sys
from collections.abc import Callable

import pytest
from typer.testing import CliRunner, Result

from commands.models import app
from thorax.errors import GateError, RegistryError
from thorax.settings import Settings


@pytest.fixture
def run(with_registry: Settings, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """Run a command in a project whose registry holds four versions."""
    monkeypatch.setenv("THORAX_HOME", str(with_registry.home))
    monkeypatch.setenv("COLUMNS", "220")

    def call(*arguments: str) -> Result:
        result = CliRunner().invoke(app, [*arguments, "-S", "evaluation.bootstrap=100"])
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    return call


def test_list_shows_every_version_the_newest_first(run: Callable[..., Result]) -> None:
    text = run("list").stdout
    assert text.index("2026") > 0
    assert "champion" in text
    assert "phantoms" in text
    tree = json.loads(run("list", "--json").stdout)
    assert [item["version"] for item in tree] == ["4", "3", "2", "1"]
    assert [item["passed"] for item in tree] == [False, True, True, True]


def test_an_empty_registry_says_how_to_fill_it(
    home: object, mlflow_template: Callable[[Settings], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    from thorax.settings import load

    settings = load(str(home))
    mlflow_template(settings)
    monkeypatch.setenv("THORAX_HOME", str(home))
    assert "thorax pipeline run" in CliRunner().invoke(app, ["list"]).stdout


def test_show_prints_gates_lineage_and_what_became_of_it(run: Callable[..., Result]) -> None:
    run("promote", "2", "--reason", "better on AP views")
    text = run("show").stdout
    for word in ("version 2", "mean_auroc", "passed", "git_commit", "better on AP views", "synthetic phantoms"):
        assert word in text
    tree = json.loads(run("show", "4", "--json").stdout)
    assert {gate["name"] for gate in tree["gates"] if not gate["passed"]} == {"mean_auroc"}


def test_promote_refuses_what_did_not_pass_and_says_why(run: Callable[..., Result]) -> None:
    with pytest.raises(GateError, match="mean_auroc"):
        run("promote", "challenger")
    assert "Version 4 is champion" in run("promote", "4", "--force", "--reason", "an emergency").stdout
    assert "forced past mean_auroc" in run("history").stdout


def test_promote_rollback_reject_and_history(run: Callable[..., Result]) -> None:
    assert "Version 2 is champion, in place of version 1" in run("promote", "2").stdout
    assert "Nothing to do" in run("promote", "2").stdout
    assert json.loads(run("rollback", "--json", "--reason", "worse").stdout)["version"] == "1"
    assert "Version 3 is rejected" in run("reject", "3", "--reason", "looks at the ribs").stdout
    actions = [entry["action"] for entry in json.loads(run("history", "--json").stdout)]
    assert actions[-3:] == ["promote", "rollback", "reject"]


def test_show_prints_the_whole_chain_down_to_machine_and_packages(
    run: Callable[..., Result], with_registry: Settings
) -> None:
    """What the pipeline records as one tag is taken apart, a row each."""
    from thorax.provenance import hardware, versions
    from thorax.registry.tracking import client

    facts = {"data_revision": "a" * 32 + ".dir", "git_clean": "false", "split_digest": "s" * 64}
    facts |= {"hardware": json.dumps(hardware()), "versions": json.dumps(versions())}
    for key, value in facts.items():
        client(with_registry).set_model_version_tag("thorax", "2", f"thorax.lineage.{key}", value)
    text = run("show", "2").stdout
    for words in ("data_revision", "a" * 32 + ".dir", "git_clean", "hardware: processor", "versions: mlflow"):
        assert words in text
    assert text.index("data_revision") < text.index("git_commit") < text.index("hardware: processor")


def test_words_in_brackets_are_words(run: Callable[..., Result]) -> None:
    run("reject", "3", "--reason", "[red]ribs[/red] [see note]")
    assert "[red]ribs[/red] [see note]" in run("history").stdout


def test_approval_by_another_user(run: Callable[..., Result], monkeypatch: pytest.MonkeyPatch) -> None:
    asked = ("-S", "registry.require_approval=true")
    monkeypatch.setenv("THORAX_USER", "ann")
    with pytest.raises(GateError, match="second person"):
        run("promote", "2", *asked)
    monkeypatch.setenv("THORAX_USER", "bob")
    assert "Version 2 is approved" in run("approve", "2", "--reason", "looked at fifty cases", *asked).stdout
    monkeypatch.setenv("THORAX_USER", "ann")
    assert "Version 2 is champion" in run("promote", "2", *asked).stdout
    assert "Approved by bob" in run("show", "2").stdout
    assert "version 2 approved" in run("history").stdout


def test_compare_writes_a_page(run: Callable[..., Result], tmp_path: object) -> None:
    page = f"{tmp_path}/page.html"
    tree = json.loads(run("compare", "2", "1", "--html", page, "--json").stdout)
    assert tree["page"] == page
    assert tree["metrics"]["mean"]["auroc"]["difference"]["value"] == 0


def test_webhooks_need_a_server_and_say_so(run: Callable[..., Result], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("THORAX_WEBHOOK_SECRET", "a secret of some length")
    with pytest.raises(RegistryError, match="sends no webhooks"):
        run("webhook", "add", "https://reader.example.org/webhook")
    with pytest.raises(RegistryError, match="sends no webhooks"):
        run("webhook", "list")


def test_an_alias_that_points_nowhere_is_named(run: Callable[..., Result], with_registry: Settings) -> None:
    """MLflow takes a deleted version's aliases away; a database that was edited by hand may keep one."""
    import sqlite3
    from contextlib import closing

    with closing(sqlite3.connect(with_registry.var / "mlflow.db")) as database, database:
        database.execute("UPDATE registered_model_aliases SET version = 9 WHERE alias = 'champion'")
    with pytest.raises(RegistryError, match="'champion' points to version 9, which is gone"):
        run("show")
    with pytest.raises(RegistryError, match="problem"):
        run("audit", "--quick")
    assert "Version 2 is champion" in run("promote", "2").stdout, "and one can go on from there"


def test_compare_diff_and_card(run: Callable[..., Result]) -> None:
    tree = json.loads(run("compare", "2", "1", "--json").stdout)
    assert tree["mean"]["value"] == 0
    assert tree["images"] == 64
    assert "neither has learnt from" in run("compare", "2", "1").stdout
    assert json.loads(run("diff", "2", "1", "--json").stdout)["lineage.params_digest"] == ["p2", "p1"]
    assert len(run("card").stdout) > 100
    assert json.loads(run("card", "--json").stdout)["card"].startswith("#")


def test_audit_prints_what_it_finds_and_fails(run: Callable[..., Result], with_registry: Settings) -> None:
    assert "agree" in run("audit").stdout
    (with_registry.var / "registry-history.jsonl").write_text("{}\n")
    with pytest.raises(RegistryError, match="1 problem"):
        run("audit", "--quick")
    run("audit", "--accept", "--reason", "the disk failed", "--quick")


def processor_seconds(*command: str, **environment: str) -> float:
    """Run a command and return the processor time that it took."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    known = {"PATH": os.environ["PATH"], "OMP_NUM_THREADS": "1", "MLFLOW_DISABLE_TELEMETRY": "true"}
    subprocess.run([sys.executable, *command], check=True, env=known | environment, timeout=60, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


@pytest.mark.slow
def test_promotion_and_rollback_take_at_most_four_seconds(with_registry: Settings) -> None:
    """Start of the process included, in processor time.

    On a busy machine each second of it counts for more: the import of MLflow, 1.6 seconds on a quiet one, is the
    yardstick.
    """
    slowness = max(1.0, processor_seconds("-c", "import mlflow") / 1.6)
    for arguments in (["promote", "2"], ["rollback"]):
        command = ("-m", "commands.main", "models", *arguments)
        # Twice, because a loaded machine is not evenly slow; the bench holds the bound itself.
        assert processor_seconds(*command, THORAX_HOME=str(with_registry.home)) <= 2 * 4.0 * slowness
