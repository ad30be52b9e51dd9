"""A part of a dataset's images, as one of several machines prepares it."""

import json
from pathlib import Path
from typing import Any

import pandas as pd

from thorax.errors import InputError, ThoraxError
from thorax.events import Reporter
from thorax.files import write_json
from thorax.manifest import read_manifest
from thorax.preprocessing.prepare import pieces, prepare, prepared_folder, prune
from thorax.settings import Settings

#: How many unreadable images are named where the step is followed; the gate lists them all.
_NAMED = 5


def prepare_part(
    manifest_dir: Path, root: Path, settings: Settings, part: str, out: Path, report: Reporter
) -> dict[str, Any]:
    """Prepare one part of a dataset's images.

    Args:
        manifest_dir: what ingest wrote.
        root: the dataset's folder.
        settings: `preprocess`, and `paths`, below which prepared images wait for whoever asks next.
        part: its name.
        out: gets the part's shards and `part.json`.
        report: how the step tells what it does.

    Returns:
        What `part.json` holds: the part, its images, its shards, and the reason for each image that cannot be read.

    Raises:
        InputError: that is no part.
        RoomError: the disk is, or would be, full.
        ThoraxError: any refusal names the part and its images.
    """
    number, count = _parse(part)
    manifest = read_manifest(manifest_dir / "manifest.parquet")
    mine = pieces(manifest, settings.preprocess, (number, count))
    told = _told(part, mine)
    report.say(told)
    cache = prepared_folder(settings)
    advance = report.advancer(sum(map(len, mine)), "looking")
    try:
        done = prepare(manifest, root, settings.preprocess, [cache], (number, count), advance)
        done.share(out)
    except ThoraxError as error:
        raise type(error)(f"{told}: {error.message}", error.mend) from error
    reasons = {
        row.image_id: row.reason for shard in done.shards for row in shard.facts.itertuples() if row.reason != ""
    }
    facts = {
        "part": part,
        "images": sum(map(len, mine)),
        "shards": [shard.file.name for shard in done.shards],
        "unreadable": reasons,
    }
    write_json(out / "part.json", facts)
    prune(cache)
    if reasons:
        named = "; ".join(list(reasons.values())[:_NAMED])
        report.warn(f"{len(reasons)} images cannot be read: {named}{' …' if len(reasons) > _NAMED else ''}")
    return facts


def _parse(part: str) -> tuple[int, int]:
    """Return number, from 0, and count of a part.

    >>> _parse("2/4")
    (1, 4)
    """
    number, sign, count = part.partition("/")
    if not (sign and number.isdigit() and count.isdigit() and 1 <= int(number) <= int(count)):
        raise InputError(f"{json.dumps(part)} is no part.", "Write 2/4 for the second of four.")
    return int(number) - 1, int(count)


def _told(part: str, mine: list[pd.DataFrame]) -> str:
    """Name a part and its images."""
    spans = [f"{piece['image_id'].iloc[0]} to {piece['image_id'].iloc[-1]}" for piece in mine]
    listed = ", ".join(spans[:_NAMED]) + (f", and {len(spans) - _NAMED} shards more" if len(spans) > _NAMED else "")
    whole = sum(map(len, mine))
    return f"part {part}, {whole:,} images ({listed})" if whole else f"part {part}, no image"
