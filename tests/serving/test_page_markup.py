"""What the page shows of an answer, as HTML and on paper."""

import base64
import io
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image
from prediction_factory import answer, prediction

from serving.contract import Explanation
from serving.page import markup
from serving.page.export import pdf, sheet
from thorax.prediction import Answer, Box, Novelty, Prediction, summarise

UNSURE = {"answer": "uncertain", "uncertainty": 0.99}


def explained(one: Prediction) -> Explanation:
    """Wrap a prediction with pictures of a few pixels."""
    stream = io.BytesIO()
    Image.fromarray(np.full((64, 48), 90, np.uint8)).save(stream, format="PNG")
    image = base64.b64encode(stream.getvalue()).decode()
    overlays = {finding.finding: image for finding in one.findings}
    return Explanation(prediction=one, method="cam", draw="layer", image=image, overlays=overlays)


@pytest.fixture
def one() -> Prediction:
    findings = (
        answer("Edema", 0.2, answer="absent"),
        answer("Effusion", 0.9, threshold=0.4, box=Box(x=0.1, y=0.2, w=0.3, h=0.4)),
        answer("Pleural_Thickening", 0.45, **UNSURE),
    )
    return prediction(findings=()).model_copy(
        update={"findings": findings, "refer": True, "refer_reasons": ("The model is unsure.",), "summary": "In short."}
    )


class Reader(HTMLParser):
    """Collects what a browser would see."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in ("img", "input"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def test_the_answer_is_whole_and_well_formed(one: Prediction) -> None:
    page = Reader(markup.result(explained(one)))
    assert page.open == []
    for said in (
        "Refer to a radiologist",
        "The model is unsure.",
        "90%",
        "Present",
        "Absent",
        "Uncertain",
        "In short.",
    ):
        assert said in page.text
    assert "Pleural thickening" in page.text
    assert one.request_id in page.text


def test_one_radio_a_finding_and_the_most_probable_is_shown(one: Prediction) -> None:
    page = Reader(markup.result(explained(one)))
    radios = [attrs for tag, attrs in page.tags if tag == "input" and attrs.get("type") == "radio"]
    assert [radio["value"] for radio in radios] == ["Effusion", "Pleural_Thickening", "Edema", ""]
    assert [radio["value"] for radio in radios if "checked" in radio] == ["Effusion"]
    assert all(radio.get("aria-label") or radio["value"] == "" for radio in radios)
    shown = [attrs["data-finding"] for _, attrs in page.tags if "data-finding" in attrs and "hidden" not in attrs]
    assert shown == ["Effusion", "Effusion"]  # its layer and its box


def test_where_all_is_absent_the_radiograph_is_shown_alone(one: Prediction) -> None:
    calm = one.model_copy(update={"findings": (answer("Edema", 0.2, answer="absent"),)})
    page = Reader(markup.result(explained(calm)))
    assert not [attrs for _, attrs in page.tags if "data-finding" in attrs and "hidden" not in attrs]
    assert markup.first_shown(calm) == ""


def test_a_row_shows_the_answer_and_the_cutoffs_behind_it() -> None:
    row = Reader(markup.row(answer("Edema", 0.4, answer="uncertain", lower=0.12, upper=0.48), ""))
    assert "Uncertain" in row.text
    assert "absent below 12%, present above 48%" in row.text
    assert ("b", {"style": "left:12.0%;width:36.0%"}) in row.tags


def test_a_withheld_answer_gives_its_reasons_and_no_finding(one: Prediction) -> None:
    far = one.model_copy(update={"outside_scope": {"age": "The age 7 is outside."}, "refer_reasons": ("The age 7 …",)})
    for found in (far, far.withhold()):
        page = Reader(markup.result(explained(found)))
        assert "Outside the model's training data" in page.text
        assert "The age 7 …" in page.text
        assert ("90%" in page.text) == (not found.withheld)
        assert markup.first_shown(found) == ""
        assert pdf(explained(found)).startswith(b"%PDF")
    assert far.withhold().summary.endswith("The age 7 is outside.")
    assert one.withhold() is one


def test_a_strange_image_shows_no_heat_and_says_not_to_rely_on_it(one: Prediction) -> None:
    strange = one.model_copy(update={"novelty": Novelty(score=9, cutoff=2, out=True)})
    page = Reader(markup.result(explained(strange)))
    assert "Outside the model's training data" in page.text
    assert "Do not rely on these findings" in page.text
    assert not [attrs for _, attrs in page.tags if "data-finding" in attrs and "hidden" not in attrs]


@pytest.mark.parametrize(
    ("answers", "head"),
    [
        ({"Effusion": "present", "Edema": "absent"}, "Present: effusion"),
        (
            {"Effusion": "present", "Edema": "present", "Mass": "uncertain"},
            "Present: effusion and edema · Uncertain: mass",
        ),
        ({"Effusion": "absent", "Edema": "absent"}, "All 2 findings absent"),
        ({"Pleural_Thickening": "absent"}, "Pleural thickening absent"),
    ],
)
def test_what_was_answered_comes_first(answers: dict[str, str], head: str) -> None:
    given: dict[str, tuple[float, Answer]] = {
        "present": (0.9, "present"),
        "absent": (0.1, "absent"),
        "uncertain": (0.5, "uncertain"),
    }
    findings = tuple(answer(name, given[kind][0], answer=given[kind][1]) for name, kind in answers.items())
    told = markup.verdict_of(prediction(findings=()).model_copy(update={"findings": findings}))
    assert (told.kind, told.head) == ("clear", head)
    assert "does not apply to patients" in told.lines[-1]  # the factory's model is synthetic


def test_a_referral_comes_first_and_what_is_present_after_its_reasons(one: Prediction) -> None:
    told = markup.verdict_of(one)
    assert (told.kind, told.head) == ("refer", "Refer to a radiologist")
    assert told.lines[:2] == ("The model is unsure.", "Present: effusion.")


def test_what_comes_from_outside_is_escaped(one: Prediction) -> None:
    bad = "<script>alert(1)</script>"
    hostile = one.model_copy(
        update={
            "summary": bad,
            "refer_reasons": (bad,),
            "image": one.image.model_copy(update={"view": bad, "checks": {"x": bad}}),
        }
    )
    assert "<script" not in markup.result(explained(hostile))
    assert "<script" not in markup.refused(bad, bad)


def test_the_sheet_is_one_page_of_pdf_with_heat_on_it(one: Prediction) -> None:
    page = np.asarray(sheet(explained(one))).astype(int)
    assert page.shape == (1754, 1240, 3)
    cyan = (page[:, :, 0] < 40) & (page[:, :, 1] > 200) & (page[:, :, 2] > 220)
    assert cyan.sum() > 200  # the box
    assert (page[1700:] == 255).all()  # nothing runs over the lower margin
    data = pdf(explained(one))
    assert data.startswith(b"%PDF")
    assert data.count(b"/Type /Page\n") + data.count(b"/Type /Page ") + data.count(b"/Type /Page>") <= 1


def test_fourteen_findings_and_every_reason_fit_on_one_sheet(one: Prediction) -> None:
    findings = tuple(answer(f"{name}_of_the_lung", 0.5, **UNSURE) for name in "ABCDEFGHIJKLMN")
    many = one.model_copy(
        update={
            "findings": findings,
            "refer_reasons": tuple(f"Reason {number} is a sentence of a usual length." for number in range(6)),
            "summary": summarise(findings, one.novelty, synthetic=True),
        }
    )
    page = np.asarray(sheet(explained(many)))
    written = np.flatnonzero((page < 255).any(axis=(1, 2)))
    assert 1400 < written.max() < 1754 - 90  # down to the request's number, and above the margin
    assert (page[:, 1240 - 60 :] == 255).all()
