"""MLflow's webhooks: registered so that a service hears at once that the champion changed, and read with suspicion.

What arrives is signed as MLflow does it (`X-MLflow-Signature`, after standardwebhooks.com): HMAC-SHA256 with a shared
secret over delivery id, time and body. A message that is unsigned, altered, old or of another model is not believed;
one that is believed only makes the service look at the registry, so it can never name the model to serve.
"""

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any
from urllib.parse import urlsplit

from thorax.errors import InputError, RegistryError
from thorax.registry.tracking import client, speaking
from thorax.settings import Settings

#: The environment variable that holds the secret, for who registers the webhook and who receives it.
SECRET = "THORAX_WEBHOOK_SECRET"  # noqa: S105  # nosec B105  # the name of a variable
#: Seconds by which a message may be old, or from the future: longer would let it be sent again by another.
TOLERANCE = 300
_SHORTEST = 16
_EVENTS = ("model_version_alias.created", "model_version_alias.deleted")


@dataclass(frozen=True)
class AliasChange:
    """An alias of a model was moved: `version` is where it points now, "" where it was deleted."""

    model: str
    alias: str
    version: str


@dataclass(frozen=True)
class Webhook:
    """A webhook on the server; its secret never comes back from there."""

    id: str
    name: str
    url: str
    status: str
    events: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """Return it for a machine."""
        return asdict(self) | {"events": list(self.events)}


def sign(secret: str, delivery: str, moment: str, body: bytes) -> str:
    """Return the signature of a message as MLflow writes it: `v1,` and the HMAC-SHA256 in base64."""
    signed = f"{delivery}.{moment}.".encode() + body
    return "v1," + base64.b64encode(hmac.new(secret.encode(), signed, hashlib.sha256).digest()).decode()


def understand(headers: Mapping[str, str], body: bytes, secret: str, *, now: float | None = None) -> AliasChange | None:
    """Check a message and return the change that it tells; None for an event of another kind.

    Args:
        headers: of the request; their case does not matter.
        body: as it arrived, to the byte.
        secret: shared with the server.
        now: seconds since 1970, for tests.

    Raises:
        InputError: it is unsigned, signed with another secret, too old, or no event.
    """
    known = {name.lower(): value for name, value in headers.items()}
    names = ("x-mlflow-signature", "x-mlflow-delivery-id", "x-mlflow-timestamp")
    signature, delivery, moment = (known.get(name, "") for name in names)
    if not signature:
        raise InputError("The message is not signed.", "Register the webhook with a secret.")
    if not hmac.compare_digest(signature.encode(), sign(secret, delivery, moment, body).encode()):
        raise InputError("The message's signature is wrong.", f"Both sides need the same {SECRET}.")
    if not moment.isdigit() or abs((time.time() if now is None else now) - int(moment)) > TOLERANCE:
        raise InputError("The message is too old, or from the future.", "Set both machines' clocks.")
    try:
        event = json.loads(body)
        if f"{event['entity']}.{event['action']}" not in _EVENTS:
            return None
        data = event["data"]
        return AliasChange(str(data["name"]), str(data["alias"]), str(data.get("version") or ""))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError("The message is no event of MLflow's registry.") from error


def concerns(change: AliasChange | None, settings: Settings, alias: str) -> bool:
    """Say whether a change is of this installation's model, and of the alias that is served."""
    return change is not None and (change.model, change.alias) == (settings.registry.name, alias)


def add(settings: Settings, name: str, url: str, secret: str) -> Webhook:
    """Let the server tell an address whenever an alias is moved.

    Raises:
        InputError: the secret is short, or the address is none.
        RegistryError: there is no server, it refuses the address, or the user may not do this.
    """
    if len(secret) < _SHORTEST:
        raise InputError(
            f"The webhook's secret is too short: {len(secret)} characters, at least {_SHORTEST} are needed.",
            f"Set {SECRET}, for example to the output of: openssl rand -hex 32",
        )
    if urlsplit(url).scheme not in {"http", "https"} or not urlsplit(url).hostname:
        raise InputError(f"{url!r} is no web address.", "Give one such as https://reader.example.org/webhook.")
    _require_server(settings)
    from mlflow.exceptions import MlflowException

    connection = client(settings)
    with speaking(settings):
        try:
            return _webhook(connection.create_webhook(name=name, url=url, events=list(_EVENTS), secret=secret))
        except MlflowException as error:
            if "Webhook URL" not in str(error) and "webhook URL" not in str(error):
                raise
            raise RegistryError(
                f"MLflow refuses the address: {error.message}",
                "It takes https to public addresses; on one's own network start it with "
                "MLFLOW_WEBHOOK_ALLOWED_SCHEMES=http,https and MLFLOW_WEBHOOK_ALLOW_PRIVATE_IPS=true.",
            ) from error


def list_webhooks(settings: Settings) -> list[Webhook]:
    """Return every webhook of the server.

    Raises:
        RegistryError: there is no server, or the user may not see them.
    """
    _require_server(settings)
    connection = client(settings)
    found: list[Webhook] = []
    token: str | None = None
    with speaking(settings):
        while True:
            page = connection.list_webhooks(max_results=100, page_token=token)
            found += [_webhook(item) for item in page]
            token = page.token
            if not token:
                return found


def remove(settings: Settings, which: str) -> Webhook:
    """Remove a webhook by its id or name.

    Raises:
        InputError: there is none, or several share the name.
        RegistryError: there is no server, or the user may not do this.
    """
    known = list_webhooks(settings)
    found = [item for item in known if which in (item.id, item.name)]
    if len(found) != 1:
        what = f"Several webhooks are named {which!r}" if found else f"There is no webhook {which!r}"
        names = ", ".join(f"{item.name} ({item.id})" for item in known) or "none"
        raise InputError(f"{what}.", f"Known: {names}. Name one by its id.")
    connection = client(settings)
    with speaking(settings):
        connection.delete_webhook(found[0].id)
    return found[0]


def _require_server(settings: Settings) -> None:
    if settings.tracking_uri.startswith("sqlite"):
        raise RegistryError(
            "The registry is a file on this machine, and a file sends no webhooks.",
            "A service here sees a new champion by itself. For others, start a server (make mlflow) and name its "
            "address as registry.tracking_uri.",
        )


def _webhook(item: Any) -> Webhook:
    status = str(getattr(item.status, "value", item.status)).lower()
    return Webhook(str(item.webhook_id), item.name, item.url, status, tuple(str(event) for event in item.events))
