"""PNG, JPEG and TIFF through Pillow, within bounds of memory, and never a guess."""

import io
import warnings
from typing import cast

import cv2
import numpy as np
from PIL import Image, ImageOps, TiffImagePlugin, UnidentifiedImageError

from thorax.errors import ImageError
from thorax.imaging import intensity
from thorax.imaging.radiograph import Kind

# The pixel cap of the caller is stricter than Pillow's warning, and is an error.
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)

#: No packing of these formats (deflate, LZW, Huffman-coded blocks) makes a file smaller than this.
_BEST_PACKING = 1100
_GREY16 = ("I;16", "I;16L", "I;16B", "I;16N")
_BYTES_A_PIXEL = {"L": 1, "LA": 2, "P": 1, "PA": 2, "RGB": 3, "RGBA": 4} | dict.fromkeys((*_GREY16, "I"), 2)
#: Where a PNG may hide that it is to be turned (Exif, in a chunk of its own or as text, or XMP).
_ORIENTED = (b"eXIf", b"iTXt", b"Raw profile")
_PHOTOMETRIC, _WHITE_IS_ZERO = 262, 0
_REFUSED = {
    "CMYK": "it holds printing inks (CMYK), not grey levels",
    "YCbCr": "it holds chroma planes of a photograph",
    "1": "it holds one bit a pixel",
    "F": "it holds floating-point values of unknown range",
}


def read(data: bytes, kind: Kind, max_pixels: int) -> tuple[np.ndarray, int, float]:
    """Decode a raster image to grey.

    Args:
        data: the whole file.
        kind: the only format that is tried.
        max_pixels: refuse more than this, before any of them is decoded.

    Returns:
        float32 pixels of shape (H, W) in [0, 1]; bits a pixel; and how colourful the picture is: the mean
        difference of its largest and smallest colour channel, in [0, 1]; 0 for grey.

    Raises:
        ImageError: too large, truncated, damaged, of several pages, or of a pixel type that cannot be trusted.
    """
    try:
        with Image.open(io.BytesIO(data), formats=(kind,)) as image:
            _require(image, len(data), max_pixels)
            if kind == "PNG" and (levels := _plain_png(image, data)) is not None:
                return intensity.from_bytes(levels), 8, 0.0
            image.load()
            return _grey(image)
    except ImageError:
        raise
    except Image.DecompressionBombError as error:
        raise ImageError(f"It claims more than {max_pixels:,} pixels.", "Reduce the image.") from error
    except UnidentifiedImageError as error:
        raise ImageError(f"Its {kind} header is damaged.") from error
    except MemoryError as error:
        raise ImageError("It needs more memory than there is.", "Reduce the image.") from error
    except Exception as error:
        # Pillow's decoders raise OSError, SyntaxError, ValueError, struct.error, IndexError and more on damaged files.
        raise ImageError(f"It is truncated or damaged: {str(error) or type(error).__name__}.") from error


def claimed_pixels(data: bytes, kind: Kind) -> int:
    """Return width times height as the header has them; 0 where it is damaged."""
    try:
        with Image.open(io.BytesIO(data), formats=(kind,)) as image:
            return int(image.width * image.height)
    except Exception:  # as for `read`
        return 0


def _plain_png(image: Image.Image, data: bytes) -> np.ndarray | None:
    """Decode an 8-bit grey PNG that nothing else is said about, as most radiographs are, in four fifths of the time.

    libpng by way of OpenCV gives the same levels as Pillow, and nothing for a file that is damaged; Pillow then says
    why.
    """
    if image.mode != "L" or "transparency" in image.info or any(mark in data for mark in _ORIENTED):
        return None
    if not _chunks_fit(data):
        return None
    levels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if levels is None or levels.dtype != np.uint8 or levels.shape != image.size[::-1]:
        return None
    return np.asarray(levels)


def _chunks_fit(data: bytes) -> bool:
    """Whether every chunk lies inside the file: OpenCV takes as much memory as a chunk claims, up to 4 GB.

    PNG specification (ISO/IEC 15948), 5.3: four bytes of length, four of type, the data, four of checksum.
    """
    at = 8
    while at + 12 <= len(data):
        if data[at + 4 : at + 8] == b"IEND":
            return True
        at += 12 + int.from_bytes(data[at : at + 4], "big")
    return False


def _require(image: Image.Image, stored: int, max_pixels: int) -> None:
    """Refuse by the header alone."""
    width, height = image.size
    if width * height > max_pixels:
        raise ImageError(
            f"It claims {width} × {height} pixels, more than the {max_pixels:,} allowed.", "Reduce the image."
        )
    if image.mode in _REFUSED:
        raise ImageError(f"Its pixels cannot be read as a radiograph: {_REFUSED[image.mode]}.", "Export it as grey.")
    if image.mode not in _BYTES_A_PIXEL:
        raise ImageError(f"Its pixel type {image.mode} is not known.", "Export it as 8- or 16-bit grey.")
    if width * height * _BYTES_A_PIXEL[image.mode] > _BEST_PACKING * stored:
        raise ImageError(f"Its header promises {width} × {height} pixels, more than {stored:,} bytes can hold.")
    # A camera's JPEG may carry a preview as its second frame; pages of a TIFF or frames of a PNG are images.
    frames = getattr(image, "n_frames", 1)
    if frames > 1 and image.format not in ("JPEG", "MPO"):
        raise ImageError(f"It holds {frames} pages or frames.", "Give one image a file.")


def _grey(image: Image.Image) -> tuple[np.ndarray, int, float]:
    sixteen = image.mode in _GREY16 or image.mode == "I"
    inverted = sixteen and _white_is_zero(image)
    if image.getexif().get(0x0112, 1) != 1:
        image = ImageOps.exif_transpose(image)
    if sixteen:
        levels = np.asarray(image)
        if levels.dtype.kind == "i" and (levels.min() < 0 or levels.max() > 65_535):
            raise ImageError("It holds 32-bit values.", "Export it as 16-bit grey.")
        # The values tell the detector's true depth: a 12-bit image in a 16-bit file ends at 4,095.
        bits = max(8, int(levels.max()).bit_length())
        pixels = intensity.stretch(levels, 2.0**bits)
        return (1 - pixels if inverted else pixels), bits, 0.0
    colour = 0.0
    if image.mode != "L":
        image = _flatten(image)
        if image.mode == "RGB":
            colour = _colourfulness(image)
            image = image.convert("L")
    return intensity.from_bytes(np.asarray(image)), 8, colour


def _flatten(image: Image.Image) -> Image.Image:
    """Lay transparent pixels over black, as air is, and resolve palettes."""
    if image.mode in ("LA", "PA", "RGBA") or "transparency" in image.info:
        image = image.convert("RGBA")
        if cast(tuple[int, int], image.getchannel("A").getextrema())[0] < 255:
            black = Image.new("RGBA", image.size, (0, 0, 0, 255))
            image = Image.alpha_composite(black, image)
    return image.convert("RGB")


def _colourfulness(image: Image.Image) -> float:
    # A sixteenth of the pixels tells as much.
    sample = np.asarray(image.reduce(4) if min(image.size) >= 256 else image).astype(np.int16)
    return float((sample.max(axis=2) - sample.min(axis=2)).mean() / 255)


def _white_is_zero(image: Image.Image) -> bool:
    """Whether a 16-bit TIFF counts from white; Pillow turns only 8-bit ones itself."""
    return isinstance(image, TiffImagePlugin.TiffImageFile) and image.tag_v2.get(_PHOTOMETRIC) == _WHITE_IS_ZERO
