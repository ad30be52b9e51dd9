"""The prediction service. BentoML imports this module; what is heavy is loaded by the worker, inside `__init__`.

POST /predict        an image in, the answer out; it is in the prediction log before it leaves
POST /explain        the same, with heatmaps drawn over the image: JSON, multipart, or DICOM
POST /predict_batch  many images, or a zip archive of them
POST /feedback       what a reader says of an earlier answer
GET  /model          what is being served: card, findings, operating points, lineage
GET  /admin/status /admin/audit   for the operator
GET  /livez /readyz /metrics /docs.json
"""

import functools
import os
import sys
from collections.abc import Callable
from typing import Annotated, Any, Literal, cast

import bentoml
from fastapi import FastAPI, Query
from pydantic import BaseModel
from starlette.responses import Response

from serving import labels
from serving.call import current
from serving.contract import (
    AdminStatus,
    AuditLines,
    BatchAnswer,
    Explanation,
    Feedback,
    FeedbackTaken,
    ModelReport,
    OperatingPoint,
    PrecisionReport,
    Role,
)
from serving.guard import guarded
from serving.openapi import described
from serving.refusals import refusal, unexpected
from serving.runtime import VARIABLE, Runtime
from serving.upload import BatchForm, ExplainForm, Format, ImageForm, Method, Upload
from thorax.errors import InputError, ThoraxError, nearest
from thorax.findings import resolve
from thorax.prediction import Prediction, now

routes = FastAPI(title="Thorax", docs_url=None, redoc_url=None, openapi_url=None)


def answered(endpoint: Callable[..., Any]) -> Callable[..., Any]:
    """Turn every error of an endpoint into a refusal that a person can act on, and its result into JSON."""

    @functools.wraps(endpoint)
    def wrapped(self: "Thorax", *args: Any, **kwargs: Any) -> Response:
        try:
            result: BaseModel | Response = endpoint(self, *args, **kwargs)
            if isinstance(result, Response):
                return result
            return Response(result.model_dump_json(), media_type="application/json")
        except ThoraxError as error:
            answer = refusal(error)
        except Exception as error:  # the last line before the network: the trace goes to the log, never out
            answer = unexpected(error)
        self.scorer.failed(answer.status_code)
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
        "logging": {"access": {"enabled": False}},  # it names what was asked for; the guard keeps its own
    }


@bentoml.service(name="Thorax", **_options())
@bentoml.asgi_app(routes, path="/")
class Thorax:
    """Reads chest radiographs. Research software; no medical device."""

    def __init__(self) -> None:
        from serving import logs, tether, tracing
        from serving.scoring import Scorer
        from serving.security import nameless
        from serving.security.journals import AuditLog

        nameless.install()
        # A request is some microseconds of Python between long calls that hold no lock; hand over sooner.
        sys.setswitchinterval(0.001)
        tether.tie()
        if tether.tied():  # in a process of its own; tests keep their logs
            logs.structure()
        self.runtime = Runtime.read()
        tracing.start(self.runtime.trace_endpoint)
        self.scorer = Scorer(self.runtime)
        self.audit = AuditLog(self.runtime.audit)

    def __is_ready__(self) -> bool:
        return self.scorer.holder.ready

    @bentoml.api(route="/predict", input_spec=ImageForm)
    @answered
    def predict(
        self, file: bytes, age: float | None = None, sex: str | None = None, view: str | None = None
    ) -> Prediction:
        """Answer for one radiograph: PNG, JPEG, TIFF or DICOM, or the frontal one of a zipped study."""
        return self.scorer.score(file, age, sex, view).prediction

    @bentoml.api(route="/explain", input_spec=ExplainForm)
    @answered
    def explain(
        self,
        file: bytes,
        age: float | None = None,
        sex: str | None = None,
        view: str | None = None,
        findings: str | None = None,
        method: Method = "cam",
        side: int = 256,
        draw: Literal["overlay", "layer"] = "overlay",
        format: Format = "json",
    ) -> Explanation:
        """Answer for one radiograph, with a heatmap a finding drawn over it, or as a DICOM object."""
        from serving import explaining

        wanted = self._wanted(findings)
        source = explaining.source(format, file, wanted)
        explaining.charge(method, format)
        scored = self.scorer.score(file, age, sex, view)
        withheld = scored.prediction.withheld
        with self.scorer.instruments.stage("explain"):
            if withheld and format == "dicom-sc":
                raise InputError(scored.prediction.summary, "Ask for JSON or for dicom-sr, which give the reasons.")
            if method == "occlusion" and not withheld:
                scored = explaining.occluded(scored)
            if format in ("dicom-sc", "dicom-sr"):
                return cast("Explanation", explaining.as_dicom(scored, source, format, wanted))
            pictures = explaining.draw(scored, wanted, draw, side)
            if format == "multipart":
                return cast("Explanation", explaining.as_multipart(scored.prediction, pictures))
            return explaining.as_json(scored.prediction, method, draw, pictures)

    def _wanted(self, findings: str | None) -> tuple[str, ...]:
        known = self.scorer.holder.get().findings
        names = tuple(dict.fromkeys(resolve(findings))) if findings else ()
        for name in names:
            if name not in known:
                raise InputError(f"The model does not assess {name}.", nearest(name, known))
        return names

    @bentoml.api(route="/predict_batch", input_spec=BatchForm)
    @answered
    def predict_batch(self, file: list[Upload]) -> BatchAnswer:
        """Answer for many radiographs, side by side or in zip archives; a bad file spoils no other."""
        return self.scorer.batch(file)

    @bentoml.api(route="/feedback", input_spec=Feedback)
    @answered
    def feedback(self, request_id: str, findings: dict[str, bool], role: Role = "other") -> FeedbackTaken:
        """Keep what a reader says of an earlier answer."""
        named = dict(zip(resolve(list(findings)), findings.values(), strict=True))
        kept = self.scorer.log.write_feedback(request_id, named, role, now())
        if kept:
            self.audit.write("feedback", current.get().caller, of=request_id, role=role, findings=sorted(named))
        return FeedbackTaken(request_id=request_id, kept=kept)

    @routes.get("/model", response_model=ModelReport)
    def model(self) -> Response:
        """Say what is being served."""
        return self._model()

    @answered
    def _model(self) -> ModelReport:
        holder = self.scorer.holder
        bundle = holder.get()
        info = bundle.info
        points = zip(bundle.findings, bundle.thresholds, strict=True)
        return ModelReport(
            model=bundle.model,
            findings=tuple(OperatingPoint(finding=name, threshold=float(value)) for name, value in points),
            scope=info.scope,
            input_size=info.size,
            created=info.created,
            revision=info.revision,
            lineage=info.lineage,
            card=bundle.card(),
            precision=PrecisionReport(
                runs=bundle.choice.precision, runtime=bundle.runtime, why=bundle.choice.why, measured=info.precision
            ),
            note=holder.problem.message if holder.problem else "",
        )

    @routes.get("/admin/status", response_model=AdminStatus)
    def admin_status(self) -> Response:
        """Say how the worker that answers is; needs a key with the scope admin, wherever the service is."""
        return self._admin_status()

    @answered
    def _admin_status(self) -> AdminStatus:
        from serving.security.keys import Keys
        from thorax.prediction_log import count

        holder = self.scorer.holder
        return AdminStatus(
            version=holder.get().version if holder.ready else "",
            model_ready=holder.ready,
            model_note=holder.problem.message if holder.problem else "",
            swaps=holder.swaps,
            predictions_logged=count(self.runtime.log),
            keys_required=self.runtime.require_keys,
            keys_valid=sum(key.state == "valid" for key in Keys(self.runtime.keys).list()),
            rate_limit=self.runtime.rate_limit,
        )

    @routes.get("/admin/audit", response_model=AuditLines)
    def admin_audit(self, limit: Annotated[int, Query(ge=1, le=1000)] = 100) -> Response:
        """Return the latest lines of the audit log; needs a key with the scope admin."""
        return self._admin_audit(limit)

    @answered
    def _admin_audit(self, limit: int) -> AuditLines:
        lines = self.audit.read()
        return AuditLines(lines=tuple(lines[-limit:]), total=len(lines))


labels.install()
_service = cast("bentoml.Service[Thorax]", Thorax)
_service.add_asgi_middleware(guarded)  # type: ignore[arg-type]
# Made when it is first asked for: a lambda, as the property does the work.
_service.add_asgi_middleware(described, spec=lambda: _service.openapi_spec.asdict())  # type: ignore[arg-type]  # noqa: PLW0108
