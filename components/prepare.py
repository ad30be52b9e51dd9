"""Prepare: a part of the images is decoded, each file once, for its checks, its hashes and the network's input."""

from kfp.dsl import Dataset, Input, Output

from components.base import component


@component
def prepare(dataset: Input[Dataset], part: str, prepare_settings: str, prepared: Output[Dataset]) -> None:
    """Decode one part of the images; however many parts there are, together they give the same bytes.

    Args:
        dataset: what ingest gave; it says where the files lie.
        part: which of how many, such as 2/4.
        prepare_settings: the settings that this step reads, as JSON.
        prepared: shards of prepared images, and what each of their files told.
    """
    from pathlib import Path

    from thorax.datasets.pack import opened
    from thorax.events import reporting
    from thorax.preprocessing.parts import prepare_part
    from thorax.steps import settings_of

    with reporting("prepare", "" if part == "1/1" else part) as report:
        settings = settings_of(prepare_settings)
        folder = opened(Path(dataset.metadata["root"]), settings.var)
        facts = prepare_part(Path(dataset.path), folder, settings, part, Path(prepared.path), report)
        prepared.metadata.update({"part": part, "images": facts["images"]})
