"""The shipped definitions of findings, a user's own over them, and what is refused."""

from pathlib import Path

import pytest

from thorax.errors import ThoraxError
from thorax.findings import SHIPPED, Definitions, Finding
from thorax.settings.loading import parse

OWN = {
    "Silo_Lung": {
        "display": "silo filler's lung",
        "synonyms": ["Silofüllerlunge"],
        "code": {"scheme": "SCT", "value": 23315001, "meaning": "Silo filler's disease"},
        "parents": ["Lung_Opacity"],
        "sensitivity": 0.95,
    },
    "Copper_Lung": {"excludes": ["Zebra_Sign"]},
    "Zebra_Sign": {"kind": "artefact"},
}


def own(**findings: dict) -> Definitions:
    return Definitions.model_validate({"findings": findings})


@pytest.mark.parametrize(
    ("name", "count"),
    [("nih14", 14), ("chexpert13", 13), ("chexpert14", 14), ("mimic", 14), ("vindr28", 28), ("padchest", 44)],
)
def test_a_named_set_holds_defined_findings(name: str, count: int) -> None:
    chosen = SHIPPED.resolve(name)
    assert len(chosen) == len(set(chosen)) == count
    assert all(finding in SHIPPED for finding in chosen)


@pytest.mark.parametrize(
    ("published", "finding"),
    [
        ("Pleural Effusion", "Effusion"),
        ("Infiltrate", "Infiltration"),
        ("No finding", "No_Finding"),
        ("Nodule/Mass", "Nodule_Mass"),
        ("ILD", "Interstitial_Lung_Disease"),
        ("Enlarged PA", "Enlarged_Pulmonary_Artery"),
        ("Pulmonary fibrosis", "Fibrosis"),
        ("Other diseases", "Other_Disease"),
        ("COVID-19", "COVID_19"),
        ("NSG tube", "Nasogastric_Tube"),
        ("heart insufficiency", "Heart_Failure"),
        ("Support Devices", "Support_Devices"),
    ],
)
def test_a_published_spelling_means_a_finding(published: str, finding: str) -> None:
    assert SHIPPED.canonical(published) == finding


def test_own_definitions_lie_over_the_shipped_ones_key_by_key() -> None:
    words = SHIPPED.merged(own(**OWN, Effusion={"sensitivity": 0.8}))
    assert words.canonical("silofüllerlunge") == "Silo_Lung"
    assert words.display("Silo_Lung") == "silo filler's lung"
    assert words.code("Silo_Lung").value == "23315001"
    assert words.code("Copper_Lung").scheme == "99THORAX"
    assert words.sensitivity("Effusion") == 0.8
    assert words.code("Effusion") == SHIPPED.code("Effusion")
    assert words.exclude("Zebra_Sign", "Copper_Lung")
    assert words.exclude("No_Finding", "Silo_Lung")
    assert not words.exclude("No_Finding", "Zebra_Sign")
    assert not words.exclude("No_Finding", "Pacemaker")
    assert words.ancestors("Callus_Rib_Fracture") == ("Rib_Fracture", "Fracture")
    assert "Silo_Lung" in words.descendants("Lung_Opacity")
    assert "Silo_Lung" not in SHIPPED


def test_what_a_model_keeps_of_a_vocabulary_makes_it_again() -> None:
    words = SHIPPED.merged(own(**OWN))
    kept = words.definitions(["Silo_Lung", "Copper_Lung"])
    assert {one.name for one in kept.findings} == {"Silo_Lung", "Lung_Opacity", "Copper_Lung", "Zebra_Sign"}
    again = SHIPPED.merged(Definitions.model_validate_json(kept.model_dump_json()))
    assert [again[name] for name in OWN] == [words[name] for name in OWN]


@pytest.mark.parametrize(
    ("findings", "says"),
    [
        ({"A": {"parents": ["Lung_Opacitty"]}}, "A.parents names 'Lung_Opacitty', which is not defined"),
        ({"A": {"parents": ["B"]}, "B": {"parents": ["A"]}}, "A is its own parent"),
        ({"A": {"synonyms": ["x y"]}, "B": {"synonyms": ["X_Y"]}}, "means both A and B"),
        ({"A": {"synonyms": ["effusion"]}}, "A takes the name of the finding Effusion"),
    ],
)
def test_definitions_that_contradict_are_refused(findings: dict, says: str) -> None:
    with pytest.raises(ThoraxError, match="(?s)" + says.replace(".", r"\.")):
        SHIPPED.merged(own(**findings))


def test_codes_of_long_names_stay_apart() -> None:
    values = {SHIPPED.code(name).value for name in SHIPPED}
    assert len(values) == len(list(SHIPPED))
    assert SHIPPED.code("COVID_19").meaning == "COVID-19"


def test_settings_take_findings_of_ones_own_from_a_file_and_keep_them(tmp_path: Path) -> None:
    (tmp_path / "words.yaml").write_text(
        "findings:\n  Silo_Lung: {synonyms: [SFL]}\n  Copper_Lung:\nsets:\n  farm: [Silo_Lung, Tuberculosis]\n"
    )
    settings = parse({"data": {"vocabulary": "words.yaml", "findings": "farm", "uncertain": {"SFL": "ones"}}}, tmp_path)
    assert settings.data.findings == ("Silo_Lung", "Tuberculosis")
    assert settings.data.uncertain.of("Silo_Lung") == "ones"
    again = parse(settings.model_dump(mode="json"), tmp_path / "elsewhere")
    assert again.data.words["Silo_Lung"] == Finding(name="Silo_Lung", synonyms=("SFL",))


@pytest.mark.parametrize(
    ("data", "says"),
    [
        ({"vocabulary": [{"name": "Silo_Lung"}], "findings": ["Silo_Lnug"]}, "Did you mean Silo_Lung"),
        ({"findings": ["Silo_Lung"]}, "Define a finding of your own under data.vocabulary"),
        ({"vocabulary": [{"name": "Silo_Lung", "parnts": []}]}, "parnts: unknown key. Did you mean parents"),
        ({"vocabulary": {"findings": {"silo": {}}}}, "data.vocabulary.findings.0.name"),
        ({"vocabulary": "missing.yaml"}, "missing.yaml does not exist"),
        ({"vocabulary": "bad.yaml"}, "Silo_Lung.kind"),
        ({"uncertain": {"Efusion": "ones"}}, "Did you mean Effusion"),
    ],
)
def test_what_settings_hold_wrongly_is_named(tmp_path: Path, data: dict, says: str) -> None:
    (tmp_path / "bad.yaml").write_text("- {name: Silo_Lung, kind: devise}\n")
    with pytest.raises(ThoraxError) as caught:
        parse({"data": data}, tmp_path)
    assert says in f"{caught.value.message} {caught.value.mend}"
