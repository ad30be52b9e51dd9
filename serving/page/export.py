"""One printable sheet of an answer: what was answered, the picture with and without heat, a table, and what it is not.

Pillow draws it, with the DejaVu fonts that come with Matplotlib: they hold every sign that is written here.
"""

import base64
import io
from functools import cache
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from serving.contract import Explanation
from serving.page.markup import about, first_shown, likeness, named, uncertainty_word, verdict_of
from thorax.findings import upper_first
from thorax.prediction import FindingAnswer, percent

#: A4 at 150 dots an inch.
_WIDTH, _HEIGHT, _DPI, _MARGIN = 1240, 1754, 150, 90
_INK, _BLUE, _ORANGE, _GREY = (20, 20, 20), (0, 114, 178), (179, 92, 0), (95, 95, 95)
_STRENGTH = 0.6
#: Where the table's columns begin, and where a bar ends.
_COLUMNS, _BAR_END = (_MARGIN, 395, 520, 745, 905, 1060), 715
#: Heights of the pictures that are tried until the whole answer is on one sheet.
_HEIGHTS = (520, 440, 360, 280, 200)
PLAIN = "Research software. Not a medical device. Not for diagnosis or treatment decisions."


class _Sheet:
    """A page that is written from top to bottom."""

    def __init__(self) -> None:
        self.page = Image.new("RGB", (_WIDTH, _HEIGHT), "white")
        self.draw = ImageDraw.Draw(self.page)
        self.at = _MARGIN

    def text(self, said: str, size: int = 20, colour: tuple[int, int, int] = _INK, *, bold: bool = False) -> None:
        """Write text, wrapped at the right margin."""
        font = _font(size, bold)
        line = ""
        for word in [*said.split(), ""]:
            longer = f"{line} {word}".strip()
            if word and font.getlength(longer) <= _WIDTH - 2 * _MARGIN:
                line = longer
                continue
            self.draw.text((_MARGIN, self.at), line, fill=colour, font=font)
            self.at += int(size * 1.45)
            line = word

    def cells(self, words: tuple[str, ...], size: int, colour: tuple[int, int, int] = _INK) -> None:
        """Write one row of the table, without its bar."""
        for x, said in zip(_COLUMNS, words, strict=True):
            self.draw.text((x, self.at), said, fill=colour, font=_font(size, bold=False))

    def row(self, answer: FindingAnswer, tall: int) -> None:
        """Write one finding's row, with its bar."""
        size = min(20, tall - 8)
        words = (
            upper_first(answer.label),
            percent(answer.probability),
            "",
            "" if answer.lower is None or answer.upper is None else f"{answer.lower:.0%}–{answer.upper:.0%}",
            answer.answer.capitalize(),
            uncertainty_word(answer.uncertainty),
        )
        self.cells(words, size)
        left, right, top, bottom = _COLUMNS[2], _BAR_END, self.at + 3, self.at + size + 2
        self.draw.rectangle((left, top, right, bottom), outline=_INK)
        self.draw.rectangle((left, top, left + (right - left) * answer.probability, bottom), fill=_BLUE)
        for cutoff in (one for one in (answer.lower, answer.upper) if one is not None):
            mark = left + (right - left) * cutoff
            self.draw.line((mark, top - 4, mark, bottom + 4), fill=_ORANGE, width=4)
        self.at += tall


def sheet(answer: Explanation) -> Image.Image:
    """Return the sheet as a picture of an A4 page."""
    for height in _HEIGHTS:
        page = _written(answer, height)
        if page.at <= _HEIGHT - _MARGIN:
            break
    return page.page


def pdf(answer: Explanation) -> bytes:
    """Return the sheet as the bytes of a PDF file."""
    stream = io.BytesIO()
    sheet(answer).save(stream, format="PDF", resolution=_DPI, title="Thorax", producer="Thorax")
    return stream.getvalue()


def _written(answer: Explanation, height: int) -> _Sheet:
    """Write everything, with pictures of at most this height in pixels."""
    prediction = answer.prediction
    page = _Sheet()
    page.text("Thorax: model output for a chest radiograph", 32, bold=True)
    page.text(PLAIN, 20, _ORANGE, bold=True)
    page.at += 16
    told = verdict_of(prediction)
    page.text(told.head, 26, _INK if told.kind == "clear" else _ORANGE, bold=True)
    for said in told.lines:
        page.text(said)
    page.at += 14
    _pictures(page, answer, height)
    findings = sorted(prediction.findings, key=lambda one: -one.probability)
    if prediction.outside and findings:
        page.text(
            "Do not rely on these findings: the image is outside the model's training data.", 20, _ORANGE, bold=True
        )
        page.at += 6
    if findings:
        page.cells(("Finding", "Probability", "", "Cut-offs", "Answer", "Uncertainty"), 16, _GREY)
        page.at += 32
        for one in findings:
            page.row(one, 36 if len(findings) <= 8 else 28)
        page.text(
            "Calibrated probabilities. Absent below the first cut-off, present above the second, uncertain between.",
            16,
            _GREY,
        )
    page.at += 10
    page.text(prediction.summary)
    page.at += 14
    for said in (
        f"Image: {about(prediction.image)}; appearance: {likeness(prediction.novelty)}",
        f"Model: {named(prediction.model)}",
        f"Request {prediction.request_id}, {prediction.time:%Y-%m-%d %H:%M:%S} UTC",
    ):
        page.text(said, 16, _GREY)
    return page


def _pictures(page: _Sheet, answer: Explanation, height: int) -> None:
    """Put the radiograph as it was read, and beside it the one with the heat of the finding that is shown first."""
    shown = first_shown(answer.prediction)
    base = _open(answer.image or "").convert("RGB")
    gap = 20
    scale = min(height / base.height, ((_WIDTH - gap) / 2 - _MARGIN) / base.width)
    base = base.resize((max(1, round(base.width * scale)), max(1, round(base.height * scale))))
    pictures = [(base, "Radiograph")]
    if shown:
        box = answer.prediction.of(shown).box
        said = f"Heatmap of {answer.prediction.of(shown).label}" + ("; box: its hottest region" if box else "")
        pictures.append((_heated(base, answer, shown), said))
    for number, (picture, said) in enumerate(pictures):
        x = _MARGIN + number * (max(base.width, 420) + gap)
        page.page.paste(picture, (x, page.at))
        page.draw.text((x, page.at + base.height + 6), said, fill=_GREY, font=_font(16, bold=False))
    page.at += base.height + 46


def _heated(base: Image.Image, answer: Explanation, finding: str) -> Image.Image:
    """Return the radiograph with one finding's heat and box on it."""
    picture = base.copy()
    heat = _open(answer.overlays[finding]).convert("RGBA").resize(base.size)
    heat.putalpha(heat.getchannel("A").point(lambda value: int(value * _STRENGTH)))
    picture.paste(heat, (0, 0), heat)
    box = answer.prediction.of(finding).box
    if box is not None:
        corners = (box.x, box.y, box.x + box.w, box.y + box.h)
        sides = (base.width, base.height) * 2
        places = [value * side for value, side in zip(corners, sides, strict=True)]
        ImageDraw.Draw(picture).rectangle(places, outline=(0, 229, 255), width=4)
    return picture


@cache
def _font(size: int, bold: bool) -> ImageFont.FreeTypeFont:
    import matplotlib

    name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
    return ImageFont.truetype(Path(matplotlib.get_data_path(), "fonts", "ttf", name), size)


def _open(text: str) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(text)), formats=("PNG",))
