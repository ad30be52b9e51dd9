"""The parts of `make bench-trust` that need a network of the project's own, trained here on real radiographs."""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from commands.bench.figures import Figure, at_least, at_most, told
from thorax.errors import InputError
from thorax.settings import Settings

if TYPE_CHECKING:
    import numpy as np

    from thorax.calibration.outputs import Outputs

#: A quarter of the patients for the test, a fifth for calibration: enough positives to judge a sensitivity by.
_SHARES = {"train": 0.45, "validation": 0.10, "calibration": 0.20, "test": 0.25}
_ARRAYS = ("image_id", "patient_id", "logits", "features", "truth")
#: A finding with fewer positives in the test split is not held to the target sensitivity.
_OFTEN = 50
#: Boxed findings whose maps are compared with the library's gradient methods.
_COMPARED = 40


@dataclass(frozen=True)
class Own:
    """Where the networks are trained and kept, and how.

    Attributes:
        settings: of the project.
        folder: of real radiographs; its `nih256` is used.
        epochs: of each network.
        networks: how many, which differ in their seed alone.
        overrides: of the settings, beside what these measurements set themselves.
    """

    settings: Settings
    folder: Path
    epochs: int = 10
    networks: int = 3
    overrides: tuple[str, ...] = ()
    _judged: dict[str, Path] = field(default_factory=dict)

    def recipe(self, number: int, loss: str = "focal") -> Settings:
        """Return the settings under which network `number` (from 1) is made."""
        from thorax.settings import load

        return load(
            self.settings.home,
            [
                "data.source=nih",
                f"data.root={self.folder / 'nih256'}",
                "data.findings=nih14",
                f"train.loss={loss}",
                f"train.epochs={self.epochs}",
                f"train.overrides.custom_cnn.epochs={self.epochs}",
                f"train.seed={self.settings.train.seed + number - 1}",
                *(f"split.{name}={share}" for name, share in _SHARES.items()),
                *self.overrides,
            ],
        )

    def place(self, number: int, loss: str = "focal") -> Path:
        """Return network `number`'s folder, with `network`, `calibration` and `evaluation`.

        A network that an earlier run left is taken again; it is calibrated and evaluated once in every run.
        """
        from thorax.calibration import calibrate
        from thorax.evaluation.run import evaluate
        from thorax.files import read_json, write_json
        from thorax.training import train

        recipe, store = self.recipe(number, loss), self.store()
        name = f"custom_cnn-{loss}-{self.epochs}-{number}"
        if name in self._judged:
            return self._judged[name]
        place = self._root / name
        # A store that was made anew has other images: a network of another one is of no use.
        digests = {key: read_json(store / "store.json").get(key) for key in ("manifest_digest", "split_digest", "size")}
        kept = place / "of.json"
        if not kept.is_file() or read_json(kept) != digests:
            train(store, "custom_cnn", recipe.train, place / "network")
            write_json(kept, digests)
        calibrate(place / "network", recipe.calibration, place / "calibration", store)
        folders = place / "network", place / "calibration", store
        evaluate(*folders, recipe.evaluation, place / "evaluation", f"custom_cnn, {loss}, seed {number}", False)
        self._judged[name] = place
        return place

    def store(self) -> Path:
        """Return the image store, which all networks share; made where it is not, or of other settings."""
        from thorax.datasets.ingest import ingest
        from thorax.files import read_json, write_json
        from thorax.preprocessing import build_store

        recipe, store = self.recipe(1), self._root / "store"
        asked = {part: getattr(recipe, part).model_dump(mode="json") for part in ("data", "split", "preprocess")}
        kept = self._root / "asked.json"
        if not kept.is_file() or read_json(kept) != asked or not (store / "store.json").is_file():
            root, manifest = recipe.data_root, self._root / "manifest"
            ingest(recipe.data, root, manifest)
            build_store(recipe.data, recipe.split, recipe.preprocess, manifest, root, store)
            write_json(kept, asked)
        return store

    @property
    def _root(self) -> Path:
        return self.settings.var / "bench" / "trust"


def own(made: Own) -> list[Figure]:
    """Train small networks with the focal loss on real radiographs, calibrate them, and judge them on test patients."""
    import numpy as np

    from thorax.files import read_json

    aurocs, before, after, sizes, sure_raw, sure = [], [], [], [], 0, 0
    reached: list[tuple[float, str, int, int]] = []
    redrawn: dict[str, list[float]] = {}
    for number in range(1, made.networks + 1):
        place = made.place(number)
        facts = read_json(place / "evaluation" / "evaluation.json")
        metrics, target = facts["metrics"], facts["calibration"]["info"]["target"]
        sizes.append((place / "evaluation" / "report.html").stat().st_size / 1e6)
        aurocs.append(metrics["mean"]["auroc"]["value"])
        before.append(metrics["mean"]["ece_raw"]["value"])
        after.append(metrics["mean"]["ece"]["value"])
        sure_raw += sum(metrics[name]["overconfident_raw"] for name in facts["findings"])
        sure += sum(metrics[name]["overconfident"] for name in facts["findings"])
        often = [name for name in facts["findings"] if metrics[name]["positives"] >= _OFTEN]
        for name in often:
            one = metrics[name]["sensitivity"]
            inside = one["low"] <= target <= one["high"]
            reached.append((one["value"], name, metrics[name]["positives"], int(inside)))
        for name, values in _redrawn(made, place, facts["findings"], often).items():
            redrawn.setdefault(name, []).extend(values)
    if not reached:
        raise InputError(f"No finding has {_OFTEN} positives in the test split of {made.folder / 'nih256'}.")
    off = np.array([value for value, *_ in reached]) - target
    worst = reached[int(np.abs(off).argmax())]
    ratio = float(np.mean(after) / np.mean(before))
    near = float((np.abs(off) <= 0.05).mean())
    weighted = read_json(made.place(1, "weighted_bce") / "evaluation" / "evaluation.json")
    halves = {name: float(np.mean(values)) - target for name, values in redrawn.items()}
    furthest = max(halves, key=lambda name: abs(halves[name]))
    chance = _by_chance([count for _, _, count, _ in reached], target)
    part = "own"
    return [
        Figure(part, f"mean test AUROC, {made.networks} networks", _spread(aurocs, 3)),
        Figure(
            part, "ECE before → after", f"{np.mean(before):.3f} → {np.mean(after):.3f}", "≤ a third", ratio <= 1 / 3
        ),
        Figure(
            part,
            f"sensitivity furthest from {target}, one split ({worst[1]}, {worst[2]} positives)",
            f"{worst[0]:.3f}",
            "± 0.05",
            abs(worst[0] - target) <= 0.05,
        ),
        told(part, f"within 0.05 of it, of {len(reached)} findings and networks, one split", near, ".0%"),
        told(part, "would be, if the threshold were perfect (chance in the test patients alone)", chance, ".0%"),
        told(part, "whose 95% interval holds the target", sum(hold for *_, hold in reached) / len(reached), ".0%"),
        Figure(
            part,
            f"furthest, mean of ten patient-halves and {made.networks} networks ({furthest})",
            f"{halves[furthest]:+.3f}",
            "± 0.05",
            abs(halves[furthest]) <= 0.05,
        ),
        _sure("above 0.9 and wrong, before → after", sure_raw, sure),
        _sure(
            "the same of a network trained with weighted_bce, which is over-confident",
            sum(weighted["metrics"][name]["overconfident_raw"] for name in weighted["findings"]),
            sum(weighted["metrics"][name]["overconfident"] for name in weighted["findings"]),
        ),
        at_most(part, "the report page with its pictures", max(sizes), 5, ".1f", " MB"),
    ]


def _sure(what: str, before: int, after: int) -> Figure:
    """Say how many sure errors are left; where there was none before, nothing was shown."""
    return Figure("own", what, f"{before} → {after}", "≤ a fifth", after <= before / 5 if before else None)


def _redrawn(made: Own, place: Path, findings: list[str], often: list[str]) -> dict[str, list[float]]:
    """Return the sensitivities of ten halves of all patients that a network has not learnt from, by finding.

    One split says little of 50 positives.
    """
    import numpy as np

    from thorax.calibration.run import fit

    pooled = _pooled(place)
    found: dict[str, list[float]] = {name: [] for name in often}
    for seed in range(10):
        names = np.random.default_rng(seed).permutation(np.unique(pooled.patient_id))
        half = np.isin(pooled.patient_id, names[: len(names) // 2])
        kept = replace(pooled, **{name: getattr(pooled, name)[half] for name in _ARRAYS})
        calibration = fit(tuple(findings), kept, kept.features, made.settings.calibration)
        called = calibration.decisions(calibration.probabilities(pooled.logits[~half]))
        for name in often:
            column = findings.index(name)
            present = pooled.truth[~half, column] == 1
            found[name].append(float(called[present, column].mean()))
    return found


def _pooled(place: Path) -> "Outputs":
    """Return a network's outputs on all patients that it has not learnt from."""
    import numpy as np

    from thorax.calibration.outputs import read_outputs

    parts = [read_outputs(place / "network" / f"outputs-{split}.npz") for split in ("calibration", "test")]
    joined = {name: np.concatenate([getattr(part, name) for part in parts]) for name in _ARRAYS}
    return replace(parts[0], **joined, maps=None)


def referral(made: Own) -> list[Figure]:
    """Refer by the first of the own networks."""
    from commands.bench import trust_parts

    pooled = _pooled(made.place(1))
    return trust_parts.referral("own network, nih256", pooled.logits, pooled.truth, pooled.patient_id)


def strange(made: Own) -> list[Figure]:
    """Tell other things, and radiographs that were turned, negated or shrunk, from test radiographs."""
    import numpy as np

    from commands.bench.trust_strange import others
    from thorax.calibration import Calibration
    from thorax.evaluation.ranking import auroc
    from thorax.preprocessing.store import ImageStore

    place, store = made.place(1), ImageStore.open(made.store())
    calibration = Calibration.load(place / "calibration")
    features_of = _features(place / "network" / "model.onnx")

    def scores(images: "np.ndarray") -> "np.ndarray":
        return calibration.ood_score(features_of(images), images)

    rows_of = store.indices("test")
    test = store.images(rows_of)
    usual = scores(test)
    part = "strange"
    figures: list[Figure] = []
    for name, images, least in others(made.folder, store.size, test):
        found = scores(np.ascontiguousarray(images))
        area = auroc(np.concatenate([usual, found]), np.repeat([0.0, 1.0], [len(usual), len(found)]))
        caught = float((found > calibration.ood_cutoff).mean())
        what = f"AUROC, {len(images)} {name} (caught {caught:.0%})"
        figures.append(told(part, what, area, ".3f") if least is None else at_least(part, what, area, least, ".3f"))
    ages = store.rows["age"].to_numpy(dtype=float)[rows_of]
    young = ages < 14
    if young.any():
        area = auroc(usual, young.astype(float))
        figures.append(told(part, f"AUROC, the {young.sum()} test radiographs of children under 14", area, ".3f"))
    alarms = float((usual > calibration.ood_cutoff).mean())
    what = f"false alarms among {len(usual)} test radiographs"
    return [*figures, at_most(part, what, alarms, 0.05, ".1%")]


def explain(made: Own) -> list[Figure]:
    """Judge the maps in closed form beside the grad-cam library's on the same boxed radiographs, and random maps."""
    import time

    import numpy as np
    import torch

    from thorax.calibration.outputs import read_outputs
    from thorax.evaluation.localization import locate
    from thorax.explain.faithfulness import random_map
    from thorax.explain.gradients import gradient_map
    from thorax.explain.localization import agreement
    from thorax.files import read_json
    from thorax.models import build
    from thorax.preprocessing.store import ImageStore

    place, store = made.place(1), ImageStore.open(made.store())
    outputs = read_outputs(place / "network" / "outputs-test.npz", len(store.findings))
    assert outputs.maps is not None
    boxed = locate(outputs.maps, outputs.image_id, store.boxes, list(store.findings))
    chosen = [boxed[index] for index in np.random.default_rng(0).permutation(len(boxed))[:_COMPARED]]
    network = build("custom_cnn", len(store.findings), pretrained=str(place / "network"), names=store.findings).eval()
    position = {str(name): row for row, name in enumerate(store.rows["image_id"])}
    bias = network.head.bias.detach().numpy()
    methods = ("grad-cam", "grad-cam++", "layercam")
    found: dict[str, list[Any]] = {name: [] for name in ("closed form", *methods, "random")}
    difference, spent = 0.0, dict.fromkeys(("closed form", *methods), 0.0)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    gradient_map(network, np.zeros((store.size, store.size), dtype=np.float32), 0)  # imports the library
    for number, one in enumerate(chosen):
        image = store.images([position[str(outputs.image_id[one.row])]])[0].astype(np.float32) / 255
        started = time.process_time()
        with torch.no_grad():
            maps = network.maps(network(torch.from_numpy(image[None, None])).feature_map)[0].numpy()
        spent["closed form"] += time.process_time() - started
        ours = maps[one.finding]
        found["closed form"].append(agreement(ours, one.boxes))
        for method in methods:
            started = time.process_time()
            theirs = gradient_map(network, image, one.finding, method)  # type: ignore[arg-type]
            spent[method] += time.process_time() - started
            if method == "grad-cam":
                difference = max(difference, float(np.abs((ours - bias[one.finding]) / ours.size - theirs).max()))
            found[method].append(agreement(np.maximum(theirs, 0.0), one.boxes))
        found["random"].append(agreement(random_map(ours.shape[-1], number), one.boxes))
    torch.set_num_threads(threads)
    part = "explain"
    rows: list[Figure] = []
    for name, agreements in found.items():
        figures = {key: float(np.mean([one[key] for one in agreements])) for key in ("pointing_game", "iou", "mass")}
        text = ", ".join(f"{value:.2f}" for value in figures.values())
        rows.append(Figure(part, f"pointing game, IoU, heat inside: {name}, {len(agreements)} boxed findings", text))
    time_of = ", ".join(f"{name} {1000 * seconds / len(chosen):.0f} ms" for name, seconds in spent.items())
    rows.append(Figure(part, "an image: all findings in closed form, one by each gradient method", time_of))
    rows.append(at_most(part, "maps less Grad-CAM before its rectifier, at most", difference, 1e-4, ".1e"))
    faithful = read_json(place / "evaluation" / "evaluation.json").get("faithfulness")
    return [*rows, *_faithful(faithful)] if faithful else rows


def _faithful(figures: dict[str, Any]) -> list[Figure]:
    from thorax.evaluation.report import figure_text

    part, cases = "explain", figures["cases"]
    return [
        Figure(
            part,
            f"deletion area, own and random maps, {cases} findings (lower is better)",
            f"{figures['deletion']['value']:.3f}, {figures['deletion_random']['value']:.3f}",
        ),
        Figure(
            part,
            "insertion area, own and random maps (higher is better)",
            f"{figures['insertion']['value']:.3f}, {figures['insertion_random']['value']:.3f}",
        ),
        Figure(
            part,
            "insertion less deletion, beyond a random map",
            figure_text(figures["gain"], 3),
            "> 0",
            _above(figures["gain"]),
        ),
        Figure(
            part,
            "rank correlation with the map of redrawn weights; with noise",
            f"{figures['redrawn']['value']:.2f}; {figures['noise']['value']:.2f}",
            f"< {figures['limit']}",
            bool(figures["sane"]),
        ),
    ]


def _above(figure: dict[str, Any]) -> bool:
    return figure["low"] is not None and figure["low"] > 0


def _features(model: Path) -> Any:
    """Return a function from uint8 images (N, S, S) to pooled features (N, D)."""
    import numpy as np
    import onnxruntime

    session = onnxruntime.InferenceSession(str(model), providers=["CPUExecutionProvider"])

    def features(images: "np.ndarray") -> "np.ndarray":
        return np.concatenate(
            [
                session.run(["features"], {"image": images[start : start + 64, None].astype(np.float32) / 255})[0]
                for start in range(0, len(images), 64)
            ]
        )

    return features


def _by_chance(positives: list[int], target: float) -> float:
    """Return the share that lies within 0.05 of the target when each positive is found with that very chance."""
    import numpy as np
    from scipy.stats import binom

    inside = []
    for count in positives:
        found = np.arange(count + 1)
        inside.append(binom.pmf(found, count, target)[np.abs(found / count - target) <= 0.05 + 1e-12].sum())
    return float(np.mean(inside))


def _spread(values: list[float], digits: int) -> str:
    if len(values) == 1:
        return f"{values[0]:.{digits}f}"
    return f"{sum(values) / len(values):.{digits}f} ({min(values):.{digits}f} to {max(values):.{digits}f})"
