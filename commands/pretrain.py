"""`thorax pretrain`: starting weights from phantoms, for when there are few radiographs and no published weights."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from commands.console import err, out, print_json, progress
from commands.stores import built_store

if TYPE_CHECKING:
    from thorax.settings import Settings


def pretrain(
    architecture: Annotated[list[str] | None, typer.Option(help="Repeatable. [default: train.architectures]")] = None,
    count: Annotated[int, typer.Option(min=100, help="Number of phantoms.")] = 6000,
    size: Annotated[int, typer.Option(min=0, help="Image side, px; 0 takes the preset's.")] = 0,
    seed: Annotated[int, typer.Option(min=0, help="Random seed of the phantoms.")] = 4242,
    preset: Annotated[str, typer.Option(help="The recipe: a file under presets/.")] = "pretrain",
    set_: Annotated[list[str] | None, typer.Option("--set", "-S", metavar="KEY=VALUE", help="Override.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Pretrain networks on synthetic radiographs with NIH's fourteen findings, for `train.pretrained: phantom`.

    The same command resumes. Weights are stored in var/pretrained.
    """
    from thorax.models import specification
    from thorax.settings import load

    sizes = [f"preprocess.size={size}"] if size else []
    settings = load(overrides=[*sizes, *(set_ or ())], preset=preset)
    names = architecture or list(settings.train.architectures)
    for name in names:
        specification(name)
    settings = with_phantoms(settings, count, seed)
    store, info = built_store(settings)
    made = [one_network(settings, name, store, info["key"]) for name in names]
    if json:
        print_json(made)
        return
    for facts in made:
        unseen = f"validation AUROC {facts['validation_auroc']:.3f} on unseen phantoms"
        out.print(f"{facts['file']}: {unseen}, epoch {facts['best_epoch']} of {facts['epochs']}", soft_wrap=True)
    out.print("Start from them with: thorax pipeline run -S train.pretrained=phantom")


def with_phantoms(settings: "Settings", count: int, seed: int) -> "Settings":
    """Make the phantoms, or find them; return settings that read them."""
    from thorax.datasets.phantom.generate import make_phantom
    from thorax.files import digest_json

    about: dict[str, Any] = {
        "count": count,
        "size": settings.preprocess.size,
        "seed": seed,
        "layout": "nih",
        "findings": "nih14",
    }
    place = settings.var / "phantoms" / digest_json(about)[:16]
    with progress("Rendering phantoms", count) as advance:
        make_phantom(place, workers=settings.preprocess.workers, advance=advance, **about)
    read = {"source": "phantom", "root": str(place), "findings": "nih14"}
    data = type(settings.data).model_validate({**settings.data.model_dump(), **read})
    return settings.model_copy(update={"data": data})


def one_network(settings: "Settings", architecture: str, store: Path, store_key: str) -> dict[str, Any]:
    """Train one network, going on from its checkpoint, and keep its weights beside a record of how they were made.

    Returns:
        The record: key, file, architecture, synthetic, validation_auroc, epochs, best_epoch, seconds, phantoms, recipe.
    """
    import shutil

    from thorax.files import digest_json, read_json, write_json
    from thorax.models.pretrained import phantom_weights
    from thorax.registry.live import epoch_line
    from thorax.training import train

    recipe = settings.train.of(architecture)
    written = recipe.model_dump(mode="json", exclude={"architectures", "overrides", "threads", "processes"})
    key = digest_json({"architecture": architecture, "recipe": written, "store": store_key})[:24]
    working = settings.var / "pretraining" / key
    file = phantom_weights(settings.var / "pretrained", architecture)
    known = file.with_suffix(".json")
    if file.exists() and known.exists() and (kept := read_json(known))["key"] == key:
        return dict(kept)
    with progress(f"Training {architecture}", None) as advance:
        done = 0

        def tell(event: dict[str, Any]) -> None:
            """Move the bar on by the steps that were taken since."""
            nonlocal done
            if event.get("step"):
                now = (event["epoch"] - 1) * event["steps"] + event["step"]
                advance.expect(event["epochs"] * event["steps"])
                advance(now - done)
                done = now
            if event.get("curve") and not err.is_terminal:
                err.print(f"{architecture}: {epoch_line(event)}", markup=False)

        trained = train(
            store, architecture, recipe, working / "network", checkpoints=working / "checkpoints", report=tell
        )
    told = {name: trained[name] for name in ("validation_auroc", "epochs", "best_epoch", "seconds")}
    result = {
        "key": key,
        "file": str(file),
        "architecture": architecture,
        "synthetic": True,
        "phantoms": str(settings.data.root),
        "recipe": written,
        **told,
    }
    file.parent.mkdir(parents=True, exist_ok=True)
    (working / "network" / "weights.safetensors").replace(file)
    write_json(known, result)
    shutil.rmtree(working)
    return result
