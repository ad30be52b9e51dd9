"""What a person gets from a validation: a verdict, a page, every failing row; and no error that passes for success."""

import json
import re
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from thorax.datasets.ingest import ingest
from thorax.errors import InputError, SettingsError
from thorax.manifest import BOX_COLUMNS, COLUMNS, read_manifest, write_boxes, write_manifest
from thorax.preprocessing import splits
from thorax.preprocessing.prepare import prepare
from thorax.settings import CRITICAL, Data, Preprocess, Split, Validation
from thorax.validation import engine, likeness, suite, validate
from thorax.validation.engine import Expectation

pytestmark = pytest.mark.slow


def table(rows: int, findings: tuple[str, ...]) -> pd.DataFrame:
    """A manifest without files."""
    rng = np.random.default_rng(0)
    names = [f"{number:07}.png" for number in range(rows)]
    frame = pd.DataFrame({"image_id": names, "path": [f"images/{name}" for name in names]})
    frame["patient_id"] = (np.arange(rows) // 3).astype(str)
    frame["study_id"], frame["source"], frame["official_split"], frame["sha256"] = "", "nih", "", ""
    frame["view"], frame["sex"] = rng.choice(["PA", "AP"], rows), np.where(np.arange(rows) // 3 % 2, "F", "M")
    frame["age"] = (np.arange(rows) // 3 % 80 + 10).astype(float)
    frame["width"], frame["height"] = 1024, 1024
    for finding in findings:
        frame[finding] = (rng.random(rows) < 0.1).astype(float)
    return frame[[*COLUMNS, *findings]]


def write(manifest: pd.DataFrame, folder: Path) -> None:
    write_manifest(manifest, folder / "manifest.parquet")
    write_boxes(pd.DataFrame(columns=list(BOX_COLUMNS)), folder / "boxes.parquet")


def test_a_good_dataset_passes_and_leaves_a_page_that_needs_no_network(
    good_dataset: Path, data: Data, bounds: Validation, tmp_path: Path
) -> None:
    ingest(data, good_dataset, tmp_path / "ingested")
    manifest = read_manifest(tmp_path / "ingested" / "manifest.parquet")
    assigned = splits.assign(manifest, data.classes, Split())
    seen: list[int] = []
    how = Preprocess(size=32, workers=1)
    told = prepare(manifest, good_dataset, how, [tmp_path / "shards"], advance=seen.append).facts
    result = validate(tmp_path / "ingested", data, bounds, tmp_path / "out", assigned, told)
    assert result.success
    assert result.critical == result.warnings == []
    assert result.failures.empty
    assert sum(seen) == len(manifest)
    page = (tmp_path / "out" / "report.html").read_text()
    assert "passed" in page
    assert "Synthetic." not in page
    assert not re.search(r"(?:src|href)\s*=\s*[\"']?(?:https?:)?//|@import|url\(\s*[\"']?http", page)
    for outcome in result.outcomes:
        assert outcome.name in page
    stored = json.loads((tmp_path / "out" / "result.json").read_text())
    assert stored["success"] is True
    assert stored["statistics"]["images"] == len(manifest)
    assert len(pd.read_parquet(tmp_path / "out" / "scan.parquet")) == len(manifest)
    note = tmp_path / "ingested" / "dataset.json"
    note.write_text(json.dumps(json.loads(note.read_text()) | {"synthetic": True}))
    assert validate(tmp_path / "ingested", data, bounds, tmp_path / "marked", assigned).statistics["synthetic"] is True
    assert "Synthetic." in (tmp_path / "marked" / "report.html").read_text()


def test_every_failing_row_is_kept_and_not_the_first_twenty(tmp_path: Path, bounds: Validation) -> None:
    manifest = table(900, ("Edema",))
    manifest.loc[::9, "view"] = "SIDEWAYS"
    manifest.loc[5, "age"] = -1
    write(manifest, tmp_path)
    result = validate(tmp_path, Data(source="nih", findings=("Edema",)), bounds, tmp_path / "o")
    assert not result.success
    assert [outcome.name for outcome in result.critical] == ["views_known"]
    assert [outcome.name for outcome in result.warnings] == ["ages_in_range"]
    rows = pd.read_parquet(tmp_path / "o" / "failures.parquet")
    assert rows.loc[rows["expectation"] == "views_known", "key"].tolist() == manifest["image_id"][::9].tolist()
    assert set(rows.loc[rows["expectation"] == "views_known", "value"]) == {"SIDEWAYS"}
    assert rows.loc[rows["expectation"] == "ages_in_range", ["key", "value"]].to_numpy().tolist() == [
        ["0000005.png", "-1"]
    ]
    assert "SIDEWAYS" in (tmp_path / "o" / "report.html").read_text()


def test_text_from_the_data_cannot_become_a_script_on_the_page(tmp_path: Path, bounds: Validation) -> None:
    manifest = table(300, ("Edema",))
    manifest.loc[0, "view"] = "<script>alert(1)</script>"
    write(manifest, tmp_path)
    validate(tmp_path, Data(source="nih", findings=("Edema",)), bounds, tmp_path / "o")
    page = (tmp_path / "o" / "report.html").read_text()
    assert "<script>" not in page
    assert "&lt;script&gt;" in page


def test_an_error_inside_an_expectation_is_a_failure() -> None:
    frame = pd.DataFrame({"key": ["a"], "value": ["word"]})
    broken = Expectation(
        "broken", "thing", "ExpectColumnValuesToBeBetween", "It is a number.", "value", {"min_value": 1}
    )
    outcomes, failures = engine.evaluate({"thing": frame}, {"thing": "key"}, [broken], {"broken": "critical"})
    assert not outcomes[0].success
    assert outcomes[0].error
    assert "could not be evaluated" in outcomes[0].observed
    assert failures.empty


def test_severity_is_what_the_settings_say(tmp_path: Path, bounds: Validation) -> None:
    manifest = table(300, ("Edema",))
    manifest.loc[0, "view"] = "SIDEWAYS"
    write(manifest, tmp_path)
    data = Data(source="nih", findings=("Edema",))
    lenient = bounds.model_copy(update={"warn_only": ("views_known",)})
    result = validate(tmp_path, data, lenient, tmp_path / "o")
    assert result.success
    assert [outcome.name for outcome in result.warnings] == ["views_known"]
    with pytest.raises(SettingsError, match=r"warn_only.*views_knwon.*Did you mean views_known"):
        suite.severities(suite.expectations(data, bounds), bounds.model_copy(update={"warn_only": ("views_knwon",)}))


def test_everything_critical_by_default_exists(data: Data, bounds: Validation) -> None:
    names = [expectation.name for expectation in suite.expectations(data, bounds)]
    assert len(names) == len(set(names)) >= 50
    assert set(CRITICAL) <= set(names)


def test_prevalence_is_compared_with_the_reference_revision(tmp_path: Path, bounds: Validation) -> None:
    before, now = table(900, ("Edema", "Mass")), table(900, ("Edema", "Mass"))
    now["Mass"] = (np.arange(900) % 2).astype(float)
    (tmp_path / "before").mkdir()
    write(before, tmp_path / "before")
    write(now, tmp_path)
    compared = bounds.model_copy(update={"reference": tmp_path / "before" / "manifest.parquet"})
    data = Data(source="nih", findings=("Edema", "Mass"))
    result = validate(tmp_path, data, compared, tmp_path / "o")
    assert result.failures["key"].tolist() == ["Mass"]
    assert result.warnings[0].name == "prevalence_as_before"


def test_a_manifest_that_is_not_there_is_an_error_that_says_so(tmp_path: Path, data: Data, bounds: Validation) -> None:
    with pytest.raises(InputError, match="does not exist"):
        validate(tmp_path, data, bounds, tmp_path / "o")
    (tmp_path / "manifest.parquet").write_bytes(b"PAR1 and no more")
    with pytest.raises(InputError, match="cannot be read"):
        validate(tmp_path, data, bounds, tmp_path / "o")


def test_where_all_pictures_resemble_one_another_the_radius_shrinks() -> None:
    rng = np.random.default_rng(0)
    patients = np.arange(400)
    various = rng.integers(0, 256, (400, 32), dtype=np.uint8)
    assert likeness.chance_radius(various, patients) > 60
    one = rng.integers(0, 2, 256)
    alike = np.packbits([one ^ (rng.random(256) < 0.05) for _ in range(400)], axis=1)
    assert likeness.chance_radius(alike, patients) < 8


@pytest.mark.real_data
def test_the_published_table_takes_seconds(real_data: Path, tmp_path: Path, bounds: Validation) -> None:
    import great_expectations  # noqa: F401 - its import is not what is measured

    raw = pd.read_csv(real_data / "labels" / "Data_Entry_2017_v2020.csv.gz")
    labels = raw["Finding Labels"].str.get_dummies("|").rename(columns={"No Finding": "No_Finding"}).astype("float32")
    manifest = table(len(raw), ()).assign(
        image_id=raw["Image Index"],
        path="images/" + raw["Image Index"],
        patient_id=raw["Patient ID"].astype(str),
        view=raw["View Position"],
        sex=raw["Patient Gender"],
        age=raw["Patient Age"],
    )
    data = Data(source="nih", findings="nih14")
    manifest = manifest.join(labels)
    assigned = splits.assign(manifest, data.classes, Split())
    seconds = []
    for folder, frame in (("one", manifest), ("two", pd.concat([manifest, _renamed(manifest)], ignore_index=True))):
        (tmp_path / folder).mkdir()
        write(frame, tmp_path / folder)
        where = pd.concat([assigned, assigned.rename(index=lambda name: f"again {name}")])
        began = time.process_time()
        result = validate(tmp_path / folder, data, bounds, tmp_path / "o", where)
        seconds.append(time.process_time() - began)
        assert result.success
        assert result.warnings == []
    assert seconds[0] < 5
    assert seconds[1] < 2.2 * seconds[0] + 0.5


def _renamed(manifest: pd.DataFrame) -> pd.DataFrame:
    again = {name: "again " + manifest[name] for name in ("image_id", "path", "patient_id")}
    return manifest.assign(**again)
