"""A small client of the service, typed, for scripts and for the page.

with Client("https://thorax.example.org", key="thorax_…") as client:
    answer = client.predict(Path("chest.dcm"))
    print(answer.of("Effusion").probability, answer.summary)
"""

import os
import ssl
import time
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

import httpx

from serving.contract import BatchAnswer, Explanation, FeedbackTaken, ModelReport, Role
from thorax.errors import InputError, ThoraxError
from thorax.prediction import Prediction
from thorax.proxies import bypass

#: Where a key and a certificate are found that are not given; the page gets both this way.
KEY, CERTIFICATE = "THORAX_KEY", "THORAX_CERTIFICATE"
_LATER = (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE)


class ServiceError(ThoraxError):
    """The service did not answer, or refused for a reason of its own."""

    exit_code = 5


class Client:
    """Talk to a service at an address; use it in a `with` block, or close it.

    Args:
        address: such as `http://127.0.0.1:3000`.
        timeout: seconds for one answer.
        key: an API key; that of the environment's THORAX_KEY where it is not given.
        authority: a PEM file of who signed the service's certificate, where that is nobody whom the system knows.
        patience: seconds to wait, in all, where the service says to come again later.
    """

    def __init__(
        self,
        address: str,
        timeout: float = 60.0,
        *,
        key: str | None = None,
        authority: Path | None = None,
        patience: float = 0.0,
    ) -> None:
        self.address = address.rstrip("/")
        self._patience = patience
        key = os.environ.get(KEY) if key is None else key
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        bypass(addresses=self.address)
        self._http = httpx.Client(base_url=self.address, timeout=timeout, headers=headers, verify=_trust(authority))

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

    def dicom(self, image: bytes | Path, kind: Literal["sc", "sr"], finding: str | None = None, **given: Any) -> bytes:
        """Answer with a DICOM file: the overlay of a finding (sc), or a structured report (sr) on a DICOM image.

        Raises:
            InputError: the service cannot use the image or a value.
            ServiceError: the service cannot answer now.
        """
        return self._form("/explain", image, {"format": f"dicom-{kind}", "findings": finding} | given)

    def predict_batch(self, images: Sequence[bytes | Path]) -> BatchAnswer:
        """Answer for many radiographs, or zip archives of them; a bad file has its reason in place of an answer.

        Names of files are not sent.

        Raises:
            InputError: the batch as a whole is refused.
            ServiceError: the service cannot answer now.
        """
        files = [("file", (f"image-{at}", _content(image))) for at, image in enumerate(images)]
        return BatchAnswer.model_validate_json(self._ask("POST", "/predict_batch", files=files))

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
        data = {name: str(value) for name, value in given.items() if value is not None}
        return self._ask("POST", route, files={"file": ("image", _content(image))}, data=data)

    def _ask(self, method: str, route: str, **body: Any) -> bytes:
        until = time.monotonic() + self._patience
        while True:
            answer = self._send(method, route, **body)
            if answer.is_success:
                return answer.content
            pause = float(answer.headers.get("retry-after", "nan")) if answer.status_code in _LATER else float("nan")
            if not time.monotonic() + pause <= until:
                raise _refused(answer)
            time.sleep(pause)

    def _send(self, method: str, route: str, **body: Any) -> httpx.Response:
        try:
            return self._http.request(method, route, **body)
        except httpx.HTTPError as error:
            if "CERTIFICATE_VERIFY_FAILED" in str(error):
                raise ServiceError(
                    f"The certificate of {self.address} is not to be trusted.",
                    "Give the file of who signed it: `authority`, or --authority on the command line.",
                ) from error
            raise ServiceError(
                f"The service at {self.address} does not answer.", "Start it with `thorax serve`, or wait a moment."
            ) from error


def _content(image: bytes | Path) -> bytes:
    return image.read_bytes() if isinstance(image, Path) else image


def _trust(authority: Path | None) -> ssl.SSLContext | bool:
    """Return whom to believe: the given authority, the environment's certificate, or the system's authorities."""
    if authority is not None:
        if not authority.is_file():
            raise InputError(f"There is no certificate at {authority}.")
        return ssl.create_default_context(cafile=str(authority))
    pinned = os.environ.get(CERTIFICATE)
    return pinned_to(Path(pinned)) if pinned else True


def pinned_to(certificate: Path) -> ssl.SSLContext:
    """Return a context that believes this very certificate and no other, whatever name it is for.

    For processes that were started beside the service, and know its certificate from its own file.
    """
    context = ssl.create_default_context(cafile=str(certificate))
    context.check_hostname = False  # the certificate itself is known
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    return context


def _refused(answer: httpx.Response) -> ThoraxError:
    """Return the error that a refusal stands for."""
    try:
        told = answer.json()
        message, mend = str(told["error"]), str(told.get("mend", ""))
    except (ValueError, KeyError, TypeError):
        message, mend = f"The service answered {answer.status_code}.", ""
    later = answer.is_server_error or answer.status_code == HTTPStatus.TOO_MANY_REQUESTS
    return (ServiceError if later else InputError)(message, mend)
