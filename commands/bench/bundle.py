"""A bundle to measure the service with: a whole network, not trained; as fast as a trained one."""

from pathlib import Path

from thorax.settings import Settings


def bench_bundle(settings: Settings, architecture: str, size: int, pixels: int, images: int) -> tuple[Path, list[Path]]:
    """Return a bundle and image files to ask it about; made once, and kept under `var/bench`.

    Args:
        settings: where `var` is; the recipe is the bench's own.
        architecture: of the network.
        size: px a side that the network reads.
        pixels: px a side of the image files.
        images: how many phantoms to make.
    """
    from thorax.bundle import Bundle, write_bundle
    from thorax.calibration import calibrate
    from thorax.datasets.ingest import ingest
    from thorax.datasets.phantom.generate import make_phantom
    from thorax.errors import BundleError
    from thorax.evaluation import evaluate
    from thorax.preprocessing import build_store

    place = settings.var / "bench" / f"{architecture}-{size}-{pixels}-{images}"
    data, bundle = place / "data", place / "bundle"
    make_phantom(data, count=images, size=pixels, seed=3)
    files = sorted((data / "images").glob("*.png"))
    try:
        made = Bundle.load(bundle).info.precision is not None  # one of an older Thorax is made anew
    except BundleError:
        made = False
    if not made:
        preprocess = settings.preprocess.model_copy(update={"size": size})
        ingest(settings.data, data, place / "manifest")
        build_store(settings.data, settings.split, preprocess, place / "manifest", data, place / "store")
        _network(architecture, place / "store", place / "train")
        (place / "calibration").mkdir(exist_ok=True)
        calibrate(place / "train", settings.calibration, place / "calibration", place / "store")
        figures = settings.evaluation.model_copy(update={"bootstrap": 20})
        folders = {name: place / name for name in ("train", "calibration", "store", "evaluation")}
        evaluate(
            folders["train"],
            folders["calibration"],
            folders["store"],
            figures,
            folders["evaluation"],
            title="For measuring the service",
            synthetic=True,
        )
        write_bundle(
            bundle,
            lineage={"purpose": "measuring the service"},
            **{f"{name}_dir": folder for name, folder in folders.items()},
        )
        _tolerate(bundle)
    return bundle, files


def _tolerate(bundle: Path) -> None:
    """Let the bundle be served in the fastest precision, whatever that changes.

    A network that was not trained gives nearly one answer to all images, and its cut-offs lie in their midst: so small
    differences change many verdicts, though not those of a trained network (`--part precision`).
    """
    from thorax.files import read_json, write_json

    info = read_json(bundle / "bundle.json")
    measured = info["precision"]["bfloat16"]
    if measured is not None:
        measured["tolerance"] = dict.fromkeys(measured["tolerance"], 1.0)
        write_json(bundle / "bundle.json", info)


def _network(architecture: str, store_dir: Path, out: Path) -> None:
    """Write what a training would leave, of a network as it was drawn."""
    import torch

    from thorax.files import write_json
    from thorax.models import build
    from thorax.preprocessing.store import ImageStore
    from thorax.training.outputs import write_answers, write_network
    from thorax.training.runtime import Runtime

    store = ImageStore.open(store_dir)
    torch.manual_seed(0)
    network = build(architecture, len(store.findings), names=store.findings)
    out.mkdir(parents=True, exist_ok=True)
    write_network(network, out, store.size, {"architecture": architecture}, [])
    write_answers(network, store, Runtime(torch.device("cpu"), None, torch.contiguous_format), out)
    facts = {"architecture": architecture, "findings": list(store.findings), "size": store.size, "epochs": 0}
    write_json(out / "network.json", facts | {"feature_dim": network.feature_dim, "curves": []})
