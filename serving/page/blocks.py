"""The page, as Gradio Blocks. It asks the service for everything and keeps nothing but the answer on the screen."""

import os
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

import gradio as gr

from serving.client import Client
from serving.contract import Explanation
from serving.page import markup
from serving.page.export import PLAIN, pdf
from serving.page.gallery import Example, examples
from serving.upload import SEXES, VIEWS
from thorax.errors import ThoraxError
from thorax.findings import upper_first
from thorax.prediction import listed

HERE = Path(__file__).resolve().parent
ROLES = [
    ("Radiologist", "radiologist"),
    ("Physician", "physician"),
    ("Radiographer", "radiographer"),
    ("Other", "other"),
]
EXAMPLES = 5
KEEP_SECONDS = 600
#: On a narrow screen the answer is below what was chosen.
SHOW = """() => document.querySelector('.tx-verdict')?.scrollIntoView(
    {block: matchMedia('(max-width: 760px)').matches ? 'start' : 'nearest'})"""
HEAD = f"""<div class="tx-head"><h1>Thorax</h1><p>Probability of each finding on a frontal chest radiograph, the model's
answer, and a heatmap.</p><div class="tx-plain">{PLAIN} Uploaded images are not stored.</div></div>"""


class Page:
    """The page's handlers, bound to one service."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def build(self) -> gr.Blocks:
        """Lay the page out."""
        with gr.Blocks(title="Thorax", analytics_enabled=False, delete_cache=(KEEP_SECONDS, KEEP_SECONDS)) as blocks:
            gr.HTML(HEAD)
            answer = gr.State(None)
            shown = gr.State([])
            with gr.Row():
                with gr.Column(scale=1, min_width=260):
                    # DICOM files have any suffix, or none.
                    file = gr.File(label="Radiograph", height=150)
                    with gr.Accordion("Patient details (optional)", open=False):
                        age = gr.Number(label="Age in years", value=None, minimum=0, maximum=120)
                        sex = gr.Dropdown([("Not given", ""), *((s, s) for s in SEXES)], label="Sex", value="")
                        view = gr.Dropdown([("Not given", ""), *((v, v) for v in VIEWS)], label="View", value="")
                    gr.Markdown("Examples (synthetic phantoms, not patients)", elem_id="tx-examples")
                    with gr.Column(elem_classes="tx-gallery"):
                        buttons = [gr.Button(visible=False, elem_classes="tx-example") for _ in range(EXAMPLES)]
                with gr.Column(scale=3, min_width=320):
                    result = gr.HTML(markup.WAITING, js_on_load=(HERE / "page.js").read_text(encoding="utf-8"))
                    with gr.Group(visible=False) as after:
                        there = gr.CheckboxGroup(
                            [],
                            label="Feedback: select every finding that is present; the others are recorded as absent.",
                        )
                        role = gr.Dropdown(ROLES, label="Your role", value="other")
                        with gr.Row():
                            send = gr.Button("Submit feedback", variant="primary")
                            export = gr.DownloadButton("Download as PDF")
                        thanks = gr.Markdown("", elem_id="tx-thanks")
            with gr.Accordion("About this model", open=False):
                card = gr.Markdown("")
            out = [answer, result, after, there, thanks, export]
            file.upload(self.upload, [file, age, sex, view], [file, *out], show_progress="full").then(js=SHOW)
            for number, button in enumerate(buttons):
                button.click(partial(self.choose, number), [shown], out, show_progress="full").then(js=SHOW)
            send.click(self.feedback, [answer, there, role], thanks)
            blocks.load(self.load, None, [*buttons, shown, card])
        return blocks

    def load(self) -> tuple[Any, ...]:
        """Fill the examples and the card, for the model that is served now."""
        found = examples()[:EXAMPLES]
        buttons: list[Any] = [gr.Button(one.title, icon=one.path, visible=True) for one in found]
        buttons += [gr.Button(visible=False)] * (EXAMPLES - len(found))
        try:
            report = self._client.model()
        except ThoraxError as error:
            return *buttons, found, f"{error.message} {error.mend}"
        note = f"> {report.note}\n\n" if report.note else ""
        return *buttons, found, note + report.card

    def upload(self, path: str | None, age: float | None, sex: str, view: str) -> tuple[Any, ...]:
        """Answer for an uploaded file, and delete it."""
        if path is None:
            return None, *self._nothing(markup.WAITING)
        place = Path(path)
        content = place.read_bytes()
        place.unlink(missing_ok=True)
        return None, *self._answer(content, age=age, sex=sex or None, view=view or None)

    def choose(self, number: int, shown: list[Example]) -> tuple[Any, ...]:
        """Answer for an example."""
        return self._answer(shown[number].path.read_bytes())

    def feedback(self, answer: Explanation | None, there: list[str], role: str) -> str:
        """Send what the reader sees: the findings that are ticked are there, the others are not."""
        if answer is None:
            return ""
        prediction = answer.prediction
        findings = {one.finding: one.finding in there for one in prediction.findings}
        try:
            self._client.feedback(prediction.request_id, findings, role)  # type: ignore[arg-type]
        except ThoraxError as error:
            return f"⚠ Not saved. {error.message} {error.mend}"
        said = []
        for word, is_there in (("present", True), ("absent", False)):
            if named := [one.label for one in prediction.findings if findings[one.finding] == is_there]:
                said.append(f"{word} {listed(named)}")
        return f"✔ Feedback saved: {'; '.join(said)}. Submit again to correct it."

    def _answer(self, content: bytes, **given: Any) -> tuple[Any, ...]:
        try:
            answer = self._client.explain(content, draw="layer", **given)
        except ThoraxError as error:
            return self._nothing(markup.refused(error.message, error.mend))
        choices = [(upper_first(one.label), one.finding) for one in answer.prediction.findings]
        return (
            answer,
            markup.result(answer),
            gr.Group(visible=True),
            gr.CheckboxGroup(choices=choices, value=[]),
            "",
            gr.DownloadButton(value=str(_keep_sheet(answer))),
        )

    @staticmethod
    def _nothing(html: str) -> tuple[Any, ...]:
        return (
            None,
            html,
            gr.Group(visible=False),
            gr.CheckboxGroup(choices=[], value=[]),
            "",
            gr.DownloadButton(value=None),
        )


def _keep_sheet(answer: Explanation) -> Path:
    """Write the printable sheet where the page may hand it out, and delete those that nobody fetched."""
    folder = Path(os.environ.get("GRADIO_TEMP_DIR", tempfile.gettempdir())) / "sheets"
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("*.pdf"):
        if time.time() - old.stat().st_mtime > KEEP_SECONDS:
            old.unlink(missing_ok=True)
    sheet = folder / f"thorax-{answer.prediction.request_id[:12]}.pdf"
    sheet.write_bytes(pdf(answer))
    return sheet
