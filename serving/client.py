"""A small client of the service, typed, for scripts and for the page."""

from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

import httpx

from serving.contract import Explanation, FeedbackTaken, ModelReport, Role
from thorax.errors import InputError, ThoraxError
from thorax.prediction import Prediction


class ServiceError(ThoraxError):
    """The service did not answer, or refused for a reason of its own."""

    exit_code = 5


class Client:
    """Talk to a service at an address; use it in a `with` block, or close it.

    Args:
        address: such as `http://127.0.0.1:3000`.
        timeout: seconds for one answer.
    """

    def __init__(self, address: str, timeout: float = 60.0) -> None:
        self.address = address
        self._http = httpx.Client(base_url=address, timeout=timeout)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def predict(self, image: bytes | Path, **given: Any) -> Prediction:
        """Answer for one radiograph; `given` are age (years), sex (F, M) and view (PA, AP, LATERAL).

        Raises:
            InputError: the service cannot use the image or a value.
            ServiceError: the service cannot answer now.
        """
        return Prediction.model_validate_json(self._form("/predict", image, given))

    def explain(self, image: bytes | Path, draw: Literal["overlay", "layer"] = "overlay", **given: Any) -> Explanation:
        """Answer for one radiograph, with pictures of where the model looked.

        Raises:
            InputError: the service cannot use the image or a value.
            ServiceError: the service cannot answer now.
        """
        return Explanation.model_validate_json(self._form("/explain", image, {"draw": draw} | given))

    def feedback(self, request_id: str, findings: Mapping[str, bool], role: Role = "other") -> FeedbackTaken:
        """Say which findings are there (true) and which are not (false) on an image that was answered for.

        Raises:
            InputError: there is no such answer, or no such finding.
            ServiceError: the service cannot answer now.
        """
        body = {"request_id": request_id, "findings": dict(findings), "role": role}
        return FeedbackTaken.model_validate_json(self._ask("POST", "/feedback", json=body))

    def model(self) -> ModelReport:
        """Return what is being served.

        Raises:
            ServiceError: nothing is, or the service cannot answer.
        """
        return ModelReport.model_validate_json(self._ask("GET", "/model"))

    def _form(self, route: str, image: bytes | Path, given: Mapping[str, Any]) -> bytes:
        content = image.read_bytes() if isinstance(image, Path) else image
        data = {name: str(value) for name, value in given.items() if value is not None}
        return self._ask("POST", route, files={"file": ("image", content)}, data=data)

    def _ask(self, method: str, route: str, **body: Any) -> bytes:
        try:
            answer = self._http.request(method, route, **body)
        except httpx.HTTPError as error:
            raise ServiceError(
                f"The service at {self.address} does not answer.", "Start it with `thorax serve`, or wait a moment."
            ) from error
        if answer.is_success:
            return answer.content
        try:
            told = answer.json()
            message, mend = str(told["error"]), str(told.get("mend", ""))
        except (ValueError, KeyError, TypeError):
            message, mend = f"The service answered {answer.status_code}.", ""
        kind = InputError if answer.is_client_error else ServiceError
        raise kind(message, mend)
