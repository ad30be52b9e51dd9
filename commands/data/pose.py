"""`python -m commands.data.pose`: learn again how an upright chest looks and where its lungs lie; write the weights."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from commands.console import err, out

app = typer.Typer(add_completion=False)
_WEIGHTS = Path(__file__).resolve().parents[2] / "thorax" / "imaging"


@app.command()
def make_pose(
    target: Annotated[Path, typer.Option("--out", help="The folder of pose.json and lungs.json.")] = _WEIGHTS,
    phantoms: Annotated[int, typer.Option(min=10, help="Chests to render.")] = 800,
    pictures: Annotated[int, typer.Option(min=10, help="Pictures of each kind.")] = 8000,
    seed: Annotated[int, typer.Option(min=0)] = 0,
) -> None:
    """Learn from phantoms and from drawings of no chest; takes a minute or two."""
    import json

    from thorax.datasets.posing.learning import learn
    from thorax.files import write_text

    with err.status("Learning"):
        pose, lungs = learn(phantoms, pictures, seed)
    for name, found in (("pose.json", pose), ("lungs.json", lungs)):
        write_text(target / name, json.dumps(found) + "\n")
        out.print(f"{target / name}: {(target / name).stat().st_size / 1024:.1f} kB", soft_wrap=True)
    out.print("`make bench-data` says how good they are.")


if __name__ == "__main__":
    sys.exit(app())
