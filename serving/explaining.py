"""Answers with pictures: as JSON, as parts of one message, or as DICOM objects."""

import base64
import secrets
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Literal

from starlette.responses import Response

from serving.call import current
from serving.contract import Explanation
from serving.upload import Format, Method
from thorax.errors import InputError
from thorax.explain.occlusion import CELLS, occlusion_maps
from thorax.prediction import Prediction

if TYPE_CHECKING:
    from serving.scoring import Scored
    from thorax.reporting import Source

_IMAGE = "image"


def source(format: Format, file: bytes, findings: Sequence[str]) -> "Source | None":
    """Return the header that a DICOM object needs, and refuse what cannot be drawn up, before it is scored.

    Raises:
        InputError: a report on what is no DICOM image, or one picture of several findings.
        ImageError: the header does not say which study and image it is.
    """
    if format not in ("dicom-sc", "dicom-sr"):
        return None
    from thorax.imaging.archive import is_archive
    from thorax.imaging.reading import sniff
    from thorax.reporting import source_of

    if is_archive(file):
        raise InputError("A DICOM object refers to one DICOM file, and this is an archive.", "Send the file itself.")
    if sniff(file) == "DICOM":
        found = source_of(file)
    elif format == "dicom-sr":
        raise InputError(
            "A structured report refers to a DICOM image, and this is none.",
            "Send the DICOM file, or ask for dicom-sc.",
        )
    else:
        found = None
    if format == "dicom-sc" and len(findings) > 1:
        raise InputError("A Secondary Capture shows one finding.", "Name one in `findings`, or none for the first.")
    return found


def charge(method: Method, format: Format) -> None:
    """Count what a method costs against the caller's rate, and refuse what it cannot be drawn as, before it is scored.

    Raises:
        InputError: a DICOM object of another map than the one its text describes.
        RateError: the caller asked too often.
    """
    if method == "cam":
        return
    if format in ("dicom-sc", "dicom-sr"):
        raise InputError("A DICOM object shows the class activation map.", "Ask for method cam, or for json.")
    current.get().charge(CELLS**2)


def occluded(scored: "Scored") -> "Scored":
    """Return what was scored with occlusion maps in place of the class activation maps; boxes stay the answer's own."""
    bundle = scored.bundle
    inputs = bundle.inputs([scored.radiograph])[0]
    maps = occlusion_maps(lambda images: bundle.run(images)[0], inputs)
    return replace(scored, prediction=scored.prediction.model_copy(update={"maps": maps}))


def draw(scored: "Scored", findings: Sequence[str], how: Literal["overlay", "layer"], side: int) -> dict[str, bytes]:
    """Return PNG files by finding; with layers comes the radiograph that they lie on, as `image`."""
    from thorax.bundle import drawing

    if scored.prediction.withheld:
        return {_IMAGE: drawing.plain(scored.radiograph)} if how == "layer" else {}
    if how == "overlay":
        return drawing.draw(scored.bundle, scored.radiograph, scored.prediction, findings, side=side)
    drawn = drawing.layers(scored.bundle, scored.radiograph, scored.prediction, findings)
    return {_IMAGE: drawing.plain(scored.radiograph), **drawn}


def as_json(
    prediction: Prediction, method: str, how: Literal["overlay", "layer"], pictures: dict[str, bytes]
) -> Explanation:
    """Return the pictures in base64 beside the answer."""
    coded = {name: base64.b64encode(picture).decode("ascii") for name, picture in pictures.items()}
    return Explanation(prediction=prediction, method=method, draw=how, image=coded.pop(_IMAGE, None), overlays=coded)


def as_multipart(prediction: Prediction, pictures: dict[str, bytes]) -> Response:
    """Return one message of several parts (RFC 2046): the answer as JSON, then a PNG file a picture."""
    boundary = f"thorax-{secrets.token_hex(12)}"
    parts = [("prediction", "application/json", prediction.model_dump_json().encode())]
    parts += [(name, "image/png", picture) for name, picture in pictures.items()]
    body = b"".join(
        f'--{boundary}\r\nContent-Type: {kind}\r\nContent-Disposition: attachment; name="{name}"\r\n\r\n'.encode()
        + content
        + b"\r\n"
        for name, kind, content in parts
    )
    return Response(body + f"--{boundary}--\r\n".encode(), media_type=f"multipart/mixed; boundary={boundary}")


def as_dicom(
    scored: "Scored", source: "Source | None", format: Literal["dicom-sc", "dicom-sr"], findings: Sequence[str]
) -> Response:
    """Return a DICOM object (PS3.10): a picture of one finding, or a structured report of the whole answer."""
    from thorax import reporting

    prediction = scored.prediction
    if format == "dicom-sr":
        assert source is not None  # `source` has seen to it
        made = reporting.structured_report(source, prediction)
    else:
        first = max(prediction.findings, key=lambda one: one.probability).finding
        made = reporting.secondary_capture(
            source, prediction, scored.bundle, scored.radiograph, findings[0] if findings else first
        )
    name = f"{format}-{prediction.request_id[:12]}.dcm"
    return Response(
        reporting.to_bytes(made),
        media_type="application/dicom",
        headers={"Content-Disposition": f'attachment; filename="{name}"'},
    )
