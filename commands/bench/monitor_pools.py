"""Pools of scored images for the detection bench: each source is scored once, and windows are drawn from it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from thorax.settings import Settings

if TYPE_CHECKING:
    import pandas as pd

    from thorax.bundle import Bundle
    from thorax.imaging import Radiograph

#: What a shift changes, at three strengths from faint to strong; `inverted` is a share of negatives.
SHIFTS: dict[str, tuple[str, str, str]] = {
    "prevalence": ("prevalence=1.25", "prevalence=1.6", "prevalence=2.2"),
    "AP share": ("ap_share=0.55", "ap_share=0.7", "ap_share=0.95"),
    "age": ("age=8", "age=15", "age=25"),
    "exposure": ("exposure=0.9", "exposure=0.75", "exposure=0.6"),
    "noise": ("noise=1.3", "noise=1.8", "noise=3"),
    "blur": ("blur=1.5", "blur=3", "blur=6"),
    "scanner": ("", "", ""),  # each of the generator's machines is one
    "confounder": ("confounder=Effusion:0.7", "confounder=Effusion:0.85", "confounder=Effusion:1.0"),
}
INVERTED = (0.02, 0.05, 0.2)
PATIENT = "patient"
_BATCH = 32


@dataclass(frozen=True)
class Pools:
    """Where pools are kept, and how large they are.

    Attributes:
        settings: of the project.
        folder: for data sets, bundles and pools; what lies there is used again.
        base: phantoms without a shift.
        shifted: phantoms of each shift and strength.
        size: px of the phantoms, and of the network.
        epochs: of the network that answers.
        training: phantoms that it learns from, is calibrated and tested on.
        advance: called after each pool.
    """

    settings: Settings
    folder: Path
    base: int
    shifted: int
    size: int = 64
    epochs: int = 6
    training: int = 1200
    advance: Callable[[], None] = lambda: None

    def phantoms(self) -> "tuple[pd.DataFrame, dict[str, pd.DataFrame]]":
        """Return the pool without a shift, and one a shift and strength (`noise 1`, … `noise 3`)."""
        bundle = self._bundle(self._rendered("train", self.training, 1), "phantom", self.settings.data.findings)
        base = self._scored(bundle, "base", self._rendered("base", self.base, 2))
        found: dict[str, pd.DataFrame] = {}
        for name, strengths in self._strengths().items():
            for level, text in enumerate(strengths, start=1):
                key = f"{name} {level}"
                folder = self._rendered(key.replace(" ", "-"), self.shifted, 10 + len(found), text)
                found[key] = self._scored(bundle, key, folder)
        negatives = self._scored(bundle, "inverted", self.folder / "base", invert=True, most=self.shifted)
        for level, share in enumerate(INVERTED, start=1):
            found[f"inverted {level}"] = mixed(base, negatives, share)
        return base, found

    def real(self, data: Path) -> "tuple[pd.DataFrame, dict[str, pd.DataFrame], pd.DataFrame]":
        """Return NIH images that the network was not trained on, pools that drifted, and the PA part of the first."""
        bundle = self._bundle(data / "nih256", "nih", "nih14")
        held_out = self._held_out("nih")
        known = self._scored(bundle, "nih", data / "nih256", only=held_out)
        natural = self._scored(bundle, "natural", data / "natural")
        hannover = self._scored(bundle, "hannover", data / "hannover")
        drifted = {
            "another hospital (Hannover)": hannover,
            "2% photographs": mixed(known, natural, 0.02),
            "5% photographs": mixed(known, natural, 0.05),
        }
        return known, drifted, known[known["view"] == "AP"]

    def _strengths(self) -> dict[str, tuple[str, ...]]:
        from thorax.datasets.phantom.subject import SCANNERS

        machines = [name for name in SCANNERS if name != "standard"][:3]
        return {
            name: tuple(texts) if texts[0] else tuple(f"scanner={m}" for m in machines)
            for name, texts in SHIFTS.items()
        }

    def _rendered(self, name: str, count: int, seed: int, shift: str = "") -> Path:
        from thorax.datasets.phantom.generate import make_phantom
        from thorax.datasets.phantom.shift import parse_shift

        findings = self.settings.data.findings
        arguments: dict[str, Any] = {"count": count, "size": self.size, "seed": seed}
        arguments["findings"] = findings if isinstance(findings, str) else ",".join(findings)
        make_phantom(self.folder / name, workers=2, shift=parse_shift([shift] if shift else []), **arguments)
        return self.folder / name

    def _bundle(self, root: Path, source: str, findings: Any) -> "Bundle":
        from thorax.bundle import Bundle, write_bundle
        from thorax.calibration import calibrate
        from thorax.datasets.ingest import ingest
        from thorax.evaluation.run import evaluate
        from thorax.preprocessing import build_store
        from thorax.settings import load
        from thorax.training import train

        place = self.folder / f"bundle-{source}"
        if not (place / "bundle" / "bundle.json").is_file():
            listed = findings if isinstance(findings, str) else f"[{', '.join(findings)}]"
            shares = [
                f"split.{k}={v}" for k, v in (("train", 0.4), ("validation", 0.1), ("calibration", 0.2), ("test", 0.3))
            ]
            recipe = load(
                self.settings.home,
                [
                    f"data.source={source}",
                    f"data.root={root}",
                    f"data.findings={listed}",
                    f"preprocess.size={self.size}",
                    f"train.epochs={self.epochs}",
                    f"train.overrides.custom_cnn.epochs={self.epochs}",
                    "evaluation.bootstrap=50",
                    "evaluation.faithfulness=0",
                    *shares,
                ],
            )
            ingest(recipe.data, root, place / "manifest")
            store = place / "store"
            build_store(recipe.data, recipe.split, recipe.preprocess, place / "manifest", root, store)
            train(store, "custom_cnn", recipe.train, place / "network")
            calibrate(place / "network", recipe.calibration, place / "calibration", store)
            evaluate(
                place / "network", place / "calibration", store, recipe.evaluation, place / "evaluation", "bench", True
            )
            write_bundle(
                place / "bundle",
                train_dir=place / "network",
                calibration_dir=place / "calibration",
                evaluation_dir=place / "evaluation",
                store_dir=store,
                lineage={},
            )
        return Bundle.load(place / "bundle", version="1")

    def _held_out(self, source: str) -> set[str]:
        import pandas as pd

        rows = pd.read_parquet(self.folder / f"bundle-{source}" / "store" / "rows.parquet")
        return set(rows.loc[rows["split"].isin(["calibration", "test"]), "image_id"].astype(str))

    def _scored(
        self,
        bundle: "Bundle",
        name: str,
        root: Path,
        *,
        only: set[str] | None = None,
        invert: bool = False,
        most: int | None = None,
    ) -> "pd.DataFrame":
        """Score every image of a folder; kept as a table beside it."""
        import pandas as pd

        path = self.folder / "pools" / f"{name.replace(' ', '-')}.parquet"
        if path.is_file():
            self.advance()
            return pd.read_parquet(path)
        people = _people(root)
        files = sorted(p for p in (root / "images" if (root / "images").is_dir() else root).glob("*.*g"))
        chosen = [file for file in files if only is None or file.name in only or file.stem in only][:most]
        rows: list[dict[str, Any]] = []
        for start in range(0, len(chosen), _BATCH):
            rows += _score(bundle, chosen[start : start + _BATCH], people, invert)
        frame = pd.DataFrame(rows)
        path.parent.mkdir(parents=True, exist_ok=True)
        frame.to_parquet(path, index=False)
        self.advance()
        return frame


def mixed(base: "pd.DataFrame", foreign: "pd.DataFrame", share: float) -> "pd.DataFrame":
    """Return a pool of `base` in which a share of the images is foreign."""
    import pandas as pd

    wanted = max(1, round(share * len(base) / (1 - share)))
    others = foreign.sample(wanted, replace=True, random_state=0).reset_index(drop=True)
    own = others.assign(**{PATIENT: [f"foreign {at}" for at in range(wanted)]})
    return pd.concat([base, own], ignore_index=True)


def _score(
    bundle: "Bundle", files: Sequence[Path], people: dict[str, dict[str, Any]], invert: bool
) -> list[dict[str, Any]]:
    from dataclasses import replace

    from thorax.errors import ImageError
    from thorax.imaging import read_image
    from thorax.prediction_log import flatten

    read: list[tuple[Radiograph, str]] = []
    for file in files:
        person = people.get(file.name) or people.get(file.stem) or {}
        try:
            image = read_image(file)
        except ImageError:
            continue
        given = {key: person[key] for key in ("view", "age", "sex") if key in person}
        pixels = 1 - image.pixels if invert else image.pixels
        read.append((replace(image, pixels=pixels, **given), str(person.get(PATIENT, file.stem))))
    answers = bundle.predict([image for image, _ in read])
    return [
        flatten(a.image, a.findings, a.novelty, a.embedding) | {PATIENT: patient}
        for a, (_, patient) in zip(answers, read, strict=True)
    ]


def _people(root: Path) -> dict[str, dict[str, Any]]:
    """Return what a data set's table says of who is in each image."""
    import pandas as pd

    nih, hannover = root / "Data_Entry_2017_v2020.csv", root / "metadata.csv"
    if nih.is_file():
        table = pd.read_csv(nih)
        names = {"Image Index": "image", "Patient ID": PATIENT, "Patient Age": "age", "View Position": "view"}
        table = table.rename(columns={**names, "Patient Gender": "sex", "Patient Sex": "sex"})
    elif hannover.is_file():
        table = pd.read_csv(hannover).rename(columns={"image_id": "image", "patient_id": PATIENT, "projection": "view"})
        table["view"] = table["view"].str.upper()
        table["sex"] = table["sex"].str.upper()
    else:
        return {}
    found = {}
    for row in table.to_dict("records"):
        age = row.get("age")
        view, sex = row.get("view"), row.get("sex")
        found[str(row["image"])] = {
            PATIENT: str(row[PATIENT]),
            "age": float(age) if isinstance(age, (int, float)) and age == age else None,
            "view": view if view in ("PA", "AP") else "unknown",
            "sex": sex if sex in ("F", "M") else "unknown",
        }
    return found
