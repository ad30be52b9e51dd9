"""The HTML of an answer: plain functions of what the service said, with nothing of Gradio in them."""

from dataclasses import dataclass
from html import escape

from serving.contract import Explanation
from thorax.findings import upper_first
from thorax.prediction import (
    Answer,
    FindingAnswer,
    ImageReport,
    ModelName,
    Novelty,
    Prediction,
    listed,
    percent,
)

_WORDS = {"present": ("✔", "Present"), "absent": ("–", "Absent"), "uncertain": ("?", "Uncertain")}
_SIGNS = {"clear": "i", "refer": "!", "strange": "×"}
_CONTROLS = (
    '<div class="tx-controls"><label>Heatmap <input type="range" class="tx-opacity" min="0" max="100" value="60" '
    'aria-label="Opacity of the heatmap, in percent"></label>'
    '<span class="tx-scale" aria-hidden="true"><i></i>low → high</span>'
    '<label><input type="checkbox" class="tx-boxes" checked> Box around the hottest region</label></div>'
    '<p class="tx-note">Warm colours mark the regions that contributed most to the probability. Each heatmap is '
    "scaled to its own peak, also for absent findings. A heatmap does not outline disease.</p>"
)
WAITING = """<div class="tx-waiting"><p><strong>No radiograph yet.</strong></p>
<p>Upload a frontal chest radiograph, or select an example.</p></div>"""


def result(answer: Explanation) -> str:
    """Return the whole answer: verdict, picture with its layers, table, summary, and facts about the image."""
    prediction = answer.prediction
    chosen = first_shown(prediction)
    return (
        f'<div class="tx-result">{verdict(prediction)}<div class="tx-columns">'
        f'<div class="tx-left">{viewer(answer, chosen)}</div>'
        f'<div class="tx-right">{_read(prediction, chosen)}</div></div>'
        f"{facts(prediction)}</div>"
    )


def first_shown(prediction: Prediction) -> str:
    """Return the finding whose heat is shown at first: the most probable of those that are not plainly absent.

    None is shown where all are absent, or the image is outside the training data: each heatmap is scaled to its own
    peak, and would suggest a finding on a normal radiograph.
    """
    candidates = [one for one in prediction.findings if one.answer != "absent"]
    if prediction.outside or not candidates:
        return ""
    return max(candidates, key=lambda one: one.probability).finding


@dataclass(frozen=True)
class Verdict:
    """What comes first on the page and on paper: its kind (clear, refer, strange), a heading, and what explains it."""

    kind: str
    head: str
    lines: tuple[str, ...]


def verdict_of(prediction: Prediction) -> Verdict:
    """Say what was answered, or why the image is referred."""
    if prediction.outside:
        kind, head, lines = "strange", "Outside the model's training data", prediction.refer_reasons
        lines = (*lines, "Refer to a radiologist.", *(("No findings are reported.",) if prediction.withheld else ()))
    elif prediction.refer:
        kind, head, lines = "refer", "Refer to a radiologist", prediction.refer_reasons
        present = _answered(prediction, "present")
        lines += (f"Present: {listed(present)}.",) if present else ()
    else:
        kind, head = "clear", headline(prediction)
        lines = ("No reason for referral. A physician must review every result.",)
    if prediction.model.synthetic:
        lines += ("The model was trained on synthetic phantoms. Its output does not apply to patients.",)
    return Verdict(kind, head, lines)


def verdict(prediction: Prediction) -> str:
    """Return what comes first, as a box."""
    told = verdict_of(prediction)
    text = "".join(f"<p>{escape(line)}</p>" for line in told.lines)
    return (
        f'<div class="tx-verdict tx-{told.kind}" role="status"><span class="tx-sign" aria-hidden="true">'
        f"{_SIGNS[told.kind]}</span><div><h2>{escape(told.head)}</h2>{text}</div></div>"
    )


def headline(prediction: Prediction) -> str:
    """Return the answers in one line: what is present or uncertain, or that all is absent."""
    groups = {"Present": _answered(prediction, "present"), "Uncertain": _answered(prediction, "uncertain")}
    said = " · ".join(f"{word}: {listed(names)}" for word, names in groups.items() if names)
    absent = _answered(prediction, "absent")
    return said or (
        f"All {len(absent)} findings absent" if len(absent) > 1 else f"{upper_first(listed(absent))} absent"
    )


def _answered(prediction: Prediction, kind: Answer) -> list[str]:
    return [one.label for one in prediction.findings if one.answer == kind]


def viewer(answer: Explanation, chosen: str) -> str:
    """Return the picture: the radiograph, a layer of heat and a box a finding, and the controls below it."""
    layers = []
    for finding in answer.prediction.findings:
        shown = "" if finding.finding == chosen else " hidden"
        name = escape(finding.finding, quote=True)
        layers.append(
            f'<img class="tx-layer" data-finding="{name}"{shown} alt="" '
            f'src="data:image/png;base64,{answer.overlays[finding.finding]}">'
        )
        if finding.box is not None:
            box = finding.box
            place = f"left:{box.x:.2%};top:{box.y:.2%};width:{box.w:.2%};height:{box.h:.2%}"
            layers.append(f'<div class="tx-box" data-finding="{name}"{shown} style="{place}"></div>')
    image = answer.prediction.image
    return (
        f'<div class="tx-picture" style="aspect-ratio:{image.width}/{image.height}">'
        f'<img class="tx-base" alt="The radiograph" src="data:image/png;base64,{answer.image or ""}">'
        f"{''.join(layers)}</div>{'' if answer.prediction.withheld else _CONTROLS}"
    )


def _read(prediction: Prediction, chosen: str) -> str:
    """Return table and summary; folded away where nobody should rely on them, and no table where it is withheld."""
    if prediction.withheld:
        return summary(prediction)
    text = table(prediction, chosen) + summary(prediction)
    if not prediction.outside:
        return text
    return (
        '<p class="tx-plain">Do not rely on these findings: the image is outside the model\'s training data.</p>'
        f'<details class="tx-anyway"><summary>Show the model\'s output</summary>{text}</details>'
    )


def table(prediction: Prediction, chosen: str) -> str:
    """Return the table of findings, most probable first; each row can show its heat on the picture."""
    rows = "".join(row(one, chosen) for one in sorted(prediction.findings, key=lambda one: -one.probability))
    nothing = "" if chosen else " checked"
    return (
        '<table class="tx-table"><caption>Calibrated probabilities. A finding is answered '
        "absent below the marked range of its bar, present above it, and uncertain within it.</caption>"
        '<thead><tr><th scope="col">Show</th><th scope="col">Finding</th><th scope="col">Probability</th>'
        '<th scope="col">Answer</th></tr></thead>'
        f"<tbody>{rows}</tbody></table>"
        '<p class="tx-none"><label><input type="radio" name="tx-finding" value="" class="tx-show"'
        f"{nothing}> Show the radiograph alone</label></p>"
    )


def row(answer: FindingAnswer, chosen: str) -> str:
    """Return one finding's row."""
    name = escape(upper_first(answer.label))
    value = escape(answer.finding, quote=True)
    sign, word = _WORDS[answer.answer]
    checked = " checked" if answer.finding == chosen else ""
    known = answer.lower is not None and answer.upper is not None
    lower, upper = (answer.lower or 0.0, answer.upper or 0.0) if known else (answer.threshold, answer.threshold)
    rule = f"absent below {percent(lower)}, present above {percent(upper)}" if known else ""
    return (
        f'<tr class="{"tx-on" if answer.answer != "absent" else ""}">'
        f'<td><input type="radio" name="tx-finding" class="tx-show" value="{value}"{checked} '
        f'aria-label="Show the heatmap of {name.lower()}"></td>'
        f'<th scope="row">{name}</th>'
        f'<td><span class="tx-figure">{escape(percent(answer.probability))}</span>'
        f'<span class="tx-bar" aria-hidden="true"><i style="width:{answer.probability:.1%}"></i>'
        f'<b style="left:{lower:.1%};width:{upper - lower:.1%}"></b></span>'
        f'<span class="tx-point">{escape(rule)}</span></td>'
        f'<td><span class="tx-{answer.answer}"><span aria-hidden="true">{sign}</span>&nbsp;{word}</span>'
        f"<small>uncertainty {uncertainty_word(answer.uncertainty)} ({answer.uncertainty:.2f})</small></td></tr>"
    )


def uncertainty_word(value: float) -> str:
    """Return an entropy of 0 to 1 as a word."""
    return "low" if value < 0.5 else "medium" if value < 0.8 else "high"


def summary(prediction: Prediction) -> str:
    """Return the paragraph in plain words."""
    return f'<h3>Summary</h3><p class="tx-summary">{escape(prediction.summary)}</p>'


def facts(prediction: Prediction) -> str:
    """Return the facts about the image and the model, in small print."""
    image = prediction.image
    checks = [f"⚠ {escape(text)}" for text in image.checks.values()] or ["No image quality issue found."]
    rows = {
        "Image": escape(about(image)),
        "Checks": " ".join(checks),
        "Appearance": likeness(prediction.novelty),
        "Model": escape(named(prediction.model)),
        "Request": f"<code>{prediction.request_id}</code>, {prediction.time:%Y-%m-%d %H:%M:%S} UTC",
    }
    if image.assumptions:
        rows["Assumptions"] = escape(" ".join(image.assumptions))
    return '<dl class="tx-facts">' + "".join(f"<dt>{key}</dt><dd>{value}</dd>" for key, value in rows.items()) + "</dl>"


def likeness(novelty: Novelty) -> str:
    """Return whether the picture lies inside the training data, and its score."""
    strange = "outside the training data" if novelty.out else "inside the training data"
    return f"{strange} (score {novelty.score:.2f}, cut-off {novelty.cutoff:.2f})"


def named(model: ModelName) -> str:
    """Return which model answered."""
    trained = ", trained on synthetic phantoms" if model.synthetic else ""
    return f"{model.name} version {model.version}, {model.architecture}{trained}"


def about(image: ImageReport) -> str:
    """Return the image's format and what was said of the patient, in one line."""
    parts = [f"{image.kind}, {image.width} × {image.height} px, {image.bits} bit"]
    parts += [f"view {image.view}"] if image.view else []
    parts += [f"age {image.age:.0f}"] if image.age is not None else []
    parts += [f"sex {image.sex}"] if image.sex else []
    return ", ".join(parts)


def refused(message: str, mend: str) -> str:
    """Return what is shown in place of an answer."""
    return (
        '<div class="tx-verdict tx-strange" role="alert"><span class="tx-sign" aria-hidden="true">×</span>'
        f"<div><h2>No answer</h2><p>{escape(message)}</p><p>{escape(mend)}</p></div></div>"
    )
