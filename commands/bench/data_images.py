"""Parts of `make bench-data` that look at images: speed, memory, pose, lungs, DICOM."""

import io
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from commands.bench.figures import Figure, at_least, at_most, told
from commands.bench.watch import Peak, own_bytes

if TYPE_CHECKING:
    import numpy as np

_SIZE = 224
_ROUNDS = 5
_SUFFIXES = (".png", ".jpg", ".jpeg")


def speed(real: Path | None, scratch: Path, workers: int) -> list[Figure]:
    """Checks, hashes and preprocessing of one pass, against one process that only decodes and resizes."""
    from thorax.imaging.scan import cores

    folder = real / "nih1024" if real is not None else draw(scratch / "drawn", 32, 1024)
    files = sorted(path.absolute() for path in folder.rglob("*") if path.suffix.lower() in _SUFFIXES)
    rounds = [(_plain(files), _ours(files * 8, workers)) for _ in range(_ROUNDS)]
    # Both halves of a round ran under the same load: the median of ratios is steadier than a ratio of medians.
    ratio = sorted(ours / plain for plain, ours in rounds)[_ROUNDS // 2]
    part = f"Speed at {_SIZE} px, on {'32 drawn images' if real is None else 'nih1024'}"
    return [
        told(part, "images/s, Pillow in one process: decode and resize", sorted(r[0] for r in rounds)[_ROUNDS // 2]),
        told(part, f"images/s, {workers or cores()} processes: all", sorted(r[1] for r in rounds)[_ROUNDS // 2]),
        at_least(part, "ratio", ratio, 1.8),
    ]


def _plain(files: Sequence[Path]) -> float:
    from PIL import Image

    began = time.perf_counter()
    for file in files:
        with Image.open(file) as image:
            image.convert("L").resize((_SIZE, _SIZE), Image.Resampling.BILINEAR)
    return len(files) / (time.perf_counter() - began)


def _ours(files: Sequence[Path], workers: int) -> float:
    """Images a second from the first result on: a dataset of many images starts its processes once."""
    from thorax.imaging.scan import CHUNK, Recipe, scan

    results = scan(Path("/"), [str(file) for file in files], Recipe(_SIZE), workers)
    for _ in range(CHUNK):
        next(results)
    began = time.perf_counter()
    left = sum(1 for _ in results)
    return left / (time.perf_counter() - began)


def draw(folder: Path, count: int, side: int) -> Path:
    """Draw pictures that take a decoder as long as radiographs do: smoothed noise at two scales."""
    import numpy as np
    from PIL import Image, ImageFilter

    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    for number in range(count):
        coarse = Image.fromarray(rng.integers(0, 255, (32, 32), dtype=np.uint8))
        fine = Image.fromarray(rng.integers(96, 160, (side, side), dtype=np.uint8)).filter(ImageFilter.GaussianBlur(2))
        smooth = coarse.resize((side, side), Image.Resampling.BICUBIC)
        Image.blend(smooth, fine, 0.4).save(folder / f"{number:06}.png", compress_level=1)
    return folder


def memory(scratch: Path, count: int, workers: int) -> list[Figure]:
    """Peak memory of all processes of a pass over a thousand images, and over twenty thousand."""
    few = min(1000, max(1, count // 20))
    folder = draw(scratch / "many", 400, 192)
    peaks = {number: _peak(folder, number, workers, scratch) for number in (few, count)}
    part = "Memory of all processes (their own, without shared pages)"
    return [
        *(told(part, f"MiB at {number:,} images, peak", peak, ".0f") for number, peak in peaks.items()),
        at_most(part, "ratio (half a kB of facts an image is kept)", peaks[count] / peaks[few], 1.25),
    ]


def _peak(folder: Path, count: int, workers: int, scratch: Path) -> float:
    import multiprocessing

    context = multiprocessing.get_context("spawn")
    answer: Any = context.Queue()
    child = context.Process(target=_prepare, args=(folder, count, workers, scratch / f"shards{count}", answer))
    child.start()
    peak = float(answer.get(timeout=3600))
    child.join()
    return peak


def _prepare(folder: Path, count: int, workers: int, out: Path, answer: Any) -> None:
    """Prepare a dataset whose rows name the same few hundred files again and again, and watch all processes."""
    import pandas as pd

    from thorax.preprocessing.prepare import prepare
    from thorax.settings import Preprocess

    names = sorted(path.name for path in folder.iterdir())
    paths = [names[number % len(names)] for number in range(count)]
    manifest = pd.DataFrame({"image_id": [f"{number:07}" for number in range(count)], "path": paths, "sha256": ""})
    with Peak(own_bytes, every=0.1) as peak:
        done = prepare(manifest, folder, Preprocess(size=96, workers=workers), [out])
        assert len(done.facts) == count
    answer.put(peak.value / 2**20)


def poses(real: Path | None) -> list[Figure]:
    """How often a radiograph is rightly called upright, turned, negative; and something else no chest."""
    import numpy as np

    from thorax.datasets.posing.chests import chests
    from thorax.datasets.posing.learning import turned
    from thorax.datasets.posing.others import no_chest
    from thorax.imaging.pose import pose

    phantoms, _ = chests(150, 64, seed=70_001)
    sets = {"phantoms of another seed": [one.astype(np.float32) / 255 for one in phantoms]}
    rng = np.random.default_rng(70_002)
    others = {"drawings of no chest": [no_chest(rng, phantoms) for _ in range(500)]}
    if real is not None:
        sets |= {name: _thumbnails(real / name) for name in ("nih64", "nih256", "nih1024", "hannover", "figure1")}
        others["photographs, made grey"] = _thumbnails(real / "natural")
        others["CT, MR and a pelvis"] = [small for name, small in _rendered(real) if not name.startswith("RG1")]
    part = "Pose: share told rightly"
    found = []
    for name, pictures in sets.items():
        verdicts = [[pose(turned(picture, way)).verdict for way in range(8)] for picture in pictures]
        right = {
            "as it is": np.mean([row[0] == "upright" for row in verdicts]),
            "turned": np.mean([[verdict == "rotated" for verdict in row[1:4]] for row in verdicts]),
            "negative": np.mean([[verdict == "inverted" for verdict in row[4:]] for row in verdicts]),
        }
        for what, share in right.items():
            found.append(at_least(part, f"{name} ({len(pictures)}), {what}", float(share), 0.95, ".1%"))
    for name, pictures in others.items():
        told_of = float(np.mean([pose(picture).verdict != "upright" for picture in pictures]))
        found.append(at_least(part, f"{name} ({len(pictures)}), not taken for a chest", told_of, 0.9, ".1%"))
    return found


def _thumbnails(folder: Path) -> "list[np.ndarray]":
    from thorax.imaging import read_image

    files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in _SUFFIXES)
    small = [read_image(file).thumbnail for file in files]
    return [one for one in small if one is not None]


def lungs(real: Path | None) -> list[Figure]:
    """How well the box around the lungs fits, and whether a crop keeps them."""
    import numpy as np

    from thorax.datasets.posing.chests import chests
    from thorax.datasets.posing.learning import box_around
    from thorax.imaging.lungs import lung_box, lung_frame
    from thorax.imaging.preparation import WHOLE

    pictures, masks = chests(200, 128, seed=70_003)
    scores, kept, left = [], [], []
    for picture, mask in zip(pictures, masks, strict=True):
        pixels = picture.astype(np.float32) / 255
        scores.append(_overlap(lung_box(pixels), box_around(mask)))
        frame = lung_frame(pixels) or WHOLE
        x, y, right, bottom = frame.pixels(*mask.shape[::-1])
        kept.append(mask[y:bottom, x:right].sum() / mask.sum())
        left.append(frame.w * frame.h)
    part = "Lungs: 200 phantoms of another seed, whose lungs are known"
    found = [
        at_least(part, "IoU of the box, mean", float(np.mean(scores)), 0.85, ".3f"),
        told(part, "IoU of the box, worst of a hundred", float(np.quantile(scores, 0.01)), ".3f"),
        at_least(part, "share of the lungs that a crop keeps, mean", float(np.mean(kept)), 0.99, ".2%"),
        told(part, "share of the lungs that a crop keeps, worst", float(np.min(kept)), ".2%"),
        told(part, "share of the image that is left", float(np.mean(left)), ".0%"),
    ]
    if real is not None:
        boxes = [lung_frame(small) for small in _thumbnails(real / "nih256")]
        some = np.array([(box.x, box.y, box.w, box.h) for box in boxes if box is not None])
        name = "Lungs: nih256, where nobody drew them"
        found += [
            told(name, "share of images cropped", len(some) / len(boxes), ".1%"),
            told(name, "share of the image that is left, median", float(np.median(some[:, 2] * some[:, 3])), ".0%"),
            at_least(name, "share of the readers' boxes whose centre a crop keeps", _kept(real, boxes), 0.97, ".1%"),
        ]
    return found


def _kept(real: Path, frames: Sequence[Any]) -> float:
    """Share of the published finding boxes whose centre lies in the crop of their image."""
    import pandas as pd

    from thorax.imaging.preparation import WHOLE

    files = sorted(path.name for path in (real / "nih256").rglob("*") if path.suffix.lower() in _SUFFIXES)
    of_image = dict(zip(files, frames, strict=True))
    table = pd.read_csv(real / "nih256" / "BBox_List_2017.csv")
    name, x, y, w, h = (table.iloc[:, column] for column in (0, 2, 3, 4, 5))
    inside = []
    for image, across, down in zip(name, (x + w / 2) / 1024, (y + h / 2) / 1024, strict=True):
        if image in of_image:
            box = of_image[image] or WHOLE
            inside.append(box.x <= across <= box.x + box.w and box.y <= down <= box.y + box.h)
    return sum(inside) / max(len(inside), 1)


def _overlap(box: tuple[float, float, float, float], corners: tuple[float, float, float, float]) -> float:
    x, y, w, h = box
    left, top, right, bottom = corners
    width, height = min(x + w, right) - max(x, left), min(y + h, bottom) - max(y, top)
    both = max(width, 0.0) * max(height, 0.0)
    return both / (w * h + (right - left) * (bottom - top) - both)


def dicoms(real: Path | None) -> list[Figure]:
    """Every DICOM file: read, and how far from its reference; or refused, and why."""
    if real is None:
        return []
    import numpy as np
    import pydicom

    from thorax.errors import ImageError
    from thorax.imaging import read_image_bytes

    part = "DICOM: largest difference from the reference, in stored grey levels"
    found, levels = [], {}
    for name, data in _dicom_files(real):
        dataset = pydicom.dcmread(io.BytesIO(data), force=True)
        try:
            picture = read_image_bytes(data, name=name)
            air = float(np.quantile(picture.pixels, 0.002))
            ways = ", ".join(picture.checks) or "upright, a chest"
            fate = f"read: {picture.width} × {picture.height}, {picture.bits} bit; {ways}; air at {air:.2f}"
        except ImageError as error:
            fate = f"refused: {error.message.removeprefix(f'{name}: ')}"
        try:
            levels[name] = dataset.pixel_array.astype(np.int64)
        except (AttributeError, RuntimeError, ValueError):
            found.append(Figure(part, f"{name}, {fate} No decoder here reads its compression", "–"))
            continue
        like = next((other for other in _REFERENCES if other[:3] == name[:3] and other in levels), name)
        same = like in levels and levels[like].shape == levels[name].shape
        apart = int(np.abs(levels[name] - levels[like]).max()) if same else 0
        syntax = dataset.file_meta.TransferSyntaxUID.name
        text = f"{name} ({syntax}), {fate}"
        found.append(Figure(part, text, "is the reference" if like == name else f"{apart} of {like}", found=apart))
    return found


#: Of each picture the version that lost nothing, or the one that lost least.
_REFERENCES = ("CT1_RLE", "RG3_RLE", "MR1_UNC", "RG1_JLSN")


def _dicom_files(real: Path) -> list[tuple[str, bytes]]:
    """Every file below `dicom`, unpacked, those that references are made of first."""
    import pyarrow as pa

    files = []
    for path in sorted((real / "dicom").rglob("*")):
        if path.is_file():
            packed = path.suffix == ".zst"
            with pa.input_stream(path, compression="zstd" if packed else None) as stream:
                files.append((path.stem if packed else path.name, stream.read()))
    return sorted(files, key=lambda file: (file[0] not in _REFERENCES, file[0]))


def _rendered(real: Path) -> "list[tuple[str, np.ndarray]]":
    """The pictures of all DICOM files, whatever they show, as thumbnails."""
    import pydicom

    from thorax.errors import ImageError
    from thorax.imaging.dicom import render
    from thorax.imaging.preparation import thumbnail

    found = []
    for name, data in _dicom_files(real):
        try:
            found.append((name, thumbnail(render(pydicom.dcmread(io.BytesIO(data), force=True)))))
        except ImageError:
            continue
    return found
