"""What a search found: a table, and a file of settings to go on with."""

from pathlib import Path
from typing import Any

from commands.console import out, table


def result_of(study: Any, architecture: str, name: str) -> dict[str, Any]:
    """Return what a study holds: study, architecture, counts of trials by their end, and the ten best."""
    from thorax.training.search import best_trials, counts

    return {"study": name, "architecture": architecture, "trials": counts(study), "best": best_trials(study)}


def write_override(file: Path, architecture: str, name: str, best: dict[str, Any]) -> None:
    """Write the best trial's settings as a preset."""
    import yaml

    from thorax.files import write_text

    recipe: dict[str, Any] = {"architectures": [architecture], "overrides": {}}
    for path, value in best["values"].items():
        *sections, key = path.split(".")
        branch = recipe
        for section in sections:
            branch = branch.setdefault(section, {})
        branch[key] = float(f"{value:.4g}") if isinstance(value, float) else value
    told = f"# {architecture}, trial {best['number']} of the search {name}: validation AUROC {best['score']:.4f}\n"
    write_text(file, told + yaml.safe_dump({"train": recipe}, sort_keys=False))


def show(result: dict[str, Any], saved: str | None) -> None:
    """Print the best trials, and how to use the best one."""
    counted = ", ".join(f"{count} {kind}" for kind, count in result["trials"].items() if count)
    if not result["best"]:
        out.print(f"No trial of {result['study']} is complete yet ({counted or 'none begun'}).")
        return
    columns = ("trial", "AUROC", "seconds", *result["best"][0]["values"])
    rows = [
        (
            str(trial["number"]),
            f"{trial['score']:.4f}",
            "" if trial["seconds"] is None else f"{trial['seconds']:.0f}",
            *(f"{value:.3g}" if isinstance(value, float) else str(value) for value in trial["values"].values()),
        )
        for trial in result["best"]
    ]
    title = f"{result['study']}: {result['architecture']}, {counted}; the best by validation AUROC"
    table(title, columns, rows, right=columns[:3])
    out.print(f"The best one's settings: {result['override']}", soft_wrap=True)
    use = f"--preset {saved}" if saved else "--preset NAME, once it is kept with `thorax tune --save NAME`"
    out.print(f"Use them: [cyan]thorax pipeline run {use}[/]", soft_wrap=True)
