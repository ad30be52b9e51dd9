"""DICOM radiographs come out as a viewer shows them; everything else is refused with its reason."""

import dataclasses
import io
import struct
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from commands.bench.corpus import tricks
from thorax.errors import ImageError
from thorax.imaging import claimed_pixels, read_image, read_image_bytes
from thorax.imaging import dicom as reader
from thorax.imaging.dicom import codestream
from thorax.settings import Dicom as Settings

Dicom = Callable[..., bytes]


@pytest.fixture
def levels(chest: np.ndarray) -> np.ndarray:
    return np.rint(chest.clip(0, 1) * 4095).astype(np.uint16)


def test_facts_that_identify_nobody_are_kept_and_the_others_are_not(levels: np.ndarray, dicom: Dicom) -> None:
    image = read_image_bytes(dicom(levels))
    assert (image.kind, image.bits, image.view, image.age, image.sex) == ("DICOM", 12, "PA", 57.0, "F")
    assert image.pixel_spacing == (0.2, 0.25)
    text = repr(dataclasses.asdict(image) | {"pixels": None})
    for secret in ("Doe", "Jane", "SECRET", "1950", "Mercy", "1.2.3.4"):
        assert secret not in text


@pytest.mark.parametrize(
    ("age", "years"), [("006M", 0.5), ("026W", 0.4983), ("100Y", 100.0), ("000Y", None), ("", None), ("-5", None)]
)
def test_ages_are_years(age: str, years: float | None, levels: np.ndarray, dicom: Dicom) -> None:
    found = read_image_bytes(dicom(levels, PatientAge=age)).age
    assert found == (None if years is None else pytest.approx(years, abs=1e-3))


def test_air_is_dark_in_both_photometric_interpretations(levels: np.ndarray, dicom: Dicom) -> None:
    plain = read_image_bytes(dicom(levels))
    turned = read_image_bytes(dicom(4095 - levels, PhotometricInterpretation="MONOCHROME1"))
    assert plain.pixels[-1].mean() < 0.05
    np.testing.assert_allclose(turned.pixels, plain.pixels, atol=0.01)


def test_a_window_decides_the_contrast_and_is_applied_before_the_inversion(levels: np.ndarray, dicom: Dicom) -> None:
    window = {"WindowCenter": 1500, "WindowWidth": 1000}
    plain = read_image_bytes(dicom(levels, **window)).pixels
    # By hand, PS3.3 C.11.2.1.2.1: below 1000 black, above 2000 white.
    by_hand = np.clip((levels - (1500 - 0.5)) / (1000 - 1) + 0.5, 0, 1)
    np.testing.assert_allclose(plain, by_hand, atol=0.01)
    inverted = read_image_bytes(dicom(levels, PhotometricInterpretation="MONOCHROME1", **window)).pixels
    np.testing.assert_allclose(inverted, 1 - by_hand, atol=0.01)


def test_a_voi_lut_is_applied(levels: np.ndarray, dicom: Dicom) -> None:
    from pydicom.dataset import Dataset

    lut = Dataset()
    lut.LUTDescriptor = [4096, 0, 12]
    lut.LUTData = np.array([4095 * (value / 4095) ** 2 for value in range(4096)], np.uint16).tobytes()
    pixels = read_image_bytes(dicom(levels, VOILUTSequence=[lut])).pixels
    squared = (levels / 4095.0) ** 2
    low, high = np.percentile(squared, [0.5, 99.5])
    np.testing.assert_allclose(pixels, np.clip((squared - low) / (high - low), 0, 1), atol=0.02)


def test_a_modality_rescale_changes_nothing_that_is_seen(levels: np.ndarray, dicom: Dicom) -> None:
    plain = read_image_bytes(dicom(levels)).pixels
    rescaled = read_image_bytes(dicom(levels, RescaleSlope="2", RescaleIntercept="-1000", RescaleType="US")).pixels
    np.testing.assert_allclose(rescaled, plain, atol=1e-3)


def test_padding_is_air_and_does_not_decide_the_contrast(levels: np.ndarray, dicom: Dicom) -> None:
    inside = (1000 + levels // 4).astype(np.uint16)
    plain = read_image_bytes(dicom(inside)).pixels
    padded = inside.copy()
    padded[:, :30] = 4095
    pixels = read_image_bytes(dicom(padded, PixelPaddingValue=4095)).pixels
    assert pixels[:, :30].max() < 0.02
    np.testing.assert_allclose(pixels[:, 30:], plain[:, 30:], atol=0.05)


@pytest.mark.parametrize(
    ("orientation", "turn"),
    [
        (["L", "F"], lambda a: a),
        (["R", "F"], lambda a: a[:, ::-1]),
        (["L", "H"], lambda a: a[::-1]),
        (["R", "H"], lambda a: a[::-1, ::-1]),
        (["F", "L"], lambda a: a.T),
        (["H", "R"], lambda a: a[::-1, ::-1].T),
        (["A", "F"], lambda a: a),
        (None, lambda a: a),
    ],
)
def test_the_picture_is_turned_upright(
    orientation: list[str] | None, turn: Callable[[np.ndarray], np.ndarray], levels: np.ndarray, dicom: Dicom
) -> None:
    upright = read_image_bytes(dicom(levels)).pixels
    stored = np.ascontiguousarray(turn(levels))
    found = read_image_bytes(dicom(stored, PatientOrientation=orientation)).pixels
    np.testing.assert_allclose(found, upright, atol=1e-6)


@pytest.mark.parametrize(
    ("tags", "words"),
    [
        ({"Modality": "CT"}, "modality CT"),
        ({"Modality": "MR"}, "modality MR"),
        ({"Modality": None, "SOPClassUID": "1.2.840.10008.5.1.4.1.1.2"}, "is CT Image Storage"),
        ({"BodyPartExamined": "HAND"}, "body part HAND"),
        ({"PhotometricInterpretation": "RGB"}, "RGB with 1 samples"),
        ({"PhotometricInterpretation": "HSV"}, "no viewer shows"),
        ({"PresentationIntentType": "FOR PROCESSING"}, "raw detector data"),
        ({"PixelData": None}, "no pixels"),
        ({"Rows": 0}, "0 pixels"),
        ({"Rows": 9000, "Columns": 9000}, "more than the 50,000,000 allowed"),
        ({"Rows": 5000}, "cannot be decoded"),
    ],
)
def test_what_is_no_chest_radiograph_is_refused(
    tags: dict[str, object], words: str, levels: np.ndarray, dicom: Dicom
) -> None:
    with pytest.raises(ImageError, match=words):
        read_image_bytes(dicom(levels, **tags))


@pytest.mark.parametrize("part", [None, "", "CHEST", "Chest ", "THORAX"])
def test_body_parts_that_are_chests_or_unnamed_are_read(part: str | None, levels: np.ndarray, dicom: Dicom) -> None:
    assert read_image_bytes(dicom(levels, BodyPartExamined=part)).width == 128


@pytest.mark.parametrize(
    "syntax", ["1.2.840.10008.1.2.5", "1.2.840.10008.1.2.4.90", "1.2.840.10008.1.2.4.80"], ids=["RLE", "J2K", "JPEG-LS"]
)
def test_lossless_compression_gives_the_same_pixels(syntax: str, levels: np.ndarray, dicom: Dicom) -> None:
    np.testing.assert_array_equal(
        read_image_bytes(dicom(levels, syntax)).pixels, read_image_bytes(dicom(levels)).pixels
    )


def test_a_stream_of_another_size_than_its_header_is_refused_before_it_is_decoded(
    levels: np.ndarray, dicom: Dicom
) -> None:
    data = dicom(levels, "1.2.840.10008.1.2.4.90")
    place = data.index(b"\xff\x4f\xff\x51") + 8
    lying = data[:place] + struct.pack(">II", 60_000, 60_000) + data[place + 8 :]
    with pytest.raises(ImageError, match="the compressed stream 60000 × 60000"):
        read_image_bytes(lying)


def test_the_size_inside_a_jpeg_stream_is_found() -> None:
    from PIL import Image

    stream = io.BytesIO()
    Image.fromarray(np.zeros((33, 57), np.uint8)).save(stream, "JPEG", progressive=True)
    wrapped = (
        b"\xfe\xff\x00\xe0" + struct.pack("<I", 0) + b"\xfe\xff\x00\xe0" + struct.pack("<I", 99) + stream.getvalue()
    )
    assert codestream.size_inside(wrapped) == (57, 33)
    assert codestream.size_inside(b"\0" * 100) is None


@pytest.mark.parametrize("share", [0.01, 0.2, 0.6, 0.9])
@pytest.mark.parametrize("syntax", ["1.2.840.10008.1.2.1", "1.2.840.10008.1.2.5", "1.2.840.10008.1.2.4.90"])
def test_a_truncated_file_is_refused(share: float, syntax: str, levels: np.ndarray, dicom: Dicom) -> None:
    data = dicom(levels, syntax)
    with pytest.raises(ImageError):
        read_image_bytes(data[: int(len(data) * share)])


@pytest.mark.real_data
def test_every_sample_is_read_or_refused_with_its_reason(real_data: Path) -> None:
    read, refused = {}, {}
    for file in sorted(path for path in (real_data / "dicom").rglob("*") if path.is_file()):
        data = file.read_bytes()
        if file.suffix == ".zst":
            import pyarrow as pa

            data = pa.input_stream(pa.BufferReader(data), compression="zstd").read()
        try:
            read[file.name] = read_image_bytes(data)
        except ImageError as error:
            refused[file.name] = error.message
    assert set(read) == {"RG1_J2KI", "RG1_JLSN"}
    for name, reason in refused.items():
        assert {"CT1": "modality CT", "MR1": "modality MR", "MR-": "modality MR", "RG3": "EXTREMITY"}[
            name[:3]
        ] in reason
    for image in read.values():
        top = image.pixels[: image.height // 20, : image.width // 20]
        assert top.mean() < 0.2, "air is dark"
        middle = image.pixels[:, image.width * 2 // 5 : image.width * 3 // 5].mean()
        lungs = image.pixels[image.height // 4 : image.height // 2, image.width // 4 : image.width // 3].mean()
        assert middle > lungs + 0.1, "the mediastinum is brighter than the lungs"
        below = image.pixels[-image.height // 10 :, image.width // 3 : -image.width // 3].mean()
        assert below > lungs + 0.1, "the abdomen lies below"
    # One was coded with loss, the other nearly without: the same picture within a few grey levels of 256.
    difference = np.abs(read["RG1_J2KI"].pixels - read["RG1_JLSN"].pixels) * 255
    assert difference.max() < 6
    assert difference.mean() < 1


@pytest.mark.real_data
def test_three_codings_of_one_radiograph_decode_alike(real_data: Path) -> None:
    import pydicom

    rendered = [
        reader.render(pydicom.dcmread(real_data / "dicom/WG04" / name))
        for name in ("RLE/RG3_RLE", "J2KR/RG3_J2KR", "JPLL/RG3_JPLL")
    ]
    np.testing.assert_array_equal(rendered[0], rendered[1])
    np.testing.assert_array_equal(rendered[0], rendered[2])
    with pytest.raises(ImageError, match="EXTREMITY"):
        read_image(real_data / "dicom/WG04/RLE/RG3_RLE")


def test_what_is_taken_is_a_setting(levels: np.ndarray, dicom: Dicom) -> None:
    films = {
        "of modality DX": (dicom(levels), {"modalities": ("CR",)}),
        "Its view is LATERAL": (dicom(levels, ViewPosition="LL"), {"views": ("PA", "AP")}),
        "Its view is not stated": (dicom(levels, ViewPosition=None), {"views": ("PA", "AP")}),
        "body part SHOULDER": (dicom(levels, BodyPartExamined="SHOULDER"), {}),
        "raw detector data": (dicom(levels, PresentationIntentType="FOR PROCESSING"), {}),
    }
    for words, (data, setting) in films.items():
        with pytest.raises(ImageError, match=words):
            read_image_bytes(data, accept=Settings(**setting))
    wider = Settings(body_parts=("chest", "shoulder"), for_processing="read")
    assert read_image_bytes(films["body part SHOULDER"][0], accept=wider).width == 128
    assert read_image_bytes(films["raw detector data"][0], accept=wider).width == 128
    own = dicom(levels, BodyPartExamined="BERTHA")
    assert "No known body part" in read_image_bytes(own).assumptions[0]
    named = read_image_bytes(own, accept=Settings(body_parts=("chest", "Bertha")))
    assert named.assumptions == read_image_bytes(dicom(levels)).assumptions


def test_a_deflated_file_is_unpacked_no_further_than_its_header_claims() -> None:
    bomb = tricks()["deflated dicom bomb"]
    assert len(bomb) < 400_000
    tracemalloc.start()
    assert claimed_pixels(bomb) == 16 * 16
    with pytest.raises(ImageError, match="unpacks to more than"):
        read_image_bytes(bomb)
    assert tracemalloc.get_traced_memory()[1] < 40 << 20
    tracemalloc.stop()


def test_a_decoder_that_panics_is_a_damaged_file(levels: np.ndarray, dicom: Dicom) -> None:
    data = dicom(levels, "1.2.840.10008.1.2.5")
    at = data.index(b"\xfe\xff\x00\xe0", data.index(b"\xe0\x7f\x10\x00") + 20) + 8
    for offset in (b"\xff\xff\xff\x7f", b"\x01\x1b\x00\x00"):
        with pytest.raises(ImageError, match="cannot be decoded"):
            read_image_bytes(data[: at + 4] + offset + data[at + 8 :])
