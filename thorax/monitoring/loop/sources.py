"""Where an installation's confirmed cases come from, and how long its dataset is left alone."""

from collections.abc import Iterator
from contextlib import contextmanager

from thorax.monitoring.loop.gather import Sources
from thorax.monitoring.loop.lock import BusyError
from thorax.settings import Settings

#: Seconds to wait for a pipeline run to end; one whose starter was killed takes a moment to notice.
_PATIENCE = 60.0
_WANTED = ["request_id", "time", "image_digest", "view", "age", "sex"]


def sources_of(settings: Settings) -> Sources | None:
    """Return where confirmed cases come from; None where the deployment keeps none, or nothing was answered yet.

    Raises:
        LogError: the prediction log cannot be reached.
    """
    import pandas as pd

    from thorax.prediction_log import archive_of, count, log_path, place_of, read_feedback
    from thorax.prediction_log.record import read_salt
    from thorax.prediction_log.streaming import stream

    folder, place = settings.monitor.confirmed_dir, place_of(settings)
    if folder is None or not count(place):
        return None
    archive = archive_of(settings)
    # A log may hold a million rows of many columns; these are the few that are needed.
    predictions = pd.concat(
        [pd.DataFrame(columns=_WANTED), *stream(place, _WANTED, archive=archive)], ignore_index=True
    )
    return Sources(
        folder=settings.at_home(folder),
        root=settings.data_root,
        predictions=predictions,
        feedback=read_feedback(place, archive=archive),
        salt=read_salt(log_path(settings.var).with_name("salt")),
        findings=settings.data.findings,
        partial=settings.data.not_mentioned == "ignore",
        words=settings.data.words,
    )


@contextmanager
def undisturbed(settings: Settings) -> Iterator[None]:
    """Keep pipeline runs from beginning, so that none reads a dataset that is being changed.

    Raises:
        BusyError: a run is under way and does not end within a minute.
    """
    from filelock import FileLock, Timeout

    path = settings.var / "pipeline.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(path, timeout=_PATIENCE):
            yield
    except Timeout as error:
        raise BusyError(f"A pipeline run is under way in {settings.var}.", "Wait for it to end.") from error
