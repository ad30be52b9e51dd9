"""Read a bundle and answer with it: ONNX Runtime or OpenVINO, NumPy, OpenCV, and neither PyTorch nor MLflow."""

import functools
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self, TypeVar

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError

from thorax.bundle import precision as precisions
from thorax.bundle import verify
from thorax.bundle.answers import answer
from thorax.bundle.precision import Choice, Record, Wanted
from thorax.bundle.scope import Scope
from thorax.bundle.session import CPU, OUTPUTS, Session
from thorax.errors import BundleError, InputError
from thorax.findings import SHIPPED, Definitions, Vocabulary
from thorax.prediction import (
    ImageReport,
    ModelName,
    Prediction,
    new_request_id,
    now,
    summarise,
)

if TYPE_CHECKING:
    from thorax.bundle.watched import Watched
    from thorax.calibration import Calibration
    from thorax.imaging import Frame, Placement, Radiograph


#: Turns a stage's name into a block that times it.
Stage = Callable[[str], AbstractContextManager[None]]


def _untimed(_: str) -> AbstractContextManager[None]:
    return nullcontext()


class Preprocessing(BaseModel):
    """How an image becomes the network's input; the arguments of `thorax.imaging.to_network_input`."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    size: int
    resize: Literal["squash", "pad"] = "squash"
    clahe: bool = False
    crop: Literal["none", "lungs"] = "none"


class BundleInfo(BaseModel):
    """What `bundle.json` says: which network, for which findings, from which data."""

    model_config = ConfigDict(frozen=True, extra="allow")

    format: int
    name: str
    architecture: str
    findings: tuple[str, ...]
    size: int
    preprocessing: Preprocessing
    revision: str
    synthetic: bool
    versions: dict[str, str]
    created: str
    lineage: dict[str, Any]
    digests: dict[str, str]
    #: What lower precisions change; None in a bundle that was made before it was measured.
    precision: Record | None = None
    #: What it is made for; a bundle of release 0.1 states nothing, and nothing is outside it.
    scope: Scope = Scope()
    #: Definitions of its findings; a bundle of release 0.1 has none, and the shipped ones hold.
    vocabulary: Definitions = Definitions()

    @functools.cached_property
    def words(self) -> Vocabulary:
        """The vocabulary that the model was trained with."""
        return SHIPPED.merged(self.vocabulary)


class Bundle:
    """A loaded bundle. Make one with `Bundle.load`; every method may be called from several threads at once."""

    def __init__(
        self,
        folder: Path,
        info: BundleInfo,
        session: Session,
        calibration: "Calibration",
        version: str,
        choice: Choice,
    ) -> None:
        self.folder = folder
        self.info = info
        self.calibration = calibration
        self.version = version
        #: In which precision it answers, and why.
        self.choice = choice
        self._session = session

    @classmethod
    def load(
        cls,
        folder: Path | str,
        verify: bool = True,
        threads: int = 1,
        version: str | None = None,
        providers: Sequence[str] = (CPU,),
        precision: Wanted = "auto",
    ) -> Self:
        """Read a bundle, check every file against its digest, and let the graph prove itself.

        Args:
            folder: the one that holds `bundle.json`.
            verify: check digests and stored predictions; leave it on unless this very folder was just checked.
            threads: for one image; 1 where several images are scored side by side.
            version: the registry's version; without one, answers carry the start of the bundle's own digest.
            providers: ONNX Runtime's execution providers, the most wanted first; see `open_session`.
            precision: auto takes the fastest whose answers were measured to be within the bundle's tolerance.

        Raises:
            BundleError: names what is missing, changed or wrong.
            SettingsError: a precision or a provider is demanded that cannot be had.
        """
        return _load(cls, Path(folder), verify, threads, version, providers, precision)

    @property
    def findings(self) -> tuple[str, ...]:
        """The findings, in the order of the outputs."""
        return self.info.findings

    @property
    def thresholds(self) -> np.ndarray:
        """Operating points (F,) on calibrated probabilities."""
        return self.calibration.thresholds

    @functools.cached_property
    def watched(self) -> "Watched | None":
        """What monitoring needs of the network; None in a bundle that was made before it was kept."""
        from thorax.bundle.watched import FILE, Watched

        return Watched.load(self.folder / FILE)

    @property
    def model(self) -> ModelName:
        """Which model answers."""
        info = self.info
        return ModelName(
            name=info.name,
            version=self.version,
            architecture=info.architecture,
            synthetic=info.synthetic,
            precision=self.choice.precision,
        )

    @property
    def runtime(self) -> str:
        """Which library runs the network: for people."""
        return self._session.runtime

    def card(self) -> str:
        """The model card, as Markdown."""
        return (self.folder / "model_card.md").read_text(encoding="utf-8")

    def inputs(self, radiographs: "Sequence[Radiograph]") -> np.ndarray:
        """Return uint8 (N, S, S), what the network reads of each radiograph."""
        from thorax.imaging import to_network_input

        how = self.info.preprocessing
        arrays = [
            to_network_input(r.pixels, how.size, how.resize, how.clahe, frame=self._frame(r)) for r in radiographs
        ]
        return np.stack(arrays) if arrays else np.zeros((0, how.size, how.size), np.uint8)

    def spot(self, radiograph: "Radiograph") -> "Placement":
        """Return where a whole radiograph lies in the network's square, and beyond it where it is cropped."""
        from thorax.imaging import place

        how = self.info.preprocessing
        return place(radiograph.width, radiograph.height, how.size, how.resize, self._frame(radiograph))

    def _frame(self, radiograph: "Radiograph") -> "Frame":
        from thorax.imaging import frame_of

        seen = radiograph.pixels if radiograph.thumbnail is None else radiograph.thumbnail
        return frame_of(seen, self.info.preprocessing.crop)

    def run(self, inputs: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Run the network.

        Args:
            inputs: uint8 (N, S, S).

        Returns:
            logits (N, F), features (N, D) and class activation maps (N, F, h, w), all float32.
        """
        logits, features, maps = self._session.run(OUTPUTS, precisions.feed(inputs))
        return logits, features, maps

    def predict(self, radiographs: "Sequence[Radiograph]", stage: Stage = _untimed) -> list[Prediction]:
        """Answer for each radiograph, in one pass of the network: findings, boxes, novelty, summary, and the maps.

        Args:
            radiographs: as they were read.
            stage: makes a block of each stage (preprocess, network, answer), for whoever times them.
        """
        if not radiographs:
            return []
        start = time.perf_counter()
        with stage("preprocess"):
            inputs = self.inputs(radiographs)
        with stage("network"):
            outputs = self.run(inputs)
        with stage("answer"):
            return self._answers(radiographs, inputs, outputs, start)

    def _answers(
        self,
        radiographs: "Sequence[Radiograph]",
        inputs: np.ndarray,
        outputs: tuple[np.ndarray, np.ndarray, np.ndarray],
        start: float,
    ) -> list[Prediction]:
        from thorax.imaging import statistics

        spots = [self.spot(r) for r in radiographs]
        views = [r.view or "unknown" for r in radiographs]
        answers = answer(self.calibration, inputs, outputs, views, spots, self.watched, self.info.words)
        embeddings = self.watched.embed(outputs[1]).tolist() if self.watched is not None else [()] * len(answers)
        model, rule, scope = self.model, self.calibration.refer_rule, self.info.scope
        predictions = []
        for radiograph, network_input, maps, (found, novelty), embedding in zip(
            radiographs, inputs, outputs[2], answers, embeddings, strict=True
        ):
            outside = scope.outside(radiograph.view, radiograph.age, radiograph.sex, radiograph.acquisition)
            reasons = (*outside.values(), *rule.reasons(found, novelty), *radiograph.checks.values())
            predictions.append(
                Prediction(
                    request_id=new_request_id(),
                    time=now(),
                    model=model,
                    findings=found,
                    refer=bool(reasons),
                    refer_reasons=reasons,
                    novelty=novelty,
                    outside_scope=outside,
                    image=_report(radiograph, statistics(network_input)),
                    summary=summarise(found, novelty, model.synthetic, outside),
                    maps=maps,
                    embedding=tuple(embedding),
                    took_ms=round((time.perf_counter() - start) * 1000, 2),
                )
            )
        return predictions


B = TypeVar("B", bound=Bundle)


def _report(radiograph: "Radiograph", statistics: dict[str, float]) -> ImageReport:
    return ImageReport(
        kind=radiograph.kind,
        width=radiograph.width,
        height=radiograph.height,
        bits=radiograph.bits,
        view=radiograph.view,
        age=radiograph.age,
        sex=radiograph.sex,
        statistics=statistics,
        checks=radiograph.checks,
        assumptions=radiograph.assumptions,
    )


def _load(
    cls: type[B],
    folder: Path,
    check: bool,
    threads: int,
    version: str | None,
    providers: Sequence[str],
    precision: Wanted,
) -> B:
    from thorax.calibration import Calibration

    tree = verify.read_info(folder)
    try:
        info = BundleInfo.model_validate(tree)
    except ValidationError as error:
        keys = ", ".join(".".join(str(part) for part in item["loc"]) for item in error.errors())
        raise BundleError(f"{folder / 'bundle.json'} has wrong or missing keys: {keys}.") from error
    if check:
        verify.verify_files(folder, info.digests)
    choice = precisions.choose(precision, info.precision, providers)
    session = precisions.open_chosen(folder / "model.onnx", choice, threads, providers)
    try:
        calibration = Calibration.load(folder)
    except InputError as error:
        raise BundleError(error.message, error.mend) from error
    if tuple(calibration.findings) != info.findings:
        raise BundleError(f"calibration.json and bundle.json in {folder} name different findings.")
    bundle = cls(folder, info, session, calibration, version or verify.identity(tree)[:12], choice)
    if check:
        verify.verify_proof(
            folder, lambda inputs: bundle.run(inputs)[0], precisions.allowed(choice.precision, info.precision)
        )
    return bundle
