"""One printable sheet of an answer: picture, table, words, version, and what it is not. Pillow alone draws it."""

import base64
import io
import textwrap

from PIL import Image, ImageDraw, ImageFont

from serving.contract import Explanation
from serving.page.markup import about, first_shown, uncertainty_word
from thorax.prediction import FindingAnswer, label, percent

#: A4 at 150 dots an inch.
_WIDTH, _HEIGHT, _DPI, _MARGIN = 1240, 1754, 150, 90
_INK, _BLUE, _ORANGE, _GREY = (20, 20, 20), (0, 114, 178), (179, 92, 0), (110, 110, 110)
_STRENGTH = 0.6
PLAIN = "Research software. Not a medical device; it must not decide on a patient."


class _Sheet:
    """A page that is written from top to bottom."""

    def __init__(self) -> None:
        self.page = Image.new("RGB", (_WIDTH, _HEIGHT), "white")
        self.draw = ImageDraw.Draw(self.page)
        self.at = _MARGIN

    def text(self, said: str, size: int = 24, colour: tuple[int, int, int] = _INK, x: int = _MARGIN) -> None:
        """Write text, wrapped at the right margin."""
        font = ImageFont.load_default(size)
        for line in textwrap.wrap(said, max(20, int((_WIDTH - _MARGIN - x) / (size * 0.52)))):
            self.draw.text((x, self.at), line, fill=colour, font=font)
            self.at += int(size * 1.4)

    def row(self, answer: FindingAnswer) -> None:
        """Write one finding's row, with its bar."""
        font = ImageFont.load_default(24)
        cells = (
            (_MARGIN, label(answer.finding).capitalize()),
            (420, percent(answer.probability)),
            (860, answer.conformal),
            (1020, uncertainty_word(answer.uncertainty)),
        )
        for x, said in cells:
            self.draw.text((x, self.at), said, fill=_INK, font=font)
        left, right, top, bottom = 560, 830, self.at + 4, self.at + 24
        self.draw.rectangle((left, top, right, bottom), outline=_INK)
        self.draw.rectangle((left, top, left + (right - left) * answer.probability, bottom), fill=_BLUE)
        mark = left + (right - left) * answer.threshold
        self.draw.line((mark, top - 5, mark, bottom + 5), fill=_ORANGE, width=4)
        self.at += 40


def sheet(answer: Explanation) -> Image.Image:
    """Return the sheet as a picture of an A4 page."""
    prediction = answer.prediction
    page = _Sheet()
    page.text("Thorax: chest radiograph", 40)
    page.text(PLAIN, 22, _ORANGE)
    page.at += 12
    shown = first_shown(prediction)
    picture = _picture(answer, shown)
    page.page.paste(picture, (_MARGIN, page.at))
    page.at += picture.height + 10
    page.text(f"Heat: {label(shown)}." if shown else "No heat is shown.", 20, _GREY)
    page.at += 10
    for reason in prediction.refer_reasons:
        page.text(f"Refer to a reader: {reason}", 24, _ORANGE)
    page.at += 10
    for one in sorted(prediction.findings, key=lambda one: -one.probability):
        page.row(one)
    page.text("Calibrated probability, with the operating point as a mark; answer; uncertainty.", 18, _GREY)
    page.at += 10
    page.text(prediction.summary)
    page.at += 16
    model = prediction.model
    synthetic = ", trained on synthetic phantoms" if model.synthetic else ""
    for said in (
        f"Image: {about(prediction.image)}",
        f"Model: {model.name} version {model.version}, {model.architecture}{synthetic}",
        f"Request {prediction.request_id}, {prediction.time:%Y-%m-%d %H:%M:%S} UTC",
    ):
        page.text(said, 20, _GREY)
    return page.page


def pdf(answer: Explanation) -> bytes:
    """Return the sheet as the bytes of a PDF file."""
    stream = io.BytesIO()
    sheet(answer).save(stream, format="PDF", resolution=_DPI, title="Thorax", producer="Thorax")
    return stream.getvalue()


def _picture(answer: Explanation, finding: str) -> Image.Image:
    """Return the radiograph, with one finding's heat and box, at most 640 px high."""
    base = _open(answer.image or "").convert("RGB")
    scale = min(640 / base.height, (_WIDTH - 2 * _MARGIN) / base.width)
    base = base.resize((max(1, round(base.width * scale)), max(1, round(base.height * scale))))
    if not finding:
        return base
    heat = _open(answer.overlays[finding]).convert("RGBA").resize(base.size)
    heat.putalpha(heat.getchannel("A").point(lambda value: int(value * _STRENGTH)))
    base.paste(heat, (0, 0), heat)
    box = answer.prediction.of(finding).box
    if box is not None:
        corners = (box.x, box.y, box.x + box.w, box.y + box.h)
        sides = (base.width, base.height) * 2
        places = [value * side for value, side in zip(corners, sides, strict=True)]
        ImageDraw.Draw(base).rectangle(places, outline=(0, 229, 255), width=4)
    return base


def _open(text: str) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(text)), formats=("PNG",))
