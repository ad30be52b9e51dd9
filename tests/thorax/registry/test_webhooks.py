"""What MLflow's registry sends: believed only where it is signed, fresh and whole."""

import json
import time

import pytest
from mlflow.webhooks.delivery import _generate_hmac_signature

from thorax.errors import InputError, RegistryError
from thorax.registry.webhooks import AliasChange, add, concerns, list_webhooks, sign, understand
from thorax.settings import Settings

SECRET = "a secret of some length"


def message(
    action: str = "created", entity: str = "model_version_alias", when: float | None = None
) -> tuple[dict[str, str], bytes]:
    """An event with the headers that MLflow itself would send."""
    data = {"name": "thorax", "alias": "champion"} | ({"version": "3"} if action == "created" else {})
    body = json.dumps({"entity": entity, "action": action, "timestamp": "2026-01-01", "data": data})
    moment = str(int(time.time() if when is None else when))
    headers = {
        "X-MLflow-Delivery-Id": "d-1",
        "X-MLflow-Timestamp": moment,
        "X-MLflow-Signature": _generate_hmac_signature(SECRET, "d-1", moment, body),
    }
    return headers, body.encode()


def test_the_signature_is_mlflows() -> None:
    headers, body = message()
    assert sign(SECRET, "d-1", headers["X-MLflow-Timestamp"], body) == headers["X-MLflow-Signature"]


def test_a_moved_and_a_deleted_alias_are_understood_and_other_events_passed_over(settings: Settings) -> None:
    moved = understand(*message(), SECRET)
    assert moved == AliasChange("thorax", "champion", "3")
    assert understand(*message("deleted"), SECRET) == AliasChange("thorax", "champion", "")
    assert understand(*message("created", "model_version"), SECRET) is None
    assert concerns(moved, settings, "champion")
    assert not concerns(moved, settings, "challenger")
    assert not concerns(None, settings, "champion")
    assert not concerns(AliasChange("other", "champion", "1"), settings, "champion")


def test_headers_of_any_case_are_read() -> None:
    headers, body = message()
    assert understand({name.lower(): value for name, value in headers.items()}, body, SECRET) is not None


@pytest.mark.parametrize("harm", ["unsigned", "secret", "body", "time", "delivery", "late", "early", "no event"])
def test_what_cannot_be_believed_is_refused(harm: str) -> None:
    headers, body = message(when=time.time() + {"late": -400, "early": 400}.get(harm, 0))
    if harm == "unsigned":
        del headers["X-MLflow-Signature"]
    elif harm == "body":
        body = body.replace(b'"3"', b'"4"')
    elif harm == "time":
        headers["X-MLflow-Timestamp"] = str(int(time.time()) + 1)
    elif harm == "delivery":
        headers["X-MLflow-Delivery-Id"] = "d-2"
    elif harm == "no event":
        body = b"[]"
        headers["X-MLflow-Signature"] = sign(SECRET, "d-1", headers["X-MLflow-Timestamp"], body)
    with pytest.raises(InputError, match="The message"):
        understand(headers, body, SECRET if harm != "secret" else "another secret of some length")


def test_a_file_sends_no_webhooks_and_a_short_secret_or_a_wrong_address_is_refused(settings: Settings) -> None:
    with pytest.raises(RegistryError, match="sends no webhooks"):
        list_webhooks(settings)
    with pytest.raises(InputError, match="too short"):
        add(settings, "service", "https://reader.example.org/webhook", "short")
    with pytest.raises(InputError, match="no web address"):
        add(settings, "service", "reader.example.org", SECRET)
