"""Of the images of one study, the frontal one for presentation: from a zip archive, or from files in a folder.

A chest examination is often sent whole: a frontal and a lateral view, raw detector data beside the processed picture,
the soft-tissue and the bone picture of a dual-energy exposure, reports, a DICOMDIR.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from thorax.errors import ImageError, InputError
from thorax.imaging import archive, dicom
from thorax.imaging.dicom import facts
from thorax.imaging.radiograph import Radiograph
from thorax.settings.reading import Dicom

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

#: A zipped study may hold so many files, and unpack to so many bytes in all.
MAX_FILES = 1000
MAX_UNPACKED = 512 << 20
#: So much of a file is enough for its header.
_HEADER = 4 << 20


class Candidate(NamedTuple):
    """One image, by its header alone.

    Attributes:
        place: of the image among the files.
        study: its StudyInstanceUID; "" where it has none.
        rank: how well it serves as the frontal for presentation; the lowest is the best.
        kind: what it is, in words.
    """

    place: int
    study: str
    rank: tuple[int, ...]
    kind: str


def candidate(place: int, data: bytes, accept: Dicom) -> Candidate:
    """Return what the header of a DICOM image says; raw detector data are a candidate, though the worst one.

    Raises:
        ImageError: it is no radiograph of a chest, or has no pixels.
    """
    with dicom.damage():
        return _candidate(place, dicom.parse(data, pixels=False), accept)


def _candidate(place: int, dataset: "Dataset", accept: Dicom) -> Candidate:
    facts.require_modality(dataset, accept.model_copy(update={"for_processing": "read"}))
    shown = facts.shown(dataset, accept)
    if shown.chest is False:
        raise ImageError(shown.refused)
    if not dataset.get("Rows"):
        raise ImageError("It holds no pixels.")
    rank = facts.rank(dataset)
    view = facts.view(dataset)[0] or "unstated"
    made = " made from another exposure" if rank[2] else ""
    kind = "raw detector data" if rank[0] else f"{view} view{made}"
    return Candidate(place, str(dataset.get("StudyInstanceUID") or ""), rank, kind)


def read(
    data: bytes, read_one: Callable[[bytes], Radiograph], sniff: Callable[[bytes], str], accept: Dicom
) -> Radiograph:
    """Read the frontal image for presentation of a zipped study, or the one picture that an archive holds.

    Args:
        data: the zip archive.
        read_one: reads one image.
        sniff: names the format of one file, or raises `ImageError`.
        accept: which DICOM images are taken.

    Raises:
        ImageError: no image, several that are of no one study, or the chosen one cannot be read.
    """
    found, pictures, total = [], [], 0
    refused: ImageError | None = None
    for place, (_, content) in enumerate(_members(data)):
        if isinstance(content, ImageError):
            refused = content
            continue
        total += len(content)
        if total > MAX_UNPACKED:
            raise ImageError(
                f"The archive unpacks to more than {MAX_UNPACKED >> 20} MiB.", "Send its images one by one."
            )
        try:
            kind = sniff(content)
        except ImageError:
            continue  # reports, programs and whatever else lies on a disc
        if kind != "DICOM":
            pictures.append(place)
            continue
        try:
            found.append(candidate(place, content, accept))
        except ImageError as error:
            refused = refused or error
    chosen = _choose(found, pictures, refused)
    content = next(content for place, (_, content) in enumerate(_members(data)) if place == chosen)
    if isinstance(content, ImageError):
        raise content
    radiograph = read_one(content)
    said = _said(found, chosen) if len(found) > 1 else "It was read from an archive."
    return replace(radiograph, assumptions=(said, *radiograph.assumptions))


def select(files: Sequence[Path], accept: Dicom) -> tuple[list[Path], dict[Path, str]]:
    """Return the files to answer for, and why others of their study are left out.

    Of a study with a frontal image for presentation, lateral views, raw detector data and pictures made from another
    exposure are left out; two frontal images are both kept. DICOM files that are no chest radiograph are left out
    where others are. What is no DICOM file is kept.
    """
    studies: dict[str, list[Candidate]] = {}
    left: dict[Path, str] = {}
    for place, file in enumerate(files):
        head = _head(file)
        if not is_dicom(head):
            continue
        try:
            one = candidate(place, head, accept)
        except ImageError as error:
            left[file] = str(error)
            continue
        if one.study:
            studies.setdefault(one.study, []).append(one)
    if len(left) == len(files):
        return list(files), {}
    for images in studies.values():
        best = min(images, key=lambda image: image.rank)
        for image in images:
            if image.rank[:3] > best.rank[:3]:
                left[files[image.place]] = (
                    f"It is of the same study as {files[best.place].name} ({best.kind}), and is {_article(image.kind)}."
                )
    return [file for file in files if file not in left], left


def is_dicom(head: bytes) -> bool:
    """Whether a file that begins so is a DICOM file, whatever it is called."""
    return head[128:132] == b"DICM" or dicom.looks_bare(head)


def found_in(folder: Path, suffixes: Sequence[str]) -> list[Path]:
    """Return the images below a folder: by name, and DICOM files by what they hold, as discs name them freely."""
    files = sorted(file for file in folder.rglob("*") if file.is_file() and file.name.upper() != "DICOMDIR")
    return [file for file in files if file.suffix.lower() in suffixes or is_dicom(_head(file, 132))]


def _head(file: Path, size: int = _HEADER) -> bytes:
    try:
        with file.open("rb") as stream:
            return stream.read(size)
    except OSError:  # whoever reads it whole says why
        return b""


def listed(directory: Path) -> list[Path]:
    """Return the files that a DICOMDIR refers to, those that are there.

    Raises:
        InputError: it cannot be read, or refers to none.
    """
    from pydicom.fileset import FileSet

    root = directory.resolve().parent
    try:
        referred = [Path(instance.path).resolve() for instance in FileSet(directory)]
    except Exception as error:  # pydicom raises whatever a damaged directory leads it to
        raise InputError(f"{directory} cannot be read as a DICOMDIR.", "Give the folder itself.") from error
    files = [file for file in referred if file.is_relative_to(root) and file.is_file()]
    if not files:
        raise InputError(f"{directory} refers to no file beside it.", "Give the folder itself.")
    return files


def _members(data: bytes) -> Iterable[tuple[str, bytes | ImageError]]:
    from thorax.imaging.reading import MAX_BYTES

    try:
        yield from archive.members(data, MAX_FILES, MAX_BYTES)
    except InputError as error:
        raise ImageError(error.message, error.mend) from error


def _choose(found: Sequence[Candidate], pictures: Sequence[int], refused: ImageError | None) -> int:
    """Return the place of the one image to read."""
    if len({one.study for one in found}) > 1:
        raise ImageError(
            "The archive holds images of several studies.", "Send one study, or all of them to /predict_batch."
        )
    if found:
        return min(found, key=lambda one: one.rank).place
    if len(pictures) == 1:
        return pictures[0]
    if pictures:
        raise ImageError(f"The archive holds {len(pictures)} pictures.", "Send one, or all of them to /predict_batch.")
    if refused is not None:
        raise ImageError(f"The archive holds no chest radiograph. {refused.message}", refused.mend)
    raise ImageError("The archive holds no image.", "Pack the radiographs themselves.")


def _said(found: Sequence[Candidate], chosen: int) -> str:
    best = next(one for one in found if one.place == chosen)
    others = ", ".join(_article(one.kind) for one in found if one.place != chosen)
    return (
        f"The study holds {len(found)} images; image {found.index(best) + 1} ({best.kind}) was read, "
        f"and left out: {others}."
    )


def _article(kind: str) -> str:
    return kind if kind.startswith("raw") else f"{'an' if kind[0] in 'AaUu' else 'a'} {kind}"
