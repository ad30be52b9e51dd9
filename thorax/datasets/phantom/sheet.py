"""Contact sheets: phantoms as pictures that a person judges."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from thorax.datasets.phantom.grid import stream
from thorax.datasets.phantom.render import render
from thorax.datasets.phantom.subject import FINDINGS, SCANNERS, Subject, twin
from thorax.files import atomic_path

SEVERITIES = (0.25, 0.6, 1.0)
_COLUMNS = 2 * (1 + len(SEVERITIES))
_FRAME = 255


def subjects(count: int, seed: int = 0) -> list[Subject]:
    """Return different healthy subjects: both views, both sexes, all machines, ages and habitus."""
    chosen = []
    for index in range(count):
        rng = stream(seed, f"sheet {index}")
        chosen.append(
            Subject(
                seed=int(rng.integers(2**31)),
                view="AP" if index % 5 > 2 else "PA",
                age=float(np.clip(rng.normal(50, 17), 18, 92)),
                sex="FM"[index % 2],
                size=float(np.clip(rng.normal(1.0, 0.09), 0.8, 1.25)),
                exposure=float(rng.uniform(0.8, 1.25)),
                scanner=tuple(SCANNERS)[index % len(SCANNERS)],
                marker="RL"[int(rng.integers(2))],
            )
        )
    return chosen


def contact_sheet(out: Path, size: int = 128, seed: int = 0, findings: Sequence[str] = FINDINGS) -> Path:
    """Draw eight normals, then every finding: the healthy twin, then severity by severity.

    Args:
        out: the PNG to write; or a folder, which gets `phantom-sheet.png`, and `phantom-normals.png` in double size,
            both in few greys: small, as the documentation needs them.
        size: pixels of each phantom.
        seed: which subjects.
        findings: which; none for normals alone.

    Returns:
        `out`. At severity 1 the finding's box is drawn as a frame around it.
    """
    if out.suffix.lower() != ".png":
        _lighten(contact_sheet(out / "phantom-normals.png", 2 * size, seed, ()), 32)
        _lighten(contact_sheet(out / "phantom-sheet.png", size, seed, findings), 20)
        return out
    healthy = subjects(_COLUMNS, seed)
    cells = [(render(one, size).image8, _describe(one)) for one in healthy]
    for index, finding in enumerate(findings):
        view = "AP" if index % 3 == 2 else "PA"
        subject = replace(subjects(1, seed + 1000 + index)[0], sex="MF"[index % 2], view=view, scanner="standard")
        cells += _row(subject, finding, size)

    caption = max(size // 14, 9)
    columns = _COLUMNS if findings else _COLUMNS // 2
    sheet = Image.new("L", (columns * size, -(-len(cells) // columns) * (size + caption)))
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(size=max(caption - 4, 7))
    for at, (picture, words) in enumerate(cells):
        corner = (at % columns * size, at // columns * (size + caption))
        sheet.paste(Image.fromarray(picture), corner)
        draw.text((corner[0] + 4, corner[1] + size), words, fill=255, font=font)
    with atomic_path(out) as partial:
        sheet.save(partial, format="PNG", optimize=True)
    return out


def _lighten(sheet: Path, greys: int) -> None:
    """Keep so many greys of a picture, evenly spaced: a third of the bytes, for the eye the same."""
    step = 255 / (greys - 1)
    few = Image.open(sheet).point([round(round(value / step) * step) for value in range(256)])
    with atomic_path(sheet) as partial:
        few.save(partial, format="PNG", optimize=True)


def _row(subject: Subject, finding: str, size: int) -> list[tuple[np.ndarray, str]]:
    """Return pictures and captions: the healthy twin, then the finding at each severity."""
    row = [(render(twin(subject), size).image8, f"healthy twin, {_describe(subject)}")]
    for severity in SEVERITIES:
        phantom = render(replace(subject, findings={finding: severity}), size)
        framed = severity == SEVERITIES[-1]
        picture = _framed(phantom.image8, phantom.boxes[finding]) if framed else phantom.image8
        row.append((picture, f"{finding.replace('_', ' ')} {severity:g}"))
    return row


def _describe(subject: Subject) -> str:
    return f"{subject.view}, {subject.sex}, {subject.age:.0f} years, {subject.scanner}"


def _framed(picture: np.ndarray, box: tuple[float, float, float, float]) -> np.ndarray:
    """Return the picture with a box drawn one pixel outside it."""
    size = picture.shape[0]
    image = Image.fromarray(picture)
    x, y, w, h = (value * size for value in box)
    ImageDraw.Draw(image).rectangle((x - 2, y - 2, x + w + 1, y + h + 1), outline=_FRAME)
    return np.asarray(image)
