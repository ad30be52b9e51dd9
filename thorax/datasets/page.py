"""The page that shows a dataset to a person: one HTML file that opens with no network."""

import base64
from pathlib import Path
from typing import Any

from thorax import __version__
from thorax.datasets import figures
from thorax.datasets.dataset import Dataset
from thorax.settings import Data

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
    facts = [
        ("Images", f"{len(manifest):,}"),
        ("Patients", f"{manifest['patient_id'].nunique():,}"),
        ("Boxes", f"{len(boxes):,}"),
        ("Published findings", len(counts)),
        ("Revision", revision[:12] or "not versioned"),
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
    drawn = [
        ("Prevalence", [(figures.prevalence(manifest, data.findings), "share of images with each finding")]),
        (
            "Who was X-rayed, and how",
            [
                (figures.ages(manifest), "ages by sex"),
                (figures.views(manifest), "images by view"),
                (figures.images_a_patient(manifest), "patients by number of images"),
                (figures.sizes(manifest), "images by size in pixels"),
            ],
        ),
        ("Findings seen together", [(figures.cooccurrence(manifest), "co-occurrence of findings, in per cent")]),
        (
            "Samples, with the boxes that were published",
            [(figures.samples(manifest, boxes, root, data.findings), "sample radiographs with boxes")],
        ),
    ]
    return [
        {
            "title": title,
            "figures": [{"alt": alt, "png": base64.b64encode(figures.png(figure)).decode()} for figure, alt in content],
        }
        for title, content in drawn
    ]
