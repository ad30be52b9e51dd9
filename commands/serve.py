"""`thorax serve`: answer over HTTP; and `thorax serve keys`, for those who may ask."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from commands.console import err, out, print_json, table

if TYPE_CHECKING:
    from serving.launch import Running
    from serving.security.keys import Key
    from thorax.settings import Settings

app = typer.Typer(invoke_without_command=True, no_args_is_help=False)
keys_app = typer.Typer(no_args_is_help=True)
app.add_typer(keys_app, name="keys", help="Create, list and revoke API keys.")

Set = Annotated[
    list[str] | None,
    typer.Option("--set", "-S", metavar="KEY=VALUE", help="Override a setting, e.g. -S serve.workers=2. Repeatable."),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
#: Seconds between two looks for log rows that are old enough to be moved.
_TIDY_SECONDS = 3600.0


@app.callback()
def serve(
    context: typer.Context,
    port: Annotated[int | None, typer.Option(help="Port of the service; 0 finds a free one.")] = None,
    bundle: Annotated[Path | None, typer.Option(help="Serve this bundle folder, not the champion.")] = None,
    no_page: Annotated[bool, typer.Option("--no-page", help="Do not start the page.")] = False,
    page_port: Annotated[int | None, typer.Option(help="Port of the page. [default: the service's port + 1]")] = None,
    set_: Set = None,
) -> None:
    """Serve the champion: a prediction service, and a page to try it on. Ends with Ctrl-C."""
    if context.invoked_subcommand is not None:
        return
    import time

    from serving.launch import ending_on_signals, launched
    from thorax.settings import load

    settings = load(overrides=set_ or ())
    _warn(settings)
    err.print("Starting …")
    with (
        ending_on_signals(),
        launched(settings, bundle, port, page=not no_page, page_port=page_port, wait=False) as started,
    ):
        _introduce(settings, started)
        said, tidied = "", time.monotonic()
        while True:
            started.check()
            note = started.state()
            if note != said:
                err.print(note, markup=False)
                said = note
            if time.monotonic() - tidied > _TIDY_SECONDS:
                tidied = time.monotonic()
                _tidy(settings)
            time.sleep(1)


def _introduce(settings: "Settings", started: "Running") -> None:
    from thorax.prediction_log import place_of
    from thorax.prediction_log.places import shown

    serve = settings.serve
    rows = [("Predictions", f"{started.address}/predict"), ("API", f"{started.address}/")]
    rows += [("Page", started.page)] if started.page else []
    rows += [
        ("Callers", "need an API key" if serve.keys_required else "need no key"),
        ("Prediction log", shown(place_of(settings))),
        ("Service log", str(started.log)),
    ]
    table("Serving", ("service", "address"), rows)
    out.print("Research software; not a medical device. Ctrl-C ends it.")


def _warn(settings: "Settings") -> None:
    """Say loudly what leaves a service open that others can reach."""
    from serving.security.keys import Keys

    serve = settings.serve
    if serve.keys_required:
        if not any(key.state == "valid" for key in Keys(_keys_path(settings)).list()):
            err.print(
                "[bold yellow]Callers need an API key, and there is none yet.[/] "
                "Make one: thorax serve keys create --name NAME"
            )
    elif not serve.on_loopback:
        err.print(
            f"[bold white on red] OPEN TO ANYONE [/] Whoever reaches {serve.host} can ask this service, without a key. "
            "[bold]→[/] Set serve.require_keys to true, or serve.host to 127.0.0.1."
        )
    if not serve.on_loopback and serve.tls_certificate is None:
        err.print(
            "[bold yellow]Radiographs will travel unencrypted.[/] Set serve.tls_certificate and serve.tls_key, "
            "or put a proxy that speaks TLS before it."
        )


def _tidy(settings: "Settings") -> None:
    """Move and delete what the settings call old; a failure is said, and tried again later."""
    from commands.log import tidy
    from thorax.errors import ThoraxError

    try:
        tidy(settings)
    except ThoraxError as error:
        err.print(f"The prediction log could not be tidied: {error}", markup=False)


def _keys_path(settings: "Settings") -> Path:
    from serving.runtime import Runtime

    return Runtime.of(settings).keys


@keys_app.command("create")
def create(
    name: Annotated[str, typer.Option(help="Name of the key's user, such as ris or alice.")],
    scope: Annotated[
        list[str] | None, typer.Option(help="predict, feedback or admin; repeatable. [default: predict, feedback]")
    ] = None,
    days: Annotated[int | None, typer.Option(help="Days until it expires. [default: never]")] = None,
    rate: Annotated[str | None, typer.Option(help="Rate limit, such as 60/minute. [default: serve.rate_limit]")] = None,
    set_: Set = None,
    json: Json = False,
) -> None:
    """Create a key. It is shown once; only its digest is stored."""
    from serving.runtime import Runtime
    from serving.security.journals import AuditLog
    from serving.security.keys import Keys
    from thorax.settings import load

    runtime = Runtime.of(load(overrides=set_ or ()))
    key, token = Keys(runtime.keys).create(name, scope or ["predict", "feedback"], days=days, rate=rate)
    AuditLog(runtime.audit).write("key.create", key=key.id, name=key.name, scopes=key.scopes)
    if json:
        print_json(_plain(key) | {"key": token})
        return
    out.print(token, soft_wrap=True, markup=False)
    err.print(f"The key {key.id} of {key.name}, for {', '.join(key.scopes)}. It is not shown again.", markup=False)


@keys_app.command("list")
def list_(set_: Set = None, json: Json = False) -> None:
    """List all keys, without their secrets."""
    from serving.security.keys import Keys
    from thorax.settings import load

    keys = Keys(_keys_path(load(overrides=set_ or ()))).list()
    if json:
        print_json([_plain(key) for key in keys])
        return
    rows = [
        (
            key.id,
            key.name,
            ", ".join(key.scopes),
            key.state,
            f"{key.created:%Y-%m-%d}",
            f"{key.expires:%Y-%m-%d}" if key.expires else "never",
            key.rate or "",
        )
        for key in keys
    ]
    table("API keys", ("id", "name", "scopes", "state", "created", "expires", "rate"), rows)


@keys_app.command("revoke")
def revoke(
    which: Annotated[str, typer.Argument(help="Id or name of the key.")], set_: Set = None, json: Json = False
) -> None:
    """Revoke a key; a running service refuses it from the next request on."""
    from serving.runtime import Runtime
    from serving.security.journals import AuditLog
    from serving.security.keys import Keys
    from thorax.settings import load

    runtime = Runtime.of(load(overrides=set_ or ()))
    key = Keys(runtime.keys).revoke(which)
    AuditLog(runtime.audit).write("key.revoke", key=key.id, name=key.name)
    if json:
        print_json(_plain(key))
    else:
        out.print(f"The key {key.id} of {key.name} is revoked.", markup=False)


def _plain(key: "Key") -> dict[str, Any]:
    return key.model_dump(mode="json", exclude={"digest"}) | {"state": key.state}
