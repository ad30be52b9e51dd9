"""A hospital's table with findings of its own goes from validation to a model, reports and monitoring."""

import io
import json
import shutil
from pathlib import Path

import httpx
import numpy as np
import pandas as pd
import pydicom
import pytest
import yaml
from dicom_factory import radiograph_dicom
from own_project import SMALL, OwnProject, served
from PIL import Image

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

FINDINGS = {
    "Silo_Lung": {
        "display": "silo filler's lung",
        "synonyms": ["SFL"],
        "code": {"scheme": "99CLINIC", "value": "SILO", "meaning": "Silo filler's lung"},
        "sensitivity": 0.8,
    },
    "Copper_Lung": {"parents": ["Zebra_Sign"]},
    "Zebra_Sign": {"display": "zebra sign"},
}
#: What the phantoms show where the table says so.
DRAWN = {"Silo_Lung": "Effusion", "Copper_Lung": "Cardiomegaly", "Zebra_Sign": "Mass"}


class Clinic(OwnProject):
    """A folder of images, `mine.csv` with a column a finding, and `words.yaml`."""

    def __init__(self, folder: Path, source: Path) -> None:
        settings = SMALL | {
            "data.source": "table",
            "data.findings": list(FINDINGS),
            "data.vocabulary": "words.yaml",
            "data.table.file": "mine.csv",
            "data.table.image": "file",
            "data.table.patient": "person",
            "train.epochs": 1,
            "train.warmup_epochs": 0,
            "evaluation.max_gap": 1.0,
            "registry.gates.min_mean_auroc": 0.0,
            "registry.gates.min_auroc": 0.0,
            "registry.gates.min_sensitivity": 0.0,
            "registry.gates.conformal_slack": 0.9,
            "registry.gates.max_ece": 1.0,
            "monitor.min_rows": 20,
        }
        super().__init__(folder, source, settings)
        (folder / "words.yaml").write_text(yaml.safe_dump({"findings": FINDINGS}))
        drawn = ",".join(DRAWN.values())
        self.thorax(
            "data", "make-phantom", "--out", "raw", "--count", "130", "--size", "64", "--seed", "5", "--findings", drawn
        )
        shutil.copytree(folder / "raw" / "images", folder / "data" / "images")
        table = pd.read_csv(next((folder / "raw").glob("Data_Entry*.csv")), dtype=str)
        said = table["Finding Labels"].str.split("|")
        mine = pd.DataFrame({"file": "images/" + table["Image Index"], "person": table["Patient ID"]})
        for column, shown in (("SFL", "Effusion"), ("copper lung", "Cardiomegaly"), ("Zebra_Sign", "Mass")):
            mine[column] = [int(shown in words) for words in said]
        mine.to_csv(folder / "data" / "mine.csv", index=False)
        self.mine = mine


@pytest.fixture(scope="module")
def clinic(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Clinic:
    return Clinic(tmp_path_factory.mktemp("clinic"), Path(request.config.rootpath))


def test_a_typo_in_a_finding_of_ones_own_is_caught(clinic: Clinic) -> None:
    failed = clinic.thorax("data", "validate", "-S", "data.findings=[Silo_Lnug]", code=2)
    assert "Did you mean Silo_Lung" in failed.err


def test_findings_of_ones_own_go_from_the_table_to_the_monitoring(clinic: Clinic) -> None:
    clinic.thorax("data", "validate")
    clinic.thorax("pipeline", "run")
    manifest = pd.read_parquet(next(clinic.folder.glob("var/**/manifest.parquet")))
    below = manifest["Copper_Lung"] == 1
    assert below.any() and (manifest.loc[below, "Zebra_Sign"] == 1).all()
    calibration = json.loads(next(clinic.folder.glob("var/**/calibration.json")).read_text())
    assert calibration["info"]["sensitivities"] == {"Silo_Lung": 0.8}
    # The model says what its findings are called, wherever it is used.
    (clinic.folder / "words.yaml").unlink()
    params = yaml.safe_load((clinic.folder / "params.yaml").read_text())
    params["data"] |= {"vocabulary": [], "findings": "nih14"}
    (clinic.folder / "params.yaml").write_text(yaml.safe_dump(params))
    pixels = np.asarray(Image.open(clinic.folder / "data" / clinic.mine["file"][0]).convert("L"))
    with served(clinic) as address, httpx.Client(base_url=address, timeout=120) as client:
        for name in clinic.mine["file"][:24]:
            posted = {"file": ("a.png", (clinic.folder / "data" / name).read_bytes())}
            answer = client.post("/predict", files=posted).json()
        report = client.post(
            "/explain",
            files={"file": ("a.dcm", radiograph_dicom(pixels))},
            data={"format": "dicom-sr"},
        )
    assert {one["finding"]: one["display"] for one in answer["findings"]} == {
        "Silo_Lung": "silo filler's lung",
        "Copper_Lung": "copper lung",
        "Zebra_Sign": "zebra sign",
    }
    assert "silo filler's lung" in answer["summary"]
    assert codes_of(report.content) >= {("99CLINIC", "SILO"), ("99THORAX", "Copper_Lung"), ("99THORAX", "Zebra_Sign")}
    told = json.loads(clinic.thorax("monitor", "report", "--quick", "--json").out)
    assert "p_Silo_Lung" in json.dumps(told)


def codes_of(content: bytes) -> set[tuple[str, str]]:
    datasets = below(pydicom.dcmread(io.BytesIO(content)))
    return {(str(one.CodingSchemeDesignator), str(one.CodeValue)) for one in datasets if "CodeValue" in one}


def below(data: pydicom.Dataset) -> list[pydicom.Dataset]:
    found = [data]
    for element in data:
        if element.VR == "SQ":
            found += [item for one in element.value for item in below(one)]
    return found
