"""Where the figures of the latest run lie, for a person and for DVC: `var/reports`."""

import shutil
from pathlib import Path

from thorax.evaluation.exports import FILES
from thorax.files import atomic_path


def write_reports(out: Path, *, validation: Path, selection: Path, registered: Path) -> None:
    """Copy metrics, plots and pages of a run to one folder; the arguments are what the steps of those names left."""
    sources = {name: registered / "plots" / name for name in FILES}
    sources["report.html"] = registered / "bundle" / "report.html"
    sources["comparison.html"] = selection / "comparison.html"
    sources["validation.html"] = validation / "report.html"
    for name, source in sources.items():
        with atomic_path(out / name) as temporary:
            shutil.copyfile(source, temporary)
