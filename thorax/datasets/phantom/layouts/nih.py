"""NIH ChestX-ray14's published layout (Wang et al. 2017, CVPR; the v2020 label table)."""

import csv
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from thorax.datasets.phantom.layouts.base import SYNTHETIC, Layout, Record
from thorax.datasets.phantom.population import Case
from thorax.files import atomic_path
from thorax.findings import NIH14, NO_FINDING, SUPPORT_DEVICES

LABELS = "Data_Entry_2017_v2020.csv"
BOXES = "BBox_List_2017.csv"
TRAIN, TEST = "train_val_list.txt", "test_list.txt"
LABEL_HEADER = (
    "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View Position,"
    "OriginalImage[Width,Height],OriginalImagePixelSpacing[x,y]"
)
BOX_HEADER = "Image Index,Finding Label,Bbox [x,y,w,h],,,"

#: Boxes are published in pixels of images of this size, whatever the size of the files at hand.
BOX_PIXELS = 1024

#: Width of the field of view in millimetres, to give the pixels a spacing (a 43 cm detector, the usual one).
FIELD_MM = 430.0

#: Up to here all images lie in `images/`; beyond it in `images_001/images/` and so on, as in the published archives.
PER_FOLDER = 10_000


class NihLayout(Layout):
    """`images/`, the label table, the box table (of every image, not of a subset as published) and the two lists."""

    suffix = ".png"
    tables = (LABELS, BOXES, TRAIN, TEST)

    def image_id(self, case: Case) -> str:
        """Return `00000013_005.png`: patient 13, follow-up 5."""
        return f"{case.patient:08d}_{case.follow_up:03d}{self.suffix}"

    def path(self, case: Case) -> str:
        """Return the path in `images/`, or in `images_NNN/images/` of large datasets."""
        folder = "images"
        if self.recipe.count > PER_FOLDER:
            folder = f"images_{case.index // PER_FOLDER + 1:03d}/images"
        return f"{folder}/{self.image_id(case)}"

    def write_image(self, path: Path, case: Case, pixels: np.ndarray, image8: np.ndarray) -> None:
        """Write an 8-bit grey PNG whose text says that it is synthetic."""
        from PIL import Image, PngImagePlugin

        text = PngImagePlugin.PngInfo()
        text.add_text("Description", SYNTHETIC)
        Image.fromarray(image8).save(path, format="PNG", pnginfo=text, compress_level=1)

    def published(self, case: Case) -> dict[str, float]:
        """Return 1 or 0 of NIH's fourteen and `No_Finding`; NIH's labels know no support devices."""
        labels = {name: float(case.labels.get(name, False)) for name in NIH14}
        return labels | {NO_FINDING: float(not any(labels.values()))}

    def write_tables(self, folder: Path, rows: Iterable[tuple[Case, Record]]) -> None:
        """Write the four tables at once, a row an image."""
        with ExitStack() as stack:
            paths = [stack.enter_context(atomic_path(folder / name)) for name in self.tables]
            streams = [stack.enter_context(path.open("w", encoding="utf-8", newline="")) for path in paths]
            labels, boxes = (csv.writer(stream, lineterminator="\n") for stream in streams[:2])
            streams[0].write(LABEL_HEADER + "\n")
            streams[1].write(BOX_HEADER + "\n")
            for case, record in rows:
                labels.writerow(self._label_row(case))
                boxes.writerows(self._box_rows(case, record))
                streams[3 if case.test else 2].write(self.image_id(case) + "\n")
            for stream in streams:
                stream.close()  # before the files move into place

    def _label_row(self, case: Case) -> tuple:
        said = [name for name, value in self.published(case).items() if value == 1]
        spacing = round(FIELD_MM / self.recipe.size, 3)
        size = self.recipe.size
        return (
            self.image_id(case),
            "|".join("No Finding" if name == NO_FINDING else name for name in sorted(said)),
            case.follow_up,
            case.patient,
            int(case.subject.age),
            case.subject.sex,
            case.subject.view,
            size,
            size,
            spacing,
            spacing,
        )

    def _box_rows(self, case: Case, record: Record) -> list[tuple]:
        """Give the boxes of findings that are present and labelled; the box table alone spells `Infiltrate`."""
        return [
            (
                self.image_id(case),
                "Infiltrate" if finding == "Infiltration" else finding,
                *(repr(round(value * BOX_PIXELS, 6)) for value in box),
            )
            for finding, box in record.boxes.items()
            if finding != SUPPORT_DEVICES and case.labels.get(finding, False)
        ]
