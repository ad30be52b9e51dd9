"""What a cross-validation compares: networks, references trained at the same budget, a control, and techniques."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from thorax.settings import Settings, Train

HOG, CHEXNET, SHUFFLED = "HOG + logistic regression", "CheXNet recipe", "shuffled labels"

#: A technique: what it sets, and what its absence is. A recipe that has it is tried without, any other with.
TECHNIQUES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "pretraining": ({"pretrained": "phantom"}, {"pretrained": "none"}),
    "augmentation": (
        {"augment": {"rotate": 10.0, "shift": 0.08, "scale": 0.1, "brightness": 0.15, "contrast": 0.15}},
        {"augment": {"rotate": 0.0, "shift": 0.0, "scale": 0.0, "brightness": 0.0, "contrast": 0.0}},
    ),
    "flips": ({"augment": {"flip": True}}, {"augment": {"flip": False}}),
    "noise": ({"augment": {"noise": 0.03}}, {"augment": {"noise": 0.0}}),
    "ema": ({"ema": 0.99}, {"ema": 0.0}),
    "cosine": ({"schedule": "cosine", "warmup_epochs": 2}, {"schedule": "plateau", "warmup_epochs": 0}),
    "adamw": ({"optimizer": "adamw", "weight_decay": 0.05}, {"optimizer": "adam", "weight_decay": 0.0}),
    "focal": ({"loss": "focal"}, {"loss": "bce"}),
    "weighted": ({"loss": "weighted_bce"}, {"loss": "bce"}),
    "asymmetric": ({"loss": "asymmetric"}, {"loss": "bce"}),
    "smoothing": ({"label_smoothing": 0.05}, {"label_smoothing": 0.0}),
    "dropout": ({"dropout": 0.3}, {"dropout": 0.0}),
    "class_balanced": ({"sampling": "class_balanced"}, {"sampling": "shuffle"}),
    "patient_balanced": ({"sampling": "patient_balanced"}, {"sampling": "shuffle"}),
    "auc_margin": ({"auc_epochs": 4}, {"auc_epochs": 0}),
    "tta": ({"tta_views": 4}, {"tta_views": 0}),
    "context": ({"context": True}, {"context": False}),
    "fine_map": ({"stride": 16}, {"stride": 32}),
    "boxes": ({"boxes": {"weight": 1.0, "loss": "mse"}}, {"boxes": {"weight": 0.0}}),
    "boxes_giou": ({"boxes": {"weight": 0.5, "loss": "giou"}}, {"boxes": {"weight": 0.0}}),
}


@dataclass(frozen=True)
class Arm:
    """One of what is compared.

    Attributes:
        name: in tables and folders.
        kind: what is fitted: "network" or "hog".
        architecture: of the network.
        recipe: of that architecture; None for "hog".
        shuffled: whether it learns from shuffled labels.
    """

    name: str
    kind: str
    architecture: str
    recipe: "Train | None"
    shuffled: bool = False


def network_arm(settings: "Settings", architecture: str) -> Arm:
    """Return the arm of an architecture under the settings' recipe."""
    return Arm(architecture, "network", architecture, settings.train.of(architecture))


def reference_arms(settings: "Settings", base: Arm) -> list[Arm]:
    """Return the references: the plain CheXNet recipe from scratch at the base's budget, and HOG."""
    from thorax.settings import load

    assert base.recipe is not None
    budget = base.recipe
    plain = load(settings.home, ["train.pretrained=none"], preset="chexnet").train.of("densenet121")
    same = {name: getattr(budget, name) for name in ("epochs", "batch_size", "epoch_fraction", "precision", "device")}
    recipe = plain.model_copy(update={**same, "patience": budget.epochs})
    return [Arm(CHEXNET, "network", "densenet121", recipe), Arm(HOG, "hog", "", None)]


def control_arm(base: Arm) -> Arm:
    """Return the control: the base from scratch, taught shuffled labels.

    From scratch, for weights that know the findings from elsewhere say something even then, and would hide a leak.
    """
    assert base.recipe is not None
    recipe = base.recipe.model_copy(update={"pretrained": "none"})
    return Arm(SHUFFLED, base.kind, base.architecture, recipe, shuffled=True)


def technique_arms(base: Arm, names: list[str]) -> list[Arm]:
    """Return the base with one technique more, or less where it has it, for each name.

    Raises:
        InputError: there is no such technique; the nearest is named.
    """
    from thorax.errors import InputError, nearest
    from thorax.settings import Train

    assert base.recipe is not None
    arms = []
    for name in names:
        if name not in TECHNIQUES:
            raise InputError(f"There is no technique {name!r}.", nearest(name, TECHNIQUES))
        present, absent = TECHNIQUES[name]
        tree = base.recipe.model_dump()
        had = _holds(tree, present, absent)
        changed = _changed(tree, absent if had else present)
        sign = "without" if had else "with"
        arms.append(Arm(f"{sign} {name}", "network", base.architecture, Train.model_validate(changed)))
    return arms


def _holds(tree: dict[str, Any], present: dict[str, Any], absent: dict[str, Any]) -> bool:
    """Whether a recipe has a technique: its deciding values are not those of its absence."""
    key = next(iter(present))
    if isinstance(present[key], dict):
        inner = next(iter(present[key]))
        return bool(tree[key][inner] != absent[key][inner])
    # A loss is had by name; whatever else is had where it is not absent.
    return bool(tree[key] == present[key] if key in ("loss", "sampling", "stride") else tree[key] != absent[key])


def _changed(tree: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    return tree | {key: tree[key] | value if isinstance(value, dict) else value for key, value in changes.items()}
