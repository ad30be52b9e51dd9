"""What a person sees who feeds Thorax good, odd, damaged and hostile image files."""

import contextlib
import io
import struct
import tracemalloc
import zlib
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from dicom_factory import radiograph_dicom
from PIL import Image

from thorax.errors import ImageError
from thorax.imaging import claimed_pixels, read_image, read_image_bytes

Encode = Callable[..., bytes]


@pytest.fixture
def grey(chest: np.ndarray) -> np.ndarray:
    return np.rint(chest.clip(0, 1) * 255).astype(np.uint8)


def chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def png(width: int, height: int, body: bytes, depth: int = 8, colour: int = 0) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", body) + chunk(b"IEND", b"")


def test_8_bit_grey_is_read_as_it_is(grey: np.ndarray, encode: Encode, tmp_path: Path) -> None:
    for kind, name in (("PNG", "a.png"), ("TIFF", "a.tif")):
        (tmp_path / name).write_bytes(encode(grey, kind))
        image = read_image(tmp_path / name)
        assert (image.kind, image.bits, image.width, image.height) == (kind, 8, 128, 160)
        assert image.pixels.dtype == np.float32
        np.testing.assert_allclose(image.pixels, grey / 255, atol=1e-6)


def test_the_bytes_tell_the_format_and_not_the_name(grey: np.ndarray, encode: Encode, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(encode(grey, "JPEG", quality=95))
    image = read_image(tmp_path / "a.png")
    assert image.kind == "JPEG"
    assert np.abs(image.pixels - grey / 255).mean() < 0.02


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "LA", "P"])
def test_grey_in_a_colour_file_is_read_as_grey(mode: str, grey: np.ndarray, encode: Encode) -> None:
    image = read_image_bytes(encode(Image.fromarray(grey).convert(mode)))
    np.testing.assert_allclose(image.pixels, grey / 255, atol=0.02 if mode == "P" else 1e-6)
    assert "colour" not in image.checks


def test_transparent_pixels_are_air(grey: np.ndarray, encode: Encode) -> None:
    picture = Image.fromarray(grey).convert("RGBA")
    alpha = np.full(grey.shape, 255, dtype=np.uint8)
    alpha[:, :20] = 0
    picture.putalpha(Image.fromarray(alpha))
    pixels = read_image_bytes(encode(picture)).pixels
    assert pixels[:, :20].max() == 0
    np.testing.assert_allclose(pixels[:, 20:], grey[:, 20:] / 255, atol=0.005)


def test_a_photograph_is_read_and_called_coloured(encode: Encode) -> None:
    colours = np.random.default_rng(0).integers(0, 255, (80, 80, 3), dtype=np.uint8)
    assert "colour" in read_image_bytes(encode(colours, "JPEG")).checks


@pytest.mark.parametrize(("kind", "depth"), [("PNG", 16), ("TIFF", 16), ("TIFF", 12), ("PNG", 10)])
def test_deep_grey_comes_out_alike_whatever_its_depth_and_gain(
    kind: str, depth: int, chest: np.ndarray, encode: Encode
) -> None:
    reference = read_image_bytes(encode(np.rint(chest.clip(0, 1) * 65535).astype(np.uint16), "PNG")).pixels
    levels = np.rint((0.1 + 0.6 * chest.clip(0, 1)) * (2**depth - 1)).astype(np.uint16)
    image = read_image_bytes(encode(levels, kind))
    assert image.bits == depth or image.bits == depth - 1  # the highest bit may be unused
    np.testing.assert_allclose(image.pixels, reference, atol=0.01)


def test_a_16_bit_tiff_that_counts_from_white_comes_out_with_air_dark(chest: np.ndarray, encode: Encode) -> None:
    levels = np.rint(chest.clip(0, 1) * 65535).astype(np.uint16)
    plain = read_image_bytes(encode(levels, "TIFF")).pixels
    turned = read_image_bytes(encode(65535 - levels, "TIFF", tiffinfo={262: 0})).pixels
    np.testing.assert_allclose(turned, plain, atol=0.01)


def test_a_camera_orientation_is_undone(grey: np.ndarray, encode: Encode) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # the picture must be turned clockwise to be upright
    turned = np.ascontiguousarray(np.rot90(grey))
    image = read_image_bytes(encode(turned, "PNG", exif=exif))
    np.testing.assert_allclose(image.pixels, grey / 255, atol=1e-6)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF"])
@pytest.mark.parametrize("share", [0.02, 0.3, 0.7, 0.95])
def test_a_truncated_file_is_refused(kind: str, share: float, encode: Encode, tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (120, 120), dtype=np.uint8)
    data = encode(noise, kind)
    file = tmp_path / "cut.img"
    file.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(ImageError, match=r"cut\.img"):
        read_image(file)


@pytest.mark.parametrize("seed", range(12))
def test_flipped_bytes_never_raise_anything_but_an_image_error(seed: int, grey: np.ndarray, encode: Encode) -> None:
    rng = np.random.default_rng(seed)
    for kind in ("PNG", "JPEG", "TIFF"):
        data = bytearray(encode(grey, kind))
        for place in rng.integers(8, len(data), 20):
            data[place] = rng.integers(256)
        try:
            image = read_image_bytes(bytes(data))
        except ImageError:
            continue
        assert image.pixels.min() >= 0
        assert image.pixels.max() <= 1


def test_a_bomb_is_refused_before_it_is_decoded() -> None:
    body = zlib.compress(b"\0" * 30_001 * 100)
    tracemalloc.start()
    with pytest.raises(ImageError, match="more than 50,000,000 pixels"):
        read_image_bytes(png(30_000, 30_000, body))
    assert tracemalloc.get_traced_memory()[1] < 32 << 20
    tracemalloc.stop()


def test_a_header_that_promises_more_than_the_file_can_hold_is_refused() -> None:
    tracemalloc.start()
    with pytest.raises(ImageError, match="more than 69 bytes can hold"):
        read_image_bytes(png(7_000, 7_000, zlib.compress(b"\0" * 100)))
    assert tracemalloc.get_traced_memory()[1] < 8 << 20
    tracemalloc.stop()


def test_a_chunk_that_claims_more_than_the_file_holds_is_kept_from_a_decoder_that_believes_it(
    grey: np.ndarray, encode: Encode, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []
    decode = cv2.imdecode
    monkeypatch.setattr(cv2, "imdecode", lambda data, flags: asked.append(len(data)) or decode(data, flags))
    whole = encode(grey)
    read_image_bytes(whole)
    assert asked == [len(whole)]
    at = whole.index(b"IDAT") - 4
    for length in (0xFFFFFFFF, len(whole)):
        with contextlib.suppress(ImageError):
            read_image_bytes(whole[:at] + struct.pack(">I", length) + whole[at + 4 :])
    assert asked == [len(whole)]


def test_a_large_honest_image_is_refused_with_its_size() -> None:
    body = zlib.compress(b"\0" * 8_001 * 8_000)
    with pytest.raises(ImageError, match="8000 × 8000 pixels, more than the 50,000,000 allowed"):
        read_image_bytes(png(8_000, 8_000, body))


def test_a_header_tells_how_many_pixels_it_claims(grey: np.ndarray, encode: Encode) -> None:
    for kind in ("PNG", "TIFF", "JPEG"):
        assert claimed_pixels(encode(grey, kind)) == grey.size
    assert claimed_pixels(radiograph_dicom(grey)) == grey.size
    assert claimed_pixels(png(7_000, 7_000, b"")) == 49_000_000
    for nonsense in (b"", b"GIF89a", encode(grey)[:20], radiograph_dicom(grey)[:140]):
        assert claimed_pixels(nonsense) == 0


def test_the_pixel_cap_is_the_callers(grey: np.ndarray, encode: Encode) -> None:
    with pytest.raises(ImageError, match="allowed"):
        read_image_bytes(encode(grey), max_pixels=128 * 160 - 1)
    assert read_image_bytes(encode(grey), max_pixels=128 * 160).width == 128


def test_inks_bits_floats_and_pages_are_refused(grey: np.ndarray, encode: Encode) -> None:
    picture = Image.fromarray(grey)
    with pytest.raises(ImageError, match="CMYK"):
        read_image_bytes(encode(picture.convert("CMYK"), "JPEG"))
    with pytest.raises(ImageError, match="one bit"):
        read_image_bytes(encode(picture.convert("1")))
    with pytest.raises(ImageError, match="floating"):
        read_image_bytes(encode(picture.convert("F"), "TIFF"))
    with pytest.raises(ImageError, match="2 pages"):
        read_image_bytes(encode(picture, "TIFF", save_all=True, append_images=[picture]))


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "empty"),
        (b"hello, this is text", "not a PNG, JPEG, TIFF or DICOM"),
        (b"GIF89a" + b"\0" * 200, "not a PNG"),
        (b"%PDF-1.7", "not a PNG"),
        (b"\x89PNG\r\n\x1a\n", "PNG"),
        (b"\xff\xd8\xff\xe0", "JPEG"),
    ],
)
def test_what_is_no_image_is_refused_by_name(data: bytes, words: str) -> None:
    with pytest.raises(ImageError, match=f"upload: .*{words}"):
        read_image_bytes(data, name="upload")


def test_missing_files_folders_and_giants_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="does not exist"):
        read_image(tmp_path / "none.png")
    with pytest.raises(ImageError, match="not a file"):
        read_image(tmp_path)
    (tmp_path / "big.png").write_bytes(b"\0" * 2_000_001)
    with pytest.raises(ImageError, match="larger than"):
        read_image(tmp_path / "big.png", max_bytes=2_000_000)


def test_a_blank_picture_says_so(encode: Encode) -> None:
    for level in (0, 128, 255):
        assert "blank" in read_image_bytes(encode(np.full((90, 90), level, np.uint8))).checks
    assert "blank" in read_image_bytes(encode(np.full((90, 90), 4_000, np.uint16))).checks
    faint = (2_000 + np.random.default_rng(0).integers(0, 3, (90, 90))).astype(np.uint16)
    assert "blank" in read_image_bytes(encode(faint)).checks


def test_a_tiny_picture_says_so(encode: Encode) -> None:
    assert "size" in read_image_bytes(encode(np.array([[7]], np.uint8))).checks


@pytest.mark.real_data
def test_radiographs_as_published_are_read_and_nothing_looks_wrong(real_data: Path) -> None:
    for folder in ("nih1024", "nih64"):
        files = sorted((real_data / folder / "images").iterdir())[:40]
        for file in files:
            image = read_image(file)
            with Image.open(io.BytesIO(file.read_bytes())) as witness:
                np.testing.assert_allclose(image.pixels, np.asarray(witness.convert("L")) / 255, atol=1e-6)
            assert not {"colour", "blank", "size"} & set(image.checks)


def test_the_quick_way_through_a_png_gives_what_pillow_gives_and_stops_where_it_stops(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    whole = rng.integers(0, 255, (97, 131), dtype=np.uint8)
    for number, options in enumerate(({}, {"compress_level": 1}, {"bits": 4})):
        file = tmp_path / f"{number}.png"
        Image.fromarray(whole // 16 * 17).save(file, **options)
        expected = np.asarray(Image.open(file).convert("L")) / np.float32(255)
        np.testing.assert_allclose(read_image(file).pixels, expected, atol=1e-6)
    data = (tmp_path / "0.png").read_bytes()
    for cut in rng.integers(100, len(data) - 12, 20):
        with pytest.raises(ImageError):
            read_image_bytes(data[:cut])
    for place in rng.integers(60, len(data) - 20, 20):
        with pytest.raises(ImageError):
            read_image_bytes(data[:place] + bytes([data[place] ^ 16]) + data[place + 1 :])


def test_a_png_that_says_how_it_is_to_be_turned_is_turned(tmp_path: Path) -> None:
    picture = Image.fromarray(np.arange(60, dtype=np.uint8).reshape(6, 10))
    exif = Image.Exif()
    exif[0x0112] = 6  # a quarter
    picture.save(tmp_path / "turned.png", exif=exif)
    assert read_image(tmp_path / "turned.png").pixels.shape == (10, 6)
