"""Preprocess: patients are split, and the images that passed become the store that a network reads."""

from kfp.dsl import Artifact, Dataset, Input, Output

from components.base import component


@component
def preprocess(
    dataset: Input[Dataset],
    prepared: Input[list[Dataset]],
    validation: Input[Artifact],
    preprocess_settings: str,
    store: Output[Dataset],
) -> None:
    """Build the image store.

    Args:
        dataset: what ingest gave; it says where the files lie.
        prepared: what prepare gave, one a part: the store is made of these shards.
        validation: what validate gave; nothing is built from data that did not pass.
        preprocess_settings: the settings that this step reads, as JSON.
        store: shards of uint8 images, a row an image, splits and targets.
    """
    from pathlib import Path

    from thorax.datasets.pack import opened
    from thorax.events import reporting
    from thorax.preprocessing import build_store
    from thorax.preprocessing.prepare import prepared_folder
    from thorax.steps import settings_of

    with reporting("preprocess") as report:
        settings = settings_of(preprocess_settings)
        facts = build_store(
            settings.data,
            settings.split,
            settings.preprocess,
            Path(dataset.path),
            opened(Path(dataset.metadata["root"]), settings.var),
            Path(store.path),
            report.advancer(int(dataset.metadata["images"])),
            prepared=[prepared_folder(settings), *(Path(part.path) for part in prepared)],
        )
        store.metadata.update({"count": facts["count"], "split": facts["split_digest"]})
        report.say(f"{facts['count']:,} images of {facts['size']}×{facts['size']} px")
