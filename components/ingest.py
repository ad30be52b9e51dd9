"""Ingest: a dataset folder at a revision, in whatever published layout, becomes one manifest and one box table."""

from kfp.dsl import Dataset, Output

from components.base import component


@component
def ingest(root: str, revision: str, ingest_settings: str, dataset: Output[Dataset]) -> None:
    """Read a dataset into the manifest.

    Args:
        root: the dataset's folder; where it does not hold the revision, that is fetched from DVC's remote.
        revision: DVC's digest of that folder; a new one means new work.
        ingest_settings: the settings that this step reads, as JSON.
        dataset: manifest.parquet, boxes.parquet and dataset.json.
    """
    from pathlib import Path

    from thorax.datasets.arrival import Consignment, bring
    from thorax.datasets.ingest import ingest as read
    from thorax.datasets.pack import opened
    from thorax.events import reporting
    from thorax.steps import handed_of, settings_of

    with reporting("ingest") as report:
        settings = settings_of(ingest_settings)
        folder = bring(Consignment(revision, **handed_of(ingest_settings, "data", {})), Path(root), settings.var)
        facts = read(settings.data, opened(folder, settings.var), Path(dataset.path), revision)
        dataset.metadata.update(
            {
                "root": str(folder),
                "revision": revision,
                "digest": facts["manifest_digest"],
                "images": facts["images"],
            }
        )
        report.say(f"{facts['images']:,} images of {facts['patients']:,} patients")
