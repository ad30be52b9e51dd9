"""What is written in DICOM radiographs as hospitals send them: labels, contrast, polarity, bits and padding.

Every variant shows the same picture, with one oddity. `source` names the public report (repository#number) of its
kind; none where it comes from the standard or from this project's own failures.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from dicom_factory import CR, SC, film, written
from pydicom.dataset import Dataset

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


def of_values(grey: np.ndarray) -> Iterator[Variant]:
    """Return the variants of a picture: uint16 (H, W) of 12 bits, even sides."""
    for make in (_labels, _windows, _tables, _polarity, _bits, _padding):
        yield from make(grey)


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
        yield Variant(f"part {text}", as_code_string(written(data)), facts=(("assumptions", ()),))
    named = film(grey, BodyPartExamined="TORAX AP", SpecificCharacterSet="ISO_IR 192")
    mistaken = written(named).replace(b"TORAX AP", b"T\xd3RAX AP")
    yield Variant("part in Latin 1, declared UTF-8", mistaken, "pydicom/pydicom#2115", facts=(("assumptions", ()),))
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


def as_code_string(file: bytes) -> bytes:
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
    pairs = grey.reshape(-1, 2)
    low, high = pairs[:, 0], pairs[:, 1]
    three = np.stack([low & 255, low >> 8 | (high & 15) << 4, high >> 4], axis=1).astype(np.uint8)
    yield Variant("12 bits packed", written(film(grey, BitsAllocated=12, PixelData=three.tobytes())))
    deep = film(grey, BitsAllocated=32, BitsStored=16, HighBit=15, PixelData=grey.astype("<u4").tobytes())
    yield Variant("16 bits of 32", written(deep))
    absurd = film(grey, BitsStored=20, HighBit=19)
    yield Variant("more bits stored than allocated", written(absurd), view=None)
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
