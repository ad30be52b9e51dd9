"""DICOM radiographs as hospitals send them: each shows the same picture, and says where its kind was reported.

Every file is written anew from `film`, one kind of oddity each. `source` names the public report (repository#number)
of the kind; none where it comes from the standard or from this project's own failures.
"""

import base64
import io
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import UID

EXPLICIT, IMPLICIT, BIG = "1.2.840.10008.1.2.1", "1.2.840.10008.1.2", "1.2.840.10008.1.2.2"
DEFLATED, RLE, J2K = "1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.5", "1.2.840.10008.1.2.4.90"
JPEG, JPEG_LOSSLESS, JPEG_LS = "1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.70", "1.2.840.10008.1.2.4.80"
HTJ2K, JPEG_XL = "1.2.840.10008.1.2.4.201", "1.2.840.10008.1.2.4.110"
CR, DX, SC = "1.2.840.10008.5.1.4.1.1.1", "1.2.840.10008.5.1.4.1.1.1.1", "1.2.840.10008.5.1.4.1.1.7"
_FULL = 4095


@dataclass(frozen=True)
class Variant:
    """One file.

    Attributes:
        name: what is odd about it.
        data: the file.
        source: repository#number of a public report of this kind; "" where there is none.
        view: dcmj2pnm's options to render it; None where dcmtk cannot, and the plain film is what it must look like.
        refused: a pattern of the reason for which it is not read; "" where it is.
        says: a pattern of what is assumed; "" where nothing is asked.
        facts: attributes of the radiograph that must come out.
        part: rows and columns that are compared; None where all are.
    """

    name: str
    data: bytes
    source: str = ""
    view: tuple[str, ...] | None = ()
    refused: str = ""
    says: str = ""
    facts: tuple[tuple[str, Any], ...] = ()
    part: tuple[slice, slice] | None = None


def film(levels: np.ndarray, bits: int = 12, **tags: Any) -> Dataset:
    """Return a Digital X-Ray of grey levels (H, W); `tags` win, and None leaves one out."""
    data = Dataset()
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = UID(EXPLICIT)
    kind = np.int16 if levels.min() < 0 else np.uint8 if bits <= 8 else np.uint16
    given = {
        "SOPClassUID": DX,
        "SOPInstanceUID": "1.2.826.0.1.3680043.8.498.1",
        "StudyInstanceUID": "1.2.826.0.1.3680043.8.498.2",
        "SeriesInstanceUID": "1.2.826.0.1.3680043.8.498.3",
        "Modality": "DX",
        "PresentationIntentType": "FOR PRESENTATION",
        "BodyPartExamined": "CHEST",
        "ViewPosition": "PA",
        "SamplesPerPixel": 1,
        "PhotometricInterpretation": "MONOCHROME2",
        "Rows": levels.shape[-2],
        "Columns": levels.shape[-1],
        "BitsAllocated": 8 if bits <= 8 else 16,
        "BitsStored": bits,
        "HighBit": bits - 1,
        "PixelRepresentation": int(kind is np.int16),
        "PixelData": levels.astype(kind).tobytes(),
        **tags,
    }
    for keyword, value in given.items():
        if value is not None:
            setattr(data, keyword, value)
    data["PixelData"].VR = "OB" if data.get("BitsAllocated") == 8 else "OW"
    return data


def written(data: Dataset, syntax: str = "", meta: bool = True, marker: bool = True) -> bytes:
    """Return the file of a dataset.

    Args:
        data: a `film`.
        syntax: encode it so, and name it so; as the dataset says where it is not given.
        meta: with the meta information of part 10.
        marker: with its preamble.
    """
    stream = io.BytesIO()
    if syntax:
        data.file_meta.TransferSyntaxUID = UID(syntax)
    data.file_meta.MediaStorageSOPClassUID = data.get("SOPClassUID", DX)
    data.file_meta.MediaStorageSOPInstanceUID = data.get("SOPInstanceUID", "1.2.3")
    data.save_as(stream, enforce_file_format=True)
    whole = stream.getvalue()
    if not meta:
        return whole[144 + struct.unpack("<I", whole[140:144])[0] :]
    return whole if marker else whole[132:]


def variants(picture: np.ndarray) -> list[Variant]:
    """Return every variant of a picture: float (H, W) in [0, 1], even sides."""
    grey = np.rint(picture * 0.6 * _FULL + 400).astype(np.uint16)
    made = [*_labels(grey), *_windows(grey), *_tables(grey), *_polarity(grey), *_bits(grey), *_padding(grey)]
    made += [*_files(grey), *_lengths(grey), *_compressed(grey), *_colour(picture), *_refused(grey)]
    assert len({variant.name for variant in made}) == len(made)
    return made


def _labels(grey: np.ndarray) -> Iterator[Variant]:
    """Modality, body part, view, age and sex as people type them."""
    plain = written(film(grey))
    yield Variant("plain", plain, facts=(("view", "PA"), ("assumptions", ())))
    texts = {
        "CHEST_AP": None, "PORTABLE CHEST": None, "CHEST 2 VIEWS": None, "Thorax AP": None, "TÓRAX": "ISO_IR 100",
        "Brustkorb": None, "Lunge": None, "poumon": None, "THORAX^LIEGEND": None, "胸部": "ISO_IR 192",
        "грудная клетка": "ISO_IR 144", "CHESTABDOMEN": None, "klatka piersiowa": None, "흉부": "ISO_IR 192",
    }  # fmt: skip
    for text, charset in texts.items():
        tags = {"BodyPartExamined": None, "SpecificCharacterSet": charset}
        data = film(grey, **tags)
        data.add_new("BodyPartExamined", "LO", text)  # code strings hold no accents; writers put them in none the less
        yield Variant(f"part {text}", _as_code_string(written(data)), facts=(("assumptions", ()),))
    for modality in ("DR", "CR", "RG", "RF", "OT", "SC", "XA"):
        yield Variant(f"modality {modality}", written(film(grey, Modality=modality)))
    yield Variant("no modality", written(film(grey, Modality=None, SOPClassUID=CR)), says="names no modality")
    yield Variant("unknown modality", written(film(grey, Modality="RX", SOPClassUID=SC)), says="modality is unknown")
    described = {"BodyPartExamined": None, "StudyDescription": "XR CHEST PA AND LATERAL"}
    yield Variant(
        "part in the study description", written(film(grey, **described)), "MIT-LCP/mimic-code#1513", says="study desc"
    )
    region = Dataset()
    region.CodeValue, region.CodingSchemeDesignator, region.CodeMeaning = "51185008", "SCT", "Thoracic structure"
    coded = film(grey, BodyPartExamined="", AnatomicRegionSequence=[region])
    yield Variant("part in a code", written(coded), says="coded anatomic region")
    yield Variant("no part anywhere", written(film(grey, BodyPartExamined=None)), says="the picture was taken")
    wrong = film(grey, BodyPartExamined="SKULL", SeriesDescription="CHEST PA")
    yield Variant("part wrong, description right", written(wrong), says="the picture say chest")
    coded_view = Dataset()
    coded_view.CodeValue, coded_view.CodingSchemeDesignator, coded_view.CodeMeaning = "399348003", "SCT", "AP"
    views: tuple[tuple[str, dict[str, Any], str | None, str], ...] = (
        ("AP supine", {"ViewPosition": "AP SUPINE"}, "AP", ""),
        ("antero-posterior", {"ViewPosition": "ANTEROPOSTERIOR"}, "AP", ""),
        ("P.A.", {"ViewPosition": "P.A."}, "PA", ""),
        ("LL", {"ViewPosition": "LL"}, "LATERAL", ""),
        ("coded", {"ViewPosition": None, "ViewCodeSequence": [coded_view]}, "AP", "MIT-LCP/mimic-cxr#15"),
        (
            "described",
            {"ViewPosition": "", "SeriesDescription": "W033 Thorax lat."},
            "LATERAL",
            "MIT-LCP/mimic-code#1284",
        ),
        ("two described", {"ViewPosition": "", "SeriesDescription": "CHEST PA & LAT"}, None, "MIT-LCP/mimic-code#1513"),
        ("oblique", {"ViewPosition": "RAO"}, None, ""),
        ("by orientation", {"ViewPosition": None, "PatientOrientation": ["A", "F"]}, "LATERAL", ""),
    )
    for name, tags, view, source in views:
        yield Variant(f"view {name}", written(film(grey, **tags)), source, facts=(("view", view),))
    dates = {"PatientBirthDate": "19600101", "StudyDate": "20200102"}
    ages: tuple[tuple[str, dict[str, Any], float | None, str], ...] = (
        ("without unit", {"PatientAge": "42"}, 42.0, "datalad/example-dicom-structural#2"),
        ("in months", {"PatientAge": "018M"}, 1.5, "nhsx/covid-chest-imaging-database#98"),
        ("in lower case", {"PatientAge": "7y"}, 7.0, ""),
        ("of a birth date", dates, 60.0, ""),
        ("of no birth date", dates | {"PatientBirthDate": "20150001"}, None, "cornerstonejs/dicomParser#22"),
        ("impossible", {"PatientAge": "999Y"}, None, ""),
    )
    for name, tags, age, source in ages:
        yield Variant(f"age {name}", written(film(grey, **tags)), source, facts=(("age", age),))
    yield Variant("sex spelt out", written(film(grey, PatientSex="Female")), facts=(("sex", "F"),))


def _as_code_string(file: bytes) -> bytes:
    """Rename the value representation of BodyPartExamined to the one that the dictionary has."""
    return file.replace(b"\x18\x00\x15\x00LO", b"\x18\x00\x15\x00CS")


def _windows(grey: np.ndarray) -> Iterator[Variant]:
    """Windows (PS3.3 C.11.2.1.2)."""
    window = ("+Wi", "1")

    def of(name: str, source: str = "", view: tuple[str, ...] | None = window, says: str = "", **tags: Any) -> Variant:
        return Variant(f"window {name}", written(film(grey, **tags)), source, view, says=says)

    yield of("wide", WindowCenter=1800, WindowWidth=3600)
    yield of("of width 0", "fo-dicom/fo-dicom#161", says="would show nothing", WindowCenter=2000, WindowWidth=0)
    yield of("of negative width", "ivmartel/dwv#114", says="would show", WindowCenter=2000, WindowWidth=-100)
    yield of("empty", "fo-dicom/fo-dicom#161", (), WindowCenter="", WindowWidth="")
    yield of("two of them", "DIAGNijmegen/rse-panimg#5", WindowCenter=[1800, 600], WindowWidth=[3600, 300])
    yield of("more centres than widths", "Slicer/Slicer#7922", None, WindowCenter=[1800, 600], WindowWidth=3600)
    yield of("not whole", "DIAGNijmegen/rse-grand-challenge#1367", WindowCenter="1906.5", WindowWidth="3800.5")
    yield of("beyond the values", "fo-dicom/fo-dicom#752", None, "show nothing", WindowCenter=60000, WindowWidth=100)
    yield of("1/0", "dcm4che/dcm4che#1513", None, "would show nothing", WindowCenter=0, WindowWidth=1)
    yield of("sigmoid", WindowCenter=1600, WindowWidth=2400, VOILUTFunction="SIGMOID")
    exact = {"VOILUTFunction": "LINEAR_EXACT"}
    yield of("linear exact", "cornerstonejs/cornerstone3D#1717", WindowCenter=1800, WindowWidth=3600, **exact)
    yield of("empty function", "fo-dicom/fo-dicom#1915", WindowCenter=1800, WindowWidth=3600, VOILUTFunction="")
    small = {"RescaleSlope": "0.000244", "RescaleIntercept": "0"}
    yield of("narrower than 1", "Enet4/dicom-rs#826", None, WindowCenter="0.45", WindowWidth="0.9", **small)
    yield of("on a small slope", "ImageMagick/ImageMagick#477", None, **small)
    comma = written(film(grey, WindowCenter="1800.5", WindowWidth="3600.5"))
    comma = comma.replace(b"1800.5", b"1800,5").replace(b"3600.5", b"3600,5")
    yield Variant("window with decimal commas", comma, "fo-dicom/fo-dicom#1296", None)
    yield of("slope and intercept empty", "fo-dicom/fo-dicom#1975", (), RescaleSlope="", RescaleIntercept="")
    yield of("slope without intercept", "Project-MONAI/monai-deploy-app-sdk#236", (), RescaleSlope="1")
    yield of("slope 0", "OpenGATE/GateTools#68", None, RescaleSlope="0", RescaleIntercept="0")
    yield of("offset below zero", "dcm4che/dcm4che#320", (), RescaleSlope="2.059", RescaleIntercept="-32754")
    yield of("negative slope", view=(), RescaleSlope="-1", RescaleIntercept="4095")


def _lut(entries: np.ndarray, first: int, bits: int, count: int | None = None, signed: bool = False) -> Dataset:
    item = Dataset()
    size = len(entries) % 65536 if count is None else count
    item.add_new("LUTDescriptor", "SS" if signed else "US", [size, first, bits])
    item.add_new("LUTData", "OW", entries.tobytes() + b"\0" * (entries.nbytes % 2))
    return item


def _tables(grey: np.ndarray) -> Iterator[Variant]:
    """Modality and VOI look-up tables (C.11.1, C.11.2.1.1)."""
    table = ("+Wl", "1")
    curve = (np.linspace(0, 1, 4096) ** 0.8 * 4095).round().astype(np.uint16)

    def of(name: str, source: str, item: Dataset, view: tuple[str, ...] | None = table, **more: Any) -> Variant:
        tags = {"VOILUTSequence": [item], **more}
        levels = tags.pop("levels", grey)
        return Variant(f"VOI LUT {name}", written(film(levels, **tags)), source, view)

    yield of("of 12 bits", "fo-dicom/fo-dicom#949", _lut(curve, 0, 12))
    yield of("that starts late", "fo-dicom/fo-dicom#949", _lut(curve[300:], 300, 12))
    yield of("beside a window", "cornerstonejs/cornerstone#457", _lut(curve, 0, 12), WindowCenter=1, WindowWidth=9)
    full = np.minimum(np.arange(65536), 4095).astype(np.uint16)
    yield of("of 65,536 entries, written as 0", "fo-dicom/fo-dicom#1062", _lut(full, 0, 12))
    yield of("whose third value is its storage", "Enet4/dicom-rs#825", _lut(curve // 4, 0, 16))
    yield of("of 8 bits, packed", "cornerstonejs/cornerstone3D#2856", _lut((curve // 16).astype(np.uint8), 0, 8), None)
    yield of("of 8 bits, in words", "pydicom/pydicom#1073", _lut(curve // 16, 0, 8), None)
    yield of("shorter than it says", "cornerstonejs/cornerstoneWADOImageLoader#36", _lut(curve, 0, 12, 9000), None)
    signed = (grey.astype(np.int32) - 2048).astype(np.int16)
    yield of(
        "whose first value is below zero", "pydicom/pydicom#942", _lut(curve, -2048, 12, signed=True), levels=signed
    )
    unsigned = _lut(curve, 65536 - 2048, 12)
    yield of("whose first value is below zero, unsigned", "pydicom/pydicom#942", unsigned, None, levels=signed)
    high = _lut(curve, 40000 - 65536, 12, signed=True)
    above = {"levels": grey.astype(np.int64) + 40000, "BitsStored": 16, "HighBit": 15}
    yield of("whose first value is above 32,767, signed", "dcm4che/dcm4che#1521", high, None, **above)
    rise = np.arange(4096, dtype=np.uint16)
    modality = written(film(grey, ModalityLUTSequence=[_lut(rise * 16, 0, 16)]))
    yield Variant("modality LUT above 32,767", modality, "cornerstonejs/cornerstone#382")
    twelve = written(film(grey, ModalityLUTSequence=[_lut(rise, 0, 12)]))
    yield Variant("modality LUT of 12 bits", twelve, "cornerstonejs/cornerstoneWADOImageLoader#259")


def _polarity(grey: np.ndarray) -> Iterator[Variant]:
    """Which end of the grey levels is white."""
    turned = {"PhotometricInterpretation": "MONOCHROME1"}
    negative = (_FULL - grey).astype(np.uint16)
    yield Variant("MONOCHROME1", written(film(negative, **turned)), "ivmartel/dwv#222")
    windowed = film(negative, WindowCenter=_FULL - 1600, WindowWidth=3600, **turned)
    yield Variant("MONOCHROME1 with a window", written(windowed), "cornerstonejs/cornerstone3D#2215", ("+Wi", "1"))
    both = film(negative, PresentationLUTShape="INVERSE", **turned)
    yield Variant("MONOCHROME1, INVERSE", written(both), "rii-mango/Daikon#35")
    shape = film(grey, PresentationLUTShape="IDENTITY", **turned)
    yield Variant("MONOCHROME1, IDENTITY", written(shape), "nroduit/Weasis#372", says="contradicts")
    other = film(negative, PresentationLUTShape="INVERSE")
    yield Variant("MONOCHROME2, INVERSE", written(other), "dcm4che/dcm4chee-arc-light#3155", says="contradicts")
    for name, said in (("lower case", "monochrome2"), ("a blank", "MONOCHROME 2"), ("no number", "MONOCHROME")):
        view = () if name == "lower case" else None
        yield Variant(f"photometric with {name}", written(film(grey, PhotometricInterpretation=said)), view=view)
    yield Variant(
        "no photometric", written(film(grey, PhotometricInterpretation=None)), view=("+Ma",), says="black was"
    )
    unsaid = film(negative, PhotometricInterpretation="")
    yield Variant("no photometric, white is zero", written(unsaid), view=None, says="by the picture, white is")


def _bits(grey: np.ndarray) -> Iterator[Variant]:
    """Bits stored, high bit, sign (PS3.5 8.1.1)."""
    for bits in (10, 11, 13, 14, 15, 16):
        down = (grey.astype(np.int64) * (2**bits - 1) // _FULL).astype(np.uint16)
        yield Variant(f"{bits} bits", written(film(down, bits)))
    yield Variant("8 bits", written(film(grey // 16, 8)), "fo-dicom/fo-dicom#816")
    yield Variant("12 bits stored as 16", written(film(grey, 16)), "pydicom/pydicom#2073")
    shifted = film(grey << 4, HighBit=15)
    yield Variant("high bit 15 of 12", written(shifted), "fo-dicom/fo-dicom#140")
    yield Variant("overlay in the high bits", written(film(grey | 0x8000)), "pydicom/deid#201")
    noise = grey | (np.arange(grey.size).reshape(grey.shape) % 16 << 12).astype(np.uint16)
    yield Variant("noise in the high bits", written(film(noise)), "pydicom/pydicom#2066")
    low = film((grey << 4) | 9, HighBit=15)
    yield Variant("overlay in the low bits", written(low), "fo-dicom/fo-dicom#140")
    signed = (grey.astype(np.int32) - 2048).astype(np.int16)
    yield Variant("signed below zero", written(film(signed)), "pydicom/pydicom#1149")
    bare = (signed & 0x0FFF).astype(np.uint16)
    yield Variant("signed without its sign bits", written(film(bare, PixelRepresentation=1)), "pydicom/pydicom#2066")
    wrong = film(grey // 16, 8, BitsAllocated=16)
    yield Variant("one byte a pixel where two are said", written(wrong), "fo-dicom/fo-dicom#1992", None)
    missing = film(grey, BitsStored=None, HighBit=None, PixelRepresentation=None)
    yield Variant("no bits stored, no sign", written(missing), "pydicom/pydicom#1557", None)
    yield Variant("floating-point pixels", written(_float_film(grey)), "dcm4che/dcm4che#1171", None)


def _float_film(grey: np.ndarray) -> Dataset:
    data = film(grey)
    for keyword in ("PixelData", "BitsStored", "HighBit", "PixelRepresentation"):
        delattr(data, keyword)
    data.BitsAllocated = 32
    data.add_new("FloatPixelData", "OF", (grey / np.float32(_FULL) * 3.5).astype("<f4").tobytes())
    return data


def _padding(grey: np.ndarray) -> Iterator[Variant]:
    """Padding must not shift the contrast (C.7.5.1.1.2)."""
    inside = (slice(None), slice(40, None))
    bordered = grey.copy()
    bordered[:, :40] = _FULL

    def of(name: str, source: str, levels: np.ndarray, value: int, signed: bool = False, **tags: Any) -> Variant:
        data = film(levels, **tags)
        data.add_new("PixelPaddingValue", "SS" if signed else "US", value)
        return Variant(f"padding {name}", written(data), source, None, part=inside)

    yield of("white", "OHIF/Viewers#4449", bordered, _FULL)
    dark = grey.copy()
    dark[:, :40] = 0
    yield of("black", "rordenlab/dcm2niix#262", dark, 0)
    deep = np.where(np.arange(grey.shape[1]) < 40, -2000, grey.astype(np.int32)).astype(np.int16)
    signed = {"BitsStored": 16, "HighBit": 15}
    yield of("below zero", "fo-dicom/fo-dicom#406", deep, -2000, True, **signed)
    yield of("below zero, written unsigned", "fo-dicom/fo-dicom#406", deep, 63536, **signed)


def _files(grey: np.ndarray) -> Iterator[Variant]:
    """Part 10, encodings, character sets, what stands around the pixels."""
    yield Variant("implicit", written(film(grey), IMPLICIT))
    yield Variant("big-endian", written(_big(grey), BIG), "dcm4che/dcm4che#868")
    yield Variant("no preamble", written(film(grey), marker=False), "ivmartel/dwv#188")
    yield Variant("no meta, explicit", written(film(grey), meta=False), "pydicom/pydicom#217", ("-f",))
    yield Variant("no meta, implicit", written(film(grey), IMPLICIT, meta=False), "pydicom/pydicom#860", ("-f",))
    yield Variant("no meta, big-endian", written(_big(grey), BIG, meta=False), "pydicom/pydicom#217", ("-f",))
    syntax = b"\x02\x00\x10\x00UI\x14\x00" + EXPLICIT.encode() + b"\0"
    without = written(film(grey)).replace(syntax, b"")
    without = without[:140] + struct.pack("<I", struct.unpack("<I", without[140:144])[0] - len(syntax)) + without[144:]
    yield Variant("no transfer syntax", without, "vinbigdata-medical/vindr-cxr#3", None)
    odd = film(grey, SpecificCharacterSet="Not Supplied", StudyDescription="X")
    yield Variant("unknown character set", written(odd), "pydicom/pydicom#815")
    yield Variant(
        "two character sets", written(film(grey, SpecificCharacterSet=["", "GB18030"])), "pydicom/pydicom#1166"
    )
    icon = Dataset()
    for keyword in ("SamplesPerPixel", "PhotometricInterpretation", "BitsAllocated", "BitsStored", "HighBit"):
        setattr(icon, keyword, {"SamplesPerPixel": 1, "PhotometricInterpretation": "MONOCHROME2"}.get(keyword, 8))
    icon.HighBit, icon.PixelRepresentation, icon.Rows, icon.Columns = 7, 0, 64, 64
    icon.add_new("PixelData", "OB", bytes(64 * 64))
    yield Variant("icon before the picture", written(film(grey, IconImageSequence=[icon])), "scifio/scifio#368")
    purged = Dataset()
    purged.Rows = purged.Columns = 64
    yield Variant("icon without pixels", written(film(grey, IconImageSequence=[purged])), "rordenlab/dcm2niix#415")
    private = film(grey)
    block = private.private_block(0x0029, "NOBODY", create=True)
    block.add_new(0x10, "UN", b"\xfe\xff\x00\xe0\xff\xff\xff\xff")
    block.add_new(0x11, "OB", b"\x10\x00\xe0\x7f" * 64)
    yield Variant("private tags that look like pixels", written(private), "rordenlab/dcm2niix#367")
    yield Variant("long UIDs", written(film(grey, SOPInstanceUID="1." + "9" * 70)))
    rows = written(film(grey))
    rows = rows.replace(b"\x28\x00\x10\x00US", b"\x28\x00\x10\x00SS").replace(
        b"\x28\x00\x11\x00US", b"\x28\x00\x11\x00SS"
    )
    yield Variant("rows of another representation", rows, "fo-dicom/fo-dicom#1660", None)
    yield Variant("no frames", written(film(grey, NumberOfFrames=0)), "pydicom/pydicom#1844")
    frames = np.stack([grey, grey // 2, np.zeros_like(grey)])
    yield Variant(
        "three frames", written(film(frames, NumberOfFrames=3)), "cornerstonejs/dicomParser#44", says="frame 1"
    )
    second = film(frames[[1, 0, 2]], NumberOfFrames=3, RepresentativeFrameNumber=2)
    yield Variant("representative frame", written(second), view=("+F", "2"), says="3 frames; frame 2")
    short = written(film(grey, NumberOfFrames=3))
    yield Variant("fewer frames than said", short, "pydicom/pydicom#1666")
    ratio = film(grey, ImagerPixelSpacing=[0.2, 0.1])
    yield Variant(
        "pixels that are not square", written(ratio), "fo-dicom/fo-dicom#766", facts=(("pixel_spacing", (0.2, 0.1)),)
    )
    overlay = film(grey)
    for element, kind, value in ((0x10, "US", 8), (0x11, "US", 8), (0x40, "CS", "G"), (0x50, "SS", [1, 1])):
        overlay.add_new((0x6000, element), kind, value)
    overlay.add_new((0x6000, 0x0100), "US", 1)
    overlay.add_new((0x6000, 0x0102), "US", 0)
    overlay.add_new((0x6000, 0x3000), "OW", b"\xff" * 8)
    yield Variant("overlay of its own", written(overlay), "pydicom/pydicom#643", ("-O",))


def _big(grey: np.ndarray) -> Dataset:
    return film(grey, PixelData=grey.astype(">u2").tobytes())


def _lengths(grey: np.ndarray) -> Iterator[Variant]:
    """Pixel data that are longer or shorter than they should be."""
    eight = (grey // 16).astype(np.uint8)
    odd = eight[:-1, :-1]
    yield Variant("odd length without its pad", _unpadded(written(film(odd, 8)), odd.size), "pydicom/pydicom#866", None)
    longer = film(grey, PixelData=grey.tobytes() + b"\0" * 514)
    yield Variant("longer than the picture", written(longer), "pydicom/pydicom#801")
    shorter = written(film(eight, 8))[:-1]
    last = (slice(0, -1), slice(None))
    yield Variant("short by one byte", shorter, "imi-bigpicture/wsidicom#174", None, says="last 1 bytes", part=last)
    row = film(grey, PixelData=grey.tobytes()[: -grey.shape[1] * 2])
    yield Variant("short by a row", written(row), "okieraised/go2com#12", None, says="are missing", part=last)


def _unpadded(file: bytes, size: int) -> bytes:
    """Take the pad byte off the pixel data at the end, and say so in its length."""
    head = file[: -size - 1]
    return head[:-4] + struct.pack("<I", size) + file[-size - 1 : -1]


def _encapsulated(levels: np.ndarray, syntax: str, bits: int = 12, **tags: Any) -> Dataset:
    data = film(levels, bits, **tags)
    data.compress(UID(syntax), generate_instance_uid=False)
    return data


def _compressed(grey: np.ndarray) -> Iterator[Variant]:
    """Compressed transfer syntaxes, true and false."""
    from PIL import Image

    for name, syntax in (("RLE", RLE), ("JPEG 2000", J2K), ("JPEG-LS", JPEG_LS)):
        yield Variant(name, written(_encapsulated(grey, syntax)), view=None if syntax != RLE else ())
    signed = (grey.astype(np.int32) - 2048).astype(np.int16)
    yield Variant("JPEG-LS, signed", written(_encapsulated(signed, JPEG_LS)), "pydicom/pydicom#2009", None)
    yield Variant("JPEG 2000, signed", written(_encapsulated(signed, J2K)), "pydicom/pydicom#1149", None)
    whole = _encapsulated(grey, J2K)
    frame = bytes(whole.PixelData)
    stream = io.BytesIO()
    eight = (grey // 16).astype(np.uint8)
    Image.fromarray(eight).save(stream, "JPEG", quality=95)

    def jpeg(syntax: str, fragments: int = 1) -> Dataset:
        data = film(eight, 8, PixelData=encapsulate([stream.getvalue()], fragments_per_frame=fragments))
        data.file_meta.TransferSyntaxUID = UID(syntax)
        data["PixelData"].is_undefined_length = True
        return data

    yield Variant("JPEG baseline", written(jpeg(JPEG)))
    yield Variant("JPEG in four fragments", written(jpeg(JPEG, 4)), "rordenlab/dcm2niix#1017")
    lossless = written(jpeg(JPEG_LOSSLESS))
    yield Variant("JPEG baseline declared lossless", lossless, "rii-mango/JPEGLosslessDecoderJS#14", None)
    lying = written(whole).replace(J2K.encode() + b"\0" * (len(J2K) % 2), EXPLICIT.encode() + b"\0" * 3)
    assert frame in lying
    yield Variant("JPEG 2000 declared uncompressed", lying, "dcm4che/dcm4che#908", None)
    raw = written(film(grey))
    raw = raw.replace(EXPLICIT.encode() + b"\0", (RLE.encode() + b"\0" * 20)[: len(EXPLICIT) + 1])
    yield Variant("uncompressed declared RLE", raw, "pydicom/pydicom#796", None)
    yield Variant("deflated", _deflated(film(grey)), "nroduit/weasis-dicom-tools#37")
    sequence = Dataset()
    sequence.CodeValue = "1"
    nested = film(grey, ProcedureCodeSequence=[sequence])
    yield Variant("deflated with a sequence", _deflated(nested), "fo-dicom/fo-dicom#1097")
    bomb = _deflated(film(grey), b"\0" * (40 << 20))
    yield Variant("deflated bomb", bomb, view=None, refused="unpacks to more than")
    ht = film(np.zeros((32, 32), np.uint16), PixelData=encapsulate([base64.b85decode(HTJ2K_STREAM)]))
    ht.file_meta.TransferSyntaxUID = UID(HTJ2K)
    ht["PixelData"].is_undefined_length = True
    yield Variant("HTJ2K", written(ht), "fo-dicom/fo-dicom#1768", None, facts=(("width", 32),))
    xl = film(grey, PixelData=encapsulate([b"\xff\x0a" + bytes(64)]))
    xl.file_meta.TransferSyntaxUID = UID(HTJ2K)
    xl["PixelData"].is_undefined_length = True
    named = written(xl).replace(HTJ2K.encode(), JPEG_XL.encode())
    yield Variant("JPEG XL", named, "cornerstonejs/cornerstone3D#2650", None, "no decoder here reads JPEG XL")


def ht_picture() -> np.ndarray:
    """What `HTJ2K_STREAM` holds: 12 bit, (32, 32)."""
    y, x = np.mgrid[:32, :32]
    return (2000 + 60 * (x - 16) - 40 * (y - 16) + ((x // 8 + y // 8) % 2) * 300).astype(np.uint16)


def _deflated(data: Dataset, behind: bytes = b"") -> bytes:
    """Return a deflated file (PS3.5 A.5), with bytes behind the pixels."""
    plain = written(data)
    start = 144 + struct.unpack("<I", plain[140:144])[0]
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    body = packer.compress(plain[start:] + behind) + packer.flush()
    named = plain[:start].replace(EXPLICIT.encode() + b"\0", DEFLATED.encode())
    grown = len(named) - start
    length = struct.unpack("<I", plain[140:144])[0] + grown
    named = named[:140] + struct.pack("<I", length) + named[144:]
    place = named.index(b"\x02\x00\x10\x00UI") + 6
    named = named[:place] + struct.pack("<H", len(DEFLATED)) + named[place + 2 :]
    return named + body


def _colour(picture: np.ndarray) -> Iterator[Variant]:
    """Secondary captures and screenshots."""
    eight = np.rint(picture * 150 + 25).astype(np.uint8)
    rgb = np.stack([eight] * 3, axis=-1)

    def of(
        name: str, source: str, pixels: np.ndarray, photometric: str, view: tuple[str, ...] | None = (), **more: Any
    ) -> Variant:
        tags = {
            "SamplesPerPixel": 3,
            "PhotometricInterpretation": photometric,
            "PlanarConfiguration": 0,
            "Modality": "OT",
        }
        data = film(eight, 8, SOPClassUID=SC, **(tags | more | {"PixelData": pixels.tobytes()}))
        return Variant(f"colour {name}", written(data), source, view, facts=(("checks", {}),))

    yield of("RGB", "", rgb, "RGB")
    yield of("RGB in planes", "ivmartel/dwv#31", np.moveaxis(rgb, -1, 0), "RGB", PlanarConfiguration=1)
    chroma = np.full_like(eight, 128)
    ybr = np.stack([eight, chroma, chroma], axis=-1)
    yield of("YBR", "pydicom/pydicom#2210", ybr, "YBR_FULL")
    yield of("YBR in planes", "dgobbi/vtk-dicom#91", np.moveaxis(ybr, -1, 0), "YBR_FULL", PlanarConfiguration=1)
    half = np.stack([eight[:, 0::2], eight[:, 1::2], chroma[:, ::2], chroma[:, ::2]], axis=-1)
    yield of("YBR 4:2:2", "fo-dicom/fo-dicom#1049", half, "YBR_FULL_422")
    yield of("YBR 4:2:2 that is RGB", "cornerstonejs/cornerstone3D#829", rgb, "YBR_FULL_422", None)

    def palette(
        name: str, source: str, levels: np.ndarray, entries: np.ndarray, bits: int, count: int, view: Any = ()
    ) -> Variant:
        data = film(levels, 8 if levels.dtype == np.uint8 else 16, PhotometricInterpretation="PALETTE COLOR")
        for hue in ("Red", "Green", "Blue"):
            data.add_new(f"{hue}PaletteColorLookupTableDescriptor", "US", [count, 0, bits])
            data.add_new(f"{hue}PaletteColorLookupTableData", "OW", entries.tobytes())
        return Variant(f"palette {name}", written(data), source, view, facts=(("checks", {}),))

    rise = np.arange(256)
    yield palette("of 16 bits", "fo-dicom/fo-dicom#817", eight, (rise * 257).astype(np.uint16), 16, 256)
    yield palette("of 8 bits", "ImagingDataCommons/slim#173", eight, rise.astype(np.uint8), 8, 256)
    said = "cornerstonejs/cornerstoneWADOImageLoader#138"
    yield palette("of 16 bits, said to be 8", said, eight, (rise * 257).astype(np.uint16), 8, 256, None)
    long = np.arange(65536, dtype=np.uint16)
    sixteen = eight.astype(np.uint16) * 257
    yield palette("of 65,536 entries", "OHIF/Viewers#2366", sixteen, long, 16, 0)
    extra = film(eight, 8)
    for hue in ("Red", "Green", "Blue"):
        extra.add_new(f"{hue}PaletteColorLookupTableDescriptor", "US", [256, 0, 8])
        extra.add_new(f"{hue}PaletteColorLookupTableData", "OW", bytes(256))
    unused = "cornerstonejs/cornerstoneWADOImageLoader#117"
    yield Variant("palette beside grey levels", written(extra), unused)


def _refused(grey: np.ndarray) -> Iterator[Variant]:
    """What a viewer's user would not expect to be read as a chest radiograph."""
    for modality, words in (("CT", "computed tomography"), ("MR", "magnetic resonance"), ("US", "ultrasound")):
        yield Variant(f"refused {modality}", written(film(grey, Modality=modality)), refused=words)
    yield Variant("refused mammogram", written(film(grey, Modality="MG")), refused="mammography")
    for part in ("HAND", "Schädel", "RODILLA", "таз", "膝関節", "ABDOMEN", "L-SPINE"):
        data = film(grey, BodyPartExamined=None, SpecificCharacterSet="ISO_IR 192")
        data.add_new("BodyPartExamined", "LO", part)
        yield Variant(f"refused {part}", _as_code_string(written(data)), refused="body part")
    raw = film(grey, PresentationIntentType="FOR PROCESSING")
    yield Variant(
        "refused for processing", written(raw), "nyukat/breast_cancer_classifier#17", refused="raw detector data"
    )
    report = film(grey, PixelData=b"", SOPClassUID="1.2.840.10008.5.1.4.1.1.88.11", Modality="SR")
    yield Variant("refused report", written(report), refused="structured report")
    empty = film(grey)
    del empty.PixelData
    yield Variant("refused without pixels", written(empty), "dgobbi/vtk-dicom#41", refused="holds no pixels")


#: A codestream of High-Throughput JPEG 2000 (ISO/IEC 15444-15), lossless, base 85: `ht_picture`.
HTJ2K_STREAM = (
    b"|4;u>04YEK0000W0000W00000000000000W0000W0000000000009pH0sl|{2mk^A000XAQUDA90ssL31q1{@0smY86Cj9?kdTm&kdTm"
    b"&kdTmwh=~7W02crOPjF>!N>E53R%LP^FfKASE;BCwkN^q*00002ng9X+lfVEbU+@J7bO68r6F>kHKmZbe-uMFtbO2}l0*7<}%>f5=0Kf"
    b"nhFaQNi00B}|tw0Y90YbC@R$Hv_?g0k00PO<zJ@x?uGyuQ=7Q_GnY(M}O$kky%`Bnv-MC2JSVtp7MIPxzuh(KzW0Mki<^(`ax-mCQScD"
    b"%U5uJb4~fIumi06i^B9#EM8sA!c%5r{UxnX@YfEJPqPmjJ*37p6b}7o@-d7i>?jBrZ^}B`;5}BrXgLrn(U^r?(O?rn(U^3=F5Y5-_H^5"
    b"izH?5-<!5rd$yvr&$strd$yv3=9BgOO$-+a*v%ZQNj=wSRnyobOBFWQFTvqQME{*U|=IoUvec-VRR!-OR`FyURotkVRR!-Uvec-O|(d6"
    b"VP+#{UuGp{VP+#{OJ)EX<t|bAOO$Yg3~>lR$58=$D0(S-NJVcT<z$ZlMMZBQ<z$ZlMMZBQ<z$ZlMGc$~sQdvgz!r|_a*uSmM+OIR2tYT"
    b"}0l)w+X@CG<K|la5gexm5Dl03ty;7%Qw^C=@;40rM;3~GQVz*MKVrSdmE8r^ME4IB-r((BKXWQT^-z(rMwymPFvZA75+lR_>oTn-2%yS"
    b"&arzy&Eo}9-q%zAR1rzz>oa~#K~Davx3Ah;MV1`C0LeF7_2R_ef2RP4T2R_ef2R8&-|sMvk4tki+4sMvk4tgNhDS*Zh8QL+18S*Zh8QB"
    b"iq5&+|Ob^E}V<JkRs`00=<$>>&f+u!IkO!Vo={001$8?>NQ>yyF-i^Ne77EC2vw1Kx3r4|&EgJ?9v}_E-P_#s|FP7#{PCV0+Fnf$X&eD"
    b"=I50D=I50EBpoqkH7;33=}X>0|g8eFi-;p3=}X}0sq+"
)
