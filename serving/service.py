"""The prediction service. BentoML imports this module; what is heavy is loaded by the worker, inside `__init__`.

POST /predict    an image in, the answer out; it is in the prediction log before it leaves
POST /explain    the same, with heatmaps drawn over the image
POST /feedback   what a reader says of an earlier answer
GET  /model      what is being served: card, findings, operating points, lineage
GET  /livez /readyz /metrics /docs.json
"""

import base64
import functools
import os
import sys
import time
from collections.abc import Callable
from typing import Any, Literal, cast

import bentoml
from fastapi import FastAPI
from pydantic import BaseModel
from starlette.responses import Response

from serving.contract import Explanation, Feedback, FeedbackTaken, ModelReport, OperatingPoint, Role
from serving.guard import Guard, arrived, request_id
from serving.refusals import refusal, unexpected
from serving.runtime import VARIABLE, Runtime
from serving.upload import ExplainForm, ImageForm, with_given
from thorax.errors import InputError, ThoraxError, nearest
from thorax.findings import resolve
from thorax.prediction import Prediction, now

routes = FastAPI(title="Thorax", docs_url=None, redoc_url=None, openapi_url=None)


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def answered(endpoint: Callable[..., Any]) -> Callable[..., Any]:
    """Turn every error of an endpoint into a refusal that a person can act on, and its result into JSON."""

    @functools.wraps(endpoint)
    def wrapped(self: "Thorax", *args: Any, **kwargs: Any) -> Response:
        try:
            result: BaseModel = endpoint(self, *args, **kwargs)
            return Response(result.model_dump_json(), media_type="application/json")
        except ThoraxError as error:
            answer = refusal(error)
        except Exception as error:  # the last line before the network: the trace goes to the log, never out
            answer = unexpected(error)
        self.instruments.refused.labels(status=str(answer.status_code)).inc()
        return answer

    return wrapped


def _options() -> Any:
    """Return BentoML's options; it takes threads from here alone, and ignores them in its configuration file."""
    if VARIABLE not in os.environ:
        return {}
    runtime = Runtime.read()
    return {
        "workers": runtime.workers,
        "threads": runtime.threads,
        "traffic": {"timeout": 60},
        # Its spans would surround every request, wanted or not; `serving.tracing` makes those that are.
        "tracing": {"excluded_urls": [".*"]},
        "logging": {"access": {"enabled": False}},  # it names addresses of callers; the guard keeps its own
    }


@bentoml.service(name="Thorax", **_options())
@bentoml.asgi_app(routes, path="/")
class Thorax:
    """Reads chest radiographs. Research software; no medical device."""

    def __init__(self) -> None:
        from serving import tether, tracing
        from serving.holder import Holder
        from serving.instruments import Instruments
        from serving.shadow import Shadow
        from thorax.prediction_log import PredictionLog

        # A request is some microseconds of Python between long calls that hold no lock; hand over sooner.
        sys.setswitchinterval(0.001)
        tether.tie()
        self.runtime = Runtime.read()
        tracing.start(self.runtime.trace_endpoint)
        self.instruments = Instruments()
        self.holder = Holder.of(self.runtime)
        self.log = PredictionLog(self.runtime.log)
        waiting = self.runtime.shadow_waiting
        self.shadow = Shadow(self.holder, self.instruments, self.log, waiting) if self.runtime.shadow else None

    def __is_ready__(self) -> bool:
        return self.holder.ready

    def _score(self, image: bytes, age: float | None, sex: str | None, view: str | None) -> tuple[Prediction, Any]:
        """Read, score and log one image; return the answer and what is needed to draw it."""
        from thorax.imaging import read_image_bytes

        stage = self.instruments.stage
        self.instruments.took("queue", time.perf_counter() - arrived.get())
        digest = self.log.digest(image)
        bundle = self.holder.get(digest)
        with stage("decode"):
            radiograph = read_image_bytes(image, max_pixels=self.runtime.max_pixels)
        radiograph = with_given(radiograph, age, sex, view)
        with self.instruments.scoring():
            prediction = bundle.predict([radiograph], stage)[0].model_copy(update={"request_id": request_id.get()})
        with stage("log"):
            self.log.write(prediction, digest)
        self.instruments.count(prediction)
        self.instruments.serves(self.holder)
        if self.shadow is not None:
            self.shadow.offer(radiograph, prediction)
        return prediction, (bundle, radiograph)

    @bentoml.api(route="/predict", input_spec=ImageForm)
    @answered
    def predict(
        self, file: bytes, age: float | None = None, sex: str | None = None, view: str | None = None
    ) -> Prediction:
        """Answer for one radiograph: PNG, JPEG, TIFF or DICOM."""
        return self._score(file, age, sex, view)[0]

    @bentoml.api(route="/explain", input_spec=ExplainForm)
    @answered
    def explain(
        self,
        file: bytes,
        age: float | None = None,
        sex: str | None = None,
        view: str | None = None,
        findings: str | None = None,
        method: Literal["cam"] = "cam",
        side: int = 256,
        draw: Literal["overlay", "layer"] = "overlay",
    ) -> Explanation:
        """Answer for one radiograph, with a heatmap a finding drawn over it."""
        from thorax.bundle import drawing

        wanted = self._wanted(findings)
        prediction, (bundle, radiograph) = self._score(file, age, sex, view)
        with self.instruments.stage("explain"):
            if draw == "overlay":
                drawn = drawing.draw(bundle, radiograph, prediction, wanted, side=side)
            else:
                drawn = drawing.layers(bundle, radiograph, prediction, wanted)
            overlays = {finding: _base64(picture) for finding, picture in drawn.items()}
            image = _base64(drawing.plain(radiograph)) if draw == "layer" else None
        return Explanation(prediction=prediction, method=method, draw=draw, image=image, overlays=overlays)

    def _wanted(self, findings: str | None) -> tuple[str, ...]:
        known = self.holder.get().findings
        names = tuple(dict.fromkeys(resolve(findings))) if findings else ()
        for name in names:
            if name not in known:
                raise InputError(f"The model does not assess {name}.", nearest(name, known))
        return names

    @bentoml.api(route="/feedback", input_spec=Feedback)
    @answered
    def feedback(self, request_id: str, findings: dict[str, bool], role: Role = "other") -> FeedbackTaken:
        """Keep what a reader says of an earlier answer."""
        named = dict(zip(resolve(list(findings)), findings.values(), strict=True))
        self.log.write_feedback(request_id, named, role, now())
        return FeedbackTaken(request_id=request_id, kept=len(named))

    @routes.get("/model", response_model=ModelReport)
    def model(self) -> Response:
        """Say what is being served."""
        return self._model()

    @answered
    def _model(self) -> ModelReport:
        bundle = self.holder.get()
        info = bundle.info
        points = zip(bundle.findings, bundle.thresholds, strict=True)
        return ModelReport(
            model=bundle.model,
            findings=tuple(OperatingPoint(finding=name, threshold=float(value)) for name, value in points),
            input_size=info.size,
            created=info.created,
            revision=info.revision,
            lineage=info.lineage,
            card=bundle.card(),
            note=self.holder.problem.message if self.holder.problem else "",
        )


cast("bentoml.Service[Thorax]", Thorax).add_asgi_middleware(Guard)
