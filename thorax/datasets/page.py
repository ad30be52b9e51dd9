"""The page that shows a dataset to a person: one HTML file that opens with no network."""

import base64
from pathlib import Path
from typing import TYPE_CHECKING, Any

from thorax import __version__
from thorax.datasets import figures
from thorax.datasets.dataset import Dataset
from thorax.settings import Data

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: px of the page an inch of a figure, and from which width on it would be too small on a telephone.
_PX, _WIDE = 96, 600
_NAMES = {"nih": "NIH ChestX-ray14", "chexpert": "CheXpert", "phantom": "Phantoms", "table": "Own table"}
_WARNINGS = {
    "missing_images": "images that the table lists are not on disk and were left out",
    "unreadable_headers": "images have a header that cannot be read",
    "unlisted_images": "images on disk are not in the table and were left out",
    "boxes_of_unlisted_images": "boxes belong to images that the table does not list and were left out",
}


def dataset_page(dataset: Dataset, root: Path, data: Data, revision: str = "") -> str:
    """Draw a dataset as one self-contained HTML page.

    Args:
        dataset: as `thorax.datasets.ingest.load` gives it.
        root: the dataset's folder, for the sheet of samples.
        data: which findings are chosen.
        revision: the data revision, to be told.
    """
    from jinja2 import Environment, PackageLoader

    manifest, boxes = dataset.manifest, dataset.boxes
    counts = figures.label_counts(manifest)
    columns = ("present", "absent", "uncertain", "not mentioned", "prevalence")
    rows = [
        (name.replace("_", " "), [*(f"{int(value):,}" for value in row[:-1]), f"{row[-1]:.2%}"])
        for name, row in zip(counts.index, counts.to_numpy(), strict=True)
    ]
    sizes = manifest[["width", "height"]].drop_duplicates()
    facts = [
        ("Images", f"{len(manifest):,}"),
        ("Patients", f"{manifest['patient_id'].nunique():,}"),
        ("Boxes", f"{len(boxes):,}"),
        ("Published findings", len(counts)),
        ("Sizes, px", f"{sizes.iloc[0, 0]} × {sizes.iloc[0, 1]}" if len(sizes) == 1 else f"{len(sizes):,} different"),
        ("Revision", revision[:8] or "not versioned"),
    ]
    template = Environment(loader=PackageLoader("thorax.datasets", "."), autoescape=True).get_template("page.html")
    return template.render(
        title=f"{_NAMES[data.source]}: the dataset",
        root=root,
        synthetic=dataset.synthetic,
        warnings=[f"{dataset.notes[key]:,} {text}." for key, text in _WARNINGS.items() if dataset.notes.get(key)],
        facts=facts,
        sections=_sections(dataset, root, data),
        columns=columns,
        rows=rows,
        version=__version__,
    )


def _sections(dataset: Dataset, root: Path, data: Data) -> list[dict[str, Any]]:
    manifest, boxes = dataset.manifest, dataset.boxes
    sizes = manifest[["width", "height"]].drop_duplicates()
    drawn = [
        ("Prevalence", [(figures.prevalence(manifest, data.findings), "share of images with each finding")]),
        (
            "Who was X-rayed, and how",
            [
                (figures.ages(manifest), "ages by sex"),
                (figures.views(manifest), "images by view"),
                (figures.images_a_patient(manifest), "patients by number of images"),
                *([(figures.sizes(manifest), "images by size in pixels")] if len(sizes) > 1 else []),
            ],
        ),
        ("Findings seen together", [(figures.cooccurrence(manifest), "co-occurrence of findings, in per cent")]),
        (
            "Samples, with the boxes that were published",
            [(figures.samples(manifest, boxes, root, data.findings), "sample radiographs with boxes")],
        ),
    ]
    return [{"title": title, "figures": [_embedded(*one) for one in content]} for title, content in drawn]


def _embedded(figure: "Figure", alt: str) -> dict[str, Any]:
    """Return a figure as the page holds it; a wide one is scrolled on a narrow screen, so that it can be read."""
    width = round(figure.get_figwidth() * _PX)
    return {"alt": alt, "png": base64.b64encode(figures.png(figure)).decode(), "width": width, "wide": width > _WIDE}
