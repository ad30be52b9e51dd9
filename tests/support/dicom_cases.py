"""How DICOM radiographs are packed as hospitals send them: files, encodings, compression, colour; what is refused."""

import base64
import io
import struct
import zlib
from collections.abc import Iterator
from typing import Any

import numpy as np
from dicom_factory import (
    BIG,
    DEFLATED,
    EXPLICIT,
    HTJ2K,
    IMPLICIT,
    J2K,
    JPEG,
    JPEG_LOSSLESS,
    JPEG_LS,
    JPEG_XL,
    RLE,
    SC,
    film,
    written,
)
from dicom_variants import Variant, as_code_string, of_values
from PIL import Image
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.uid import UID


def variants(picture: np.ndarray) -> list[Variant]:
    """Return every variant of a picture: float (H, W) in [0, 1], even sides."""
    grey = np.rint(picture * 0.6 * 4095 + 400).astype(np.uint16)
    made = [*of_values(grey), *_files(grey), *_lengths(grey), *_compressed(grey), *_colour(picture), *_refused(grey)]
    assert len({variant.name for variant in made}) == len(made)
    return made


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
    several = film(grey, BodyPartExamined=["HAND", "CHEST"], Modality=["DX", "CR"])
    yield Variant("several values where one belongs", written(several))
    unknown = film(grey)
    unknown["PixelData"].VR = "UN"
    yield Variant("pixels of unknown representation", written(unknown), "fo-dicom/fo-dicom#1660", None)
    behind = film(grey)
    behind.add_new((0xFFFC, 0xFFFC), "OB", bytes(200))
    yield Variant("trailing padding", written(behind))
    whole = written(film(grey))
    start = 144 + struct.unpack("<I", whole[140:144])[0]
    lengths = whole[:start] + b"\x08\x00\x00\x00UL\x04\x00\x07\x00\x00\x00" + whole[start:]
    yield Variant("wrong group length", lengths, "fo-dicom/fo-dicom#1941")
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

    jpeg = io.BytesIO()
    Image.fromarray(rgb).save(jpeg, "JPEG", quality=95)
    for photometric in ("YBR_FULL_422", "RGB"):
        tags = {"SamplesPerPixel": 3, "PhotometricInterpretation": photometric, "PlanarConfiguration": 0}
        data = film(eight, 8, SOPClassUID=SC, **tags, PixelData=encapsulate([jpeg.getvalue()]))
        data.file_meta.TransferSyntaxUID = UID(JPEG)
        data["PixelData"].is_undefined_length = True
        yield Variant(f"colour JPEG, {photometric}", written(data), "Efferent-Health/fo-dicom.Codecs#1")

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
    endoscopy = film(grey, Modality="ES", SOPClassUID="1.2.840.10008.5.1.4.1.1.77.1.1")
    yield Variant("refused endoscopy", written(endoscopy), refused="modality ES")
    yield Variant("refused mammogram", written(film(grey, Modality="MG")), refused="mammography")
    for part in ("HAND", "Schädel", "RODILLA", "таз", "膝関節", "ABDOMEN", "L-SPINE"):
        data = film(grey, BodyPartExamined=None, SpecificCharacterSet="ISO_IR 192")
        data.add_new("BodyPartExamined", "LO", part)
        yield Variant(f"refused {part}", as_code_string(written(data)), refused="body part")
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
