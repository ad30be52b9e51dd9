"""The multipart form of an image, read by Thorax itself.

BentoML's own file fields fetch an address that is sent in place of a file, write every upload to a folder, and answer
500 to what they cannot open. Here a file is a file, stays in memory, and a wrong field is named.
"""

import math
from dataclasses import replace
from typing import Annotated, Any, ClassVar, Literal, NamedTuple, Self, get_args

import bentoml
from bentoml.exceptions import InvalidArgument
from pydantic import Field, WithJsonSchema
from starlette.datastructures import FormData, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request

from serving.call import current
from serving.refusals import body
from serving.routes import FORM
from thorax.errors import InputError, nearest
from thorax.explain.gradients import Method as Gradient
from thorax.imaging import Radiograph

VIEWS = ("PA", "AP", "LATERAL")
SEXES = ("F", "M")
OLDEST = 120.0
Format = Literal["json", "multipart", "dicom-sc", "dicom-sr"]
FORMATS: tuple[str, ...] = get_args(Format)
#: How a heatmap is made: what needs the network's answers alone, as the workers have no PyTorch.
Method = Literal["cam", "occlusion"]
METHODS: tuple[str, ...] = get_args(Method)
_FILE = WithJsonSchema(
    {"type": "string", "format": "binary", "description": "PNG, JPEG, TIFF, DICOM, or a zipped study."}
)
_FILES = WithJsonSchema(
    {
        "type": "array",
        "items": {"type": "string", "format": "binary"},
        "description": "PNG, JPEG, TIFF, DICOM, or zip archives of them; the field stands once a file.",
    }
)


class Upload(NamedTuple):
    """One file as it was sent; its name may be a person's, so it goes back to the sender and nowhere else."""

    name: str
    content: bytes


class Form(bentoml.IODescriptor):
    """A form that Thorax reads; nothing that names a person is taken."""

    #: Files that it takes at most, and what to do where it cannot be read.
    most: ClassVar[int] = 1
    mend: ClassVar[str] = "Send one image as multipart/form-data."

    @classmethod
    def mime_type(cls) -> str:
        """What the form is sent as."""
        return FORM

    @classmethod
    async def from_http_request(cls, request: Request, serde: Any) -> Self:
        """Read the form.

        Raises:
            InvalidArgument: a field is missing, repeated, unknown or wrong; the guard finds what to say of it in the
                call, as BentoML would drop half of it.
        """
        try:
            form = await read_form(request, cls.most)
            try:
                return cls.model_construct(**await cls.values(form))
            finally:
                await form.close()
        except MultiPartException as error:
            refused = InputError(f"The form cannot be read: {error.message}", cls.mend)
        except InputError as error:
            refused = error
        current.get().refusal = body(refused.message, refused.mend)
        raise InvalidArgument(refused.message)

    @classmethod
    async def values(cls, form: FormData) -> dict[str, Any]:
        """Return the value of every field.

        Raises:
            InputError: one is missing, repeated, unknown or wrong.
        """
        raise NotImplementedError


class ImageForm(Form):
    """One radiograph, and what is known of it."""

    file: Annotated[bytes, _FILE]
    age: Annotated[float | None, Field(default=None, ge=0, le=OLDEST, description="Years.")]
    sex: Annotated[Literal["F", "M"] | None, Field(default=None)]
    view: Annotated[Literal["PA", "AP", "LATERAL"] | None, Field(default=None)]

    @classmethod
    async def values(cls, form: FormData) -> dict[str, Any]:
        """Return the value of every field."""
        values: dict[str, Any] = {}
        for name, value in form.multi_items():
            if name not in cls.model_fields:
                raise InputError(f"Unknown field {name[:60]!r}.", nearest(name[:60], cls.model_fields))
            if name in values:
                raise InputError(f"The field {name!r} stands twice.", "Send it once.")
            values[name] = await file_bytes(value) if name == "file" else cls._text(name, value)
        if "file" not in values:
            raise InputError("The form has no `file`.", "Send the radiograph as its file field `file`.")
        return {name: values.get(name, field.default) for name, field in cls.model_fields.items()}

    @classmethod
    def _text(cls, name: str, value: UploadFile | str) -> Any:
        if not isinstance(value, str):
            raise InputError(f"The field {name!r} is a file.", "Send it as text.")
        return cls.parse(name, value.strip())

    @classmethod
    def parse(cls, name: str, text: str) -> Any:
        """Turn one text field into its value; empty text counts as not given."""
        if text in ("", "null"):
            return cls.model_fields[name].default
        if name == "age":
            return read_age(text)
        return one_of(name, text, SEXES if name == "sex" else VIEWS)


class ExplainForm(ImageForm):
    """One radiograph, and for which findings heatmaps are wanted."""

    findings: Annotated[
        str | None, Field(default=None, description="Names, separated by commas; all findings where it is not given.")
    ]
    method: Annotated[
        Method,
        Field(
            default="cam",
            description="cam: the class activation map, in closed form, for no time. occlusion: how much the answer "
            "falls when a place is blurred away; it runs the network 65 times more, each counted against the rate.",
        ),
    ]
    side: Annotated[int, Field(default=256, ge=64, le=1024, description="px of an overlay's longer side.")]
    draw: Annotated[
        Literal["overlay", "layer"], Field(default="overlay", description="Heat over the image, or the heat alone.")
    ]
    format: Annotated[
        Format,
        Field(
            default="json",
            description="json: pictures in base64. multipart: JSON and PNG parts. dicom-sc: a Secondary Capture with "
            "the overlay of one finding. dicom-sr: a structured report (TID 1500) on a DICOM image.",
        ),
    ]

    @classmethod
    def parse(cls, name: str, text: str) -> Any:
        """Turn one text field into its value."""
        if name == "findings":
            return text or None
        if name == "side":
            return read_side(text)
        if name == "method":
            return read_method(text)
        if name == "draw":
            return one_of(name, text or "overlay", ("OVERLAY", "LAYER")).lower()
        if name == "format":
            return one_of(name, text or "json", tuple(word.upper() for word in FORMATS)).lower()
        return super().parse(name, text)


class BatchForm(Form):
    """Many radiographs, side by side or in zip archives."""

    most: ClassVar[int] = 1000  # the settings' own limit, which says so in words, is lower
    mend: ClassVar[str] = "Send images, or a zip archive of them, as file fields `file` of multipart/form-data."

    file: Annotated[list[Upload], _FILES]

    @classmethod
    async def values(cls, form: FormData) -> dict[str, Any]:
        """Return the uploads."""
        uploads = []
        for name, value in form.multi_items():
            if name != "file":
                raise InputError(f"Unknown field {name[:60]!r}.", "This form has file fields `file` alone.")
            uploads.append(Upload(getattr(value, "filename", None) or "", await file_bytes(value)))
        if not uploads:
            raise InputError("The form has no `file`.", "Send each radiograph as a file field `file`.")
        return {"file": uploads}


for _form in (ImageForm, ExplainForm, BatchForm):
    _form.multipart_fields = ["file"]


async def file_bytes(value: UploadFile | str) -> bytes:
    """Return the content of a file field.

    Raises:
        InputError: it is text; an address, perhaps.
    """
    if isinstance(value, str):
        raise InputError("The field `file` is text, not a file.", "Send the file itself; addresses are not fetched.")
    return await value.read()


async def read_form(request: Request, files: int) -> FormData:
    """Read a form whole into memory: the guard has bounded it, and what is uploaded touches no disk.

    Raises:
        MultiPartException: it is no such form, or has more than `files` files.
    """
    parser = MultiPartParser(request.headers, request.stream(), max_files=files, max_fields=8, max_part_size=4096)
    parser.spool_max_size = 0  # for Python's spooled files: never to the disk
    return await parser.parse()


def read_age(text: str) -> float:
    """Read an age in years.

    Raises:
        InputError: it is not a number from 0 to 120.
    """
    try:
        age = float(text)
    except ValueError:
        age = math.nan
    if not 0 <= age <= OLDEST:
        raise InputError(f"The age {text[:20]!r} is not a number of years from 0 to {OLDEST:.0f}.")
    return age


def read_method(text: str) -> str:
    """Read how a heatmap is to be made; the class activation map where the text is empty.

    Raises:
        InputError: no method of that name, or one that needs gradients.
    """
    word = (text.strip('"') or "cam").lower()
    if word in METHODS:
        return word
    if word == "grad-cam":
        raise InputError(
            "Grad-CAM is not computed apart: on these networks it is the positive part of the class activation map.",
            "Ask for method cam.",
        )
    if word in get_args(Gradient):
        raise InputError(
            f"The method {word} needs gradients, and the service runs without PyTorch.",
            f"Ask for {' or '.join(METHODS)} here; `thorax.explain.gradients` computes {word} from a bundle's weights.",
        )
    raise InputError(f"The method {text[:20]!r} is not one of {', '.join(METHODS)}.")


def read_side(text: str) -> int:
    """Read the side of a picture in px; 256 where the text is empty.

    Raises:
        InputError: it is not a whole number from 64 to 1024.
    """
    if not text:
        return 256
    if not text.isascii() or not text.isdigit() or not 64 <= int(text[:9]) <= 1024:
        raise InputError(f"The side {text[:20]!r} is not a whole number of px from 64 to 1024.")
    return int(text)


def one_of(name: str, text: str, known: tuple[str, ...]) -> str:
    """Return the word of `known` that is meant, in whatever case.

    Raises:
        InputError: it is none of them.
    """
    word = text.strip('"').upper()
    if word not in known:
        raise InputError(f"The {name} {text[:20]!r} is not one of {', '.join(known)}.")
    return word


def with_given(radiograph: Radiograph, age: float | None, sex: str | None, view: str | None) -> Radiograph:
    """Return the radiograph with what the sender said; it wins over what the file says."""
    return replace(
        radiograph,
        age=radiograph.age if age is None else age,
        sex=sex or radiograph.sex,
        view=view or radiograph.view,
    )
