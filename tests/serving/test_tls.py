"""The whole service, started with a certificate and keys: strangers are refused, the page asks who one is."""

import datetime
import ipaddress
import json
import ssl
from collections.abc import Iterator
from pathlib import Path

import httpx
import pandas as pd
import pytest
import typer
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from typer.testing import CliRunner

from commands.predict import predict
from serving.client import Client, ServiceError
from serving.launch import Running, launched, tls_files
from serving.runtime import Runtime
from serving.security.journals import AccessLog, AuditLog
from serving.security.keys import Keys
from thorax.bundle import Bundle
from thorax.errors import InputError, SettingsError
from thorax.imaging import read_image
from thorax.settings import Settings, load


def certify(folder: Path, name: str, signer: tuple[x509.Certificate, ec.EllipticCurvePrivateKey] | None = None):
    """Write a certificate and its key, signed by itself or by another; return both."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(signer[0].subject if signer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(minutes=5))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=signer is None, path_length=None), critical=True)
    )
    if signer:
        names = [x509.IPAddress(ipaddress.ip_address("127.0.0.1")), x509.DNSName("localhost")]
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(signer[1].public_key())
        builder = builder.add_extension(issuer, critical=False)
    else:
        usage = dict.fromkeys(
            (
                "digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement",
                "key_cert_sign", "crl_sign", "encipher_only", "decipher_only",
            ),
            False,
        )  # fmt: skip
        builder = builder.add_extension(x509.KeyUsage(**(usage | {"key_cert_sign": True, "crl_sign": True})), True)
        builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    made = builder.sign(signer[1] if signer else key, hashes.SHA256())
    (folder / f"{name}.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (folder / f"{name}.key").write_bytes(private)
    return made, key


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, project: Path) -> Path:
    """A project with certificates: an authority's, and one for this machine that it signed."""
    home = tmp_path_factory.mktemp("tls")
    (home / "params.yaml").write_text((project / "params.yaml").read_text(encoding="utf-8"), encoding="utf-8")
    certify(home, "server", certify(home, "authority"))
    certify(home, "stranger")
    return home


@pytest.fixture(scope="module")
def settings(place: Path) -> Settings:
    given = ["serve.tls_certificate=server.pem", "serve.tls_key=server.key", "serve.require_keys=true"]
    return load(place, [*given, "serve.open_metrics=false", "serve.rate_limit=1000/minute"])


@pytest.fixture(scope="module")
def started(settings: Settings, sample_bundle: Path) -> Iterator[Running]:
    with launched(settings, sample_bundle, port=0, page=True) as running:
        yield running


@pytest.fixture(scope="module")
def token(settings: Settings) -> str:
    return Keys(Runtime.of(settings).keys).create("ris", ["predict"])[1]


@pytest.mark.parametrize(
    ("certificate", "key", "said"),
    [
        ("nothing.pem", "server.key", "nothing.pem"),
        ("server.pem", "nothing.key", "nothing.key"),
        ("server.pem", "stranger.key", "no certificate and its unencrypted private key"),
        ("params.yaml", "server.key", "no certificate and its unencrypted private key"),
    ],
)
def test_files_that_do_not_fit_are_refused_at_once(place: Path, certificate: str, key: str, said: str) -> None:
    settings = load(place, [f"serve.tls_certificate={certificate}", f"serve.tls_key={key}"])
    with pytest.raises(SettingsError, match=said):
        tls_files(settings)
    with pytest.raises(SettingsError, match="belong together"):
        load(place, ["serve.tls_certificate=server.pem"])


@pytest.mark.slow
def test_a_client_that_knows_the_authority_is_answered(
    started: Running, place: Path, token: str, sample_bundle: Path, settings: Settings
) -> None:
    assert started.address.startswith("https://127.0.0.1:")
    image = sample_bundle / "examples" / "1-positive.png"
    with Client(started.address, key=token, authority=place / "authority.pem") as client:
        answer = client.predict(image)
        assert client.model().model.version == answer.model.version
        with pytest.raises(InputError, match="no scope feedback"):
            client.feedback(answer.request_id, {"Edema": True})
    lines = [line for line in AccessLog(Runtime.of(settings).access).read() if line["route"] == "/predict"]
    key = Keys(Runtime.of(settings).keys).list()[0]
    assert (lines[0]["caller"], lines[0]["version"]) == (f"key:{key.id}", answer.model.version)
    assert [line["action"] for line in AuditLog(Runtime.of(settings).audit).read()] == ["bundle"]


@pytest.mark.slow
def test_a_client_that_does_not_know_it_says_so(started: Running, place: Path, token: str) -> None:
    for authority in (None, place / "stranger.pem"):
        with (
            Client(started.address, key=token, authority=authority) as client,
            pytest.raises(ServiceError, match="not to be trusted"),
        ):
            client.model()
    with pytest.raises(httpx.HTTPError):
        httpx.get(started.address.replace("https", "http") + "/livez", timeout=5)


@pytest.mark.slow
def test_without_a_key_the_service_says_only_that_it_lives(started: Running, place: Path) -> None:
    context = ssl.create_default_context(cafile=str(place / "authority.pem"))
    with httpx.Client(base_url=started.address, verify=context, timeout=10) as client:
        assert client.get("/livez").status_code == client.get("/readyz").status_code == 200
        for route in ("/model", "/metrics", "/admin/status", "/nothing", "/schema.json"):
            answer = client.get(route)
            assert answer.status_code == 401, route
            assert set(answer.json()) == {"error", "mend"}
        assert client.get("/docs.json").json()["info"]["title"] == "Thorax"


@pytest.mark.slow
def test_the_page_asks_who_one_is_and_does_not_hand_out_its_own_key(
    started: Running, place: Path, token: str, settings: Settings
) -> None:
    context = ssl.create_default_context(cafile=str(place / "authority.pem"))
    with httpx.Client(base_url=started.page or "", verify=context, timeout=30) as browser:
        for _ in range(100):
            try:
                front = browser.get("/")
                break
            except httpx.HTTPError:
                import time

                time.sleep(0.2)
        assert started.key not in front.text
        assert browser.get("/config").status_code == 401
        assert browser.post("/login", data={"username": "ris", "password": "guess"}).status_code == 400
        assert browser.post("/login", data={"username": "ris", "password": token}).status_code == 200
        assert browser.get("/config").status_code == 200
    written = json.dumps([path.read_bytes().decode("latin-1") for path in Runtime.of(settings).folder.rglob("*.json*")])
    assert started.key not in written
    assert token not in written


@pytest.mark.slow
def test_the_command_asks_the_service(
    started: Running, place: Path, token: str, sample_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    examples = sample_bundle / "examples"
    words = [str(examples), "--url", started.address, "--key", token, "--authority", str(place / "authority.pem")]
    app = typer.Typer(pretty_exceptions_enable=False)
    app.command()(predict)
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(app, [*words, "--out", "table.parquet"])
    assert done.exit_code == 0, done.exception
    table = pd.read_parquet(tmp_path / "table.parquet")
    direct = Bundle.load(sample_bundle)
    assert len(table) == len(list(examples.glob("*.png")))
    for row in table.to_dict("records"):
        expected = direct.predict([read_image(row["file"])])[0]
        for one in expected.findings:
            assert row[f"p_{one.finding}"] == pytest.approx(one.probability, abs=1e-4)
    drawn = CliRunner().invoke(app, [*words, "--json"])
    answers = json.loads(drawn.stdout)
    assert all(Path(path).read_bytes().startswith(b"\x89PNG") for one in answers for path in one["heatmaps"].values())
    stranger = CliRunner().invoke(app, [words[0], "--url", started.address, "--key", "no"])
    assert isinstance(stranger.exception, ServiceError)
