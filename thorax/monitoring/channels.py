"""How a notice leaves: by e-mail, and by a signed webhook."""

import hashlib
import hmac
import json
import os
import smtplib
import time
from collections.abc import Callable
from email.message import EmailMessage

from thorax.errors import ThoraxError
from thorax.monitoring.notices import Notice
from thorax.settings.monitoring import Alerts

_TRIES = 3


class DeliveryError(ThoraxError):
    """A notice could not be delivered; it is kept and tried again."""


def channels(alerts: Alerts) -> dict[str, Callable[[Notice], None]]:
    """Return the channels that are set up, by name."""
    found: dict[str, Callable[[Notice], None]] = {}
    if alerts.mail.to:
        found["mail"] = lambda notice: send_mail(notice, alerts)
    if alerts.webhook.url:
        found["webhook"] = lambda notice: send_webhook(notice, alerts)
    return found


def send_mail(notice: Notice, alerts: Alerts) -> None:
    """Send a notice by SMTP.

    Raises:
        DeliveryError: the server cannot be reached, or refuses.
    """
    mail = alerts.mail
    message = EmailMessage()
    message["Subject"], message["From"], message["To"] = notice.subject, mail.sender, ", ".join(mail.to)
    message["Message-ID"] = f"<{hashlib.sha256(notice.id.encode()).hexdigest()[:32]}@thorax>"
    message.set_content(notice.text)
    try:
        with smtplib.SMTP(mail.host, mail.port, timeout=alerts.timeout_seconds) as server:
            if mail.starttls:
                import ssl

                server.starttls(context=ssl.create_default_context())
            if mail.user:
                server.login(mail.user, os.environ.get(mail.password_variable, ""))
            server.send_message(message)
    except (OSError, smtplib.SMTPException) as error:
        raise DeliveryError(f"The mail server {mail.host}:{mail.port} did not take it: {_first(error)}.") from error


def send_webhook(notice: Notice, alerts: Alerts) -> None:
    """Send a notice as JSON by HTTP POST, with its signature.

    `X-Thorax-Signature` is `sha256=` and the HMAC-SHA256 (hex) of `X-Thorax-Timestamp`, a full stop and the body, with
    the secret from the environment; without a secret there is none. A receiver that knows `X-Thorax-Notice` already
    may drop it.

    Raises:
        DeliveryError: nobody answers, or the answer is no 2xx.
    """
    import httpx
    from tenacity import Retrying, retry_if_exception, stop_after_attempt, wait_exponential

    body = json.dumps({"notice": notice.id, **notice.body}, sort_keys=True).encode()

    def passing(error: BaseException) -> bool:
        status = error.response.status_code if isinstance(error, httpx.HTTPStatusError) else 503
        return isinstance(error, httpx.HTTPError) and (status >= 500 or status == 429)

    attempts = Retrying(
        stop=stop_after_attempt(_TRIES),
        wait=wait_exponential(multiplier=0.2, max=2),
        retry=retry_if_exception(passing),
        reraise=True,
    )
    assert alerts.webhook.url is not None
    try:
        for attempt in attempts:
            with attempt:
                answer = httpx.post(
                    alerts.webhook.url,
                    content=body,
                    headers=_headers(notice, body, os.environ.get(alerts.webhook.secret_variable, "")),
                    timeout=alerts.timeout_seconds,
                )
                answer.raise_for_status()
    except httpx.HTTPStatusError as error:
        raise DeliveryError(f"The webhook answered {error.response.status_code}.") from error
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise DeliveryError(f"The webhook cannot be reached: {_first(error)}.") from error


def sign(body: bytes, timestamp: str, secret: str) -> str:
    """Return a body's signature, as the header has it."""
    return "sha256=" + hmac.new(secret.encode(), timestamp.encode() + b"." + body, hashlib.sha256).hexdigest()


def _headers(notice: Notice, body: bytes, secret: str) -> dict[str, str]:
    timestamp = str(int(time.time()))
    headers = {"Content-Type": "application/json", "X-Thorax-Notice": notice.id, "X-Thorax-Timestamp": timestamp}
    return headers | ({"X-Thorax-Signature": sign(body, timestamp, secret)} if secret else {})


def _first(error: Exception) -> str:
    return str(error).strip().splitlines()[0][:200] if str(error).strip() else type(error).__name__
