"""`thorax log` and `thorax serve keys`, as a person and as a machine use them."""

import json
from datetime import timedelta
from pathlib import Path

import pandas as pd
import pytest
from prediction_factory import prediction
from typer.testing import CliRunner, Result

from commands.log import app, tidy
from commands.serve import _warn
from commands.serve import app as serve_app
from serving.runtime import Runtime
from serving.security.journals import AuditLog
from thorax.errors import InputError
from thorax.prediction import now
from thorax.prediction_log import PredictionLog, count, log_path, read_log
from thorax.settings import load


@pytest.fixture(autouse=True)
def log(home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A log with a prediction a day for 200 days; feedback on the first."""
    monkeypatch.setenv("THORAX_HOME", str(home))
    monkeypatch.chdir(home)
    place = log_path(load(home).var)
    writer = PredictionLog(place, ["Effusion"])
    for days in range(199, -1, -1):
        one = prediction(0.5 + days / 500, time=now() - timedelta(days=days))
        writer.write(one, "d")
        if days == 199:
            writer.write_feedback(one.request_id, {"Effusion": True}, "physician", now())
    writer.close()
    return place


def run(*words: object) -> Result:
    return CliRunner().invoke(app, [str(word) for word in words])


def test_show_prints_the_latest_and_json_for_machines() -> None:
    done = run("show", "--since", "3d", "--limit", "2")
    assert done.exit_code == 0, done.exception
    assert "Effusion 0.50" in done.stdout
    assert "2 of 3 rows" in done.stdout or "2 of 4 rows" in done.stdout
    told = json.loads(run("show", "--json", "--limit", "1").stdout)
    assert told["rows"] == 200
    assert told["latest"][0]["p_Effusion"] == 0.5
    assert "physician" in run("show", "--table", "feedback").stdout
    assert "Did you mean feedback" in str(run("show", "--table", "feedbak").exception)
    assert isinstance(run("show", "--since", "soon").exception, InputError)


@pytest.mark.parametrize("ending", ["parquet", "csv", "jsonl"])
def test_export_writes_what_is_there_and_is_audited(home: Path, ending: str) -> None:
    target = home / f"out.{ending}"
    done = run("export", "--out", target, "--json")
    assert json.loads(done.stdout) == {"out": str(target), "rows": 200}
    readers = {"parquet": pd.read_parquet, "csv": pd.read_csv, "jsonl": lambda path: pd.read_json(path, lines=True)}
    back = readers[ending](target)
    assert back["p_Effusion"].tolist() == pytest.approx(read_log(log_path(load(home).var))["p_Effusion"].tolist())
    (line,) = AuditLog(Runtime.of(load(home)).audit).read()
    assert (line["action"], line["rows"]) == ("log.export", 200)
    assert line["who"].startswith("account:")
    assert isinstance(run("export", "--out", home / "out.xlsx").exception, InputError)


def test_prune_says_first_and_does_then(home: Path, log: Path) -> None:
    would = json.loads(run("prune", "--dry-run", "--json").stdout)
    assert (would["rows"], would["dry_run"], count(log)) == (would["rows"], True, 200)
    assert 108 <= would["rows"] <= 111  # older than 90 days
    done = run("prune")
    assert done.exit_code == 0, done.exception
    assert "moved to Parquet files" in done.stdout
    assert count(log) == 200 - would["rows"]
    assert len(read_log(log)) == 200
    told = json.loads(run("show", "--json").stdout)
    assert told["rows"] == 200
    assert json.loads(run("prune", "--json").stdout)["rows"] == 0
    kept = json.loads(run("prune", "--json", "-S", "serve.log_keep_days=120").stdout)
    assert 1 <= len([name for name in kept["deleted"] if "predictions-" in name]) <= 3
    gone = json.loads(run("prune", "--before", "10d", "--discard", "--json").stdout)
    assert gone["discarded"]
    assert gone["written"] == []
    assert count(log) <= 11
    actions = [line["action"] for line in AuditLog(Runtime.of(load(home)).audit).read()]
    assert actions == ["log.prune"] * 3
    assert "log.prune" in run("audit").stdout
    assert "chain is whole" in run("audit").stdout


def test_an_audit_log_that_was_touched_is_said(home: Path) -> None:
    run("prune")
    path = Runtime.of(load(home)).audit
    path.write_text(path.read_text().replace("log.prune", "log.nothing"))
    assert isinstance(run("audit").exception, InputError)


def test_nothing_happens_where_nothing_is_to_be_kept_or_moved(home: Path, log: Path) -> None:
    assert tidy(load(home, ["serve.log_rotate_days=0"]))["rows"] == 0
    assert count(log) == 200
    assert tidy(load(home, ["paths.var=elsewhere"]))["rows"] == 0
    assert not (home / "elsewhere" / "serving" / "predictions.db").exists()


def test_keys_are_made_listed_and_revoked(home: Path) -> None:
    def keys(*words: str) -> Result:
        return CliRunner().invoke(serve_app, ["keys", *words])

    made = json.loads(keys("create", "--name", "ris", "--scope", "predict", "--days", "30", "--json").stdout)
    assert made["key"].startswith(f"thorax_{made['id']}_")
    assert made["scopes"] == ["predict"]
    assert "digest" not in made
    listed = keys("list", "--json").stdout
    assert made["key"] not in listed
    assert [key["state"] for key in json.loads(listed)] == ["valid"]
    plain = keys("create", "--name", "reader")
    assert plain.stdout.strip().startswith("thorax_")
    assert "not shown again" in plain.stderr
    assert json.loads(keys("revoke", "ris", "--json").stdout)["state"] == "revoked"
    assert "revoked" in keys("list").stdout
    assert isinstance(keys("revoke", "nobody").exception, InputError)
    assert isinstance(keys("create", "--name", "x", "--scope", "all").exception, InputError)
    lines = AuditLog(Runtime.of(load(home)).audit).read()
    assert [line["action"] for line in lines] == ["key.create", "key.create", "key.revoke"]
    assert made["key"] not in json.dumps(lines)


def test_a_service_that_others_can_reach_is_warned_of(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def said(*overrides: str) -> str:
        _warn(load(home, overrides))
        return capsys.readouterr().err

    assert said() == ""
    assert load(home, ["serve.host=0.0.0.0"]).serve.keys_required  # unless it is said otherwise
    assert "there is none yet" in said("serve.host=0.0.0.0")
    assert "unencrypted" in said("serve.host=0.0.0.0")
    assert "OPEN TO ANYONE" in said("serve.host=0.0.0.0", "serve.require_keys=false")
    assert "OPEN" not in said("serve.host=::1")
