"""`akela device`: a device on this machine, for trying things out and for people without Mosquitto's clients."""

import json
import os
import queue
import random
import secrets
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, TypeVar

import click

from akela.contract.bootlist import public_from_text
from akela.contract.errors import SignatureError
from device_lib.connection import Acknowledged, Closed, Connection, Event, Message
from device_lib.endpoint import Endpoint, EndpointSettings
from device_lib.errors import EndpointError, FullError, NotConnectedError
from device_lib.servers import Address, fetch, in_order
from device_lib.store import FileStore

F = TypeVar("F", bound=Callable[..., Any])

CONNECT_WITHIN_S: Final = 10.0
REFUSAL_WITHIN_S: Final = 0.3
DEMO_RUN: Final = "demo-2"  # not demo-1: two devices with one id take over from each other


def identity_options(command: F) -> F:
    """Who connects, where to, and with what."""
    options = (
        click.option("--app", envvar="AKELA_APP", help="application token  [env: AKELA_APP]"),
        click.option("--endpoint", envvar="AKELA_ENDPOINT", help="endpoint id  [env: AKELA_ENDPOINT]"),
        click.option(
            "--claim-secret",
            envvar="AKELA_CLAIM_SECRET",
            help="password: claim secret or credential  [env: AKELA_CLAIM_SECRET]",
        ),
        click.option("--bootstrap", help="Bootstrap server HOST:PORT"),
        click.option(
            "--trust-key",
            envvar="AKELA_TRUST_KEY",
            help="key of the Bootstrap server's lists, KID:BASE64  [env: AKELA_TRUST_KEY]",
        ),
        click.option("--server", help="Operations server HOST:PORT, instead of asking a Bootstrap server"),
        click.option("--demo", is_flag=True, help="take all of this from the demo that `akela up --demo` made"),
        click.option(
            "--data",
            type=click.Path(path_type=Path),
            default=Path("akela-data"),
            show_default=True,
            help="data directory of the demo",
        ),
    )
    decorated: Any = command
    for option in reversed(options):
        decorated = option(decorated)
    return decorated  # type: ignore[no-any-return]


@click.group()
def device() -> None:
    """Be a device: run one on the endpoint library, or publish and subscribe by hand."""


@device.command()
@identity_options
@click.option("--register", is_flag=True, help="get a credential of its own, and use it from then on")
@click.option("--profile", help="profile as JSON, or @FILE")
@click.option("--stream", help="send a record to this stream every --interval seconds")
@click.option(
    "--interval", type=click.FloatRange(0.001), default=5.0, show_default=True, help="seconds between records"
)
@click.option("--count", type=click.IntRange(1), help="stop after so many records are acknowledged")
@click.option(
    "--state",
    type=click.Path(path_type=Path),
    envvar="AKELA_STATE",
    help="where it keeps its state  [env: AKELA_STATE]",
)
@click.option("--output", type=click.Choice(["text", "json"]), default="text", help="json: one object per event")
def run(
    register: bool,
    profile: str | None,
    stream: str | None,
    interval: float,
    count: int | None,
    state: Path | None,
    output: str,
    **who: Any,
) -> None:
    """Run a device: it registers, follows its configuration, sends readings, and prints what happens. Ctrl-C ends it.

    Example: akela device run --demo
    """
    known = _demo(who, DEMO_RUN)
    if who["demo"]:
        register, stream = True, stream or "readings"
        profile = profile or '{"model": "akela device", "firmware": "1.0.0"}'
    settings = EndpointSettings(
        app=_needed(known, "app"), endpoint=_needed(known, "endpoint"), claim_secret=known["claim_secret"], register=register,
        profile=_profile(profile), **_where(known),
    )  # fmt: skip
    say = _sayer(output)
    store = FileStore(state or _state_file(settings.app, settings.endpoint))
    try:
        with Endpoint(settings, store=store, on_event=say) as endpoint:
            _send_readings(endpoint, stream, interval, count, say)
    except KeyboardInterrupt:
        say("stopped", {})
    except ValueError as error:
        raise click.UsageError(str(error)) from error


@device.command()
@identity_options
@click.option("--qos", type=click.IntRange(0, 1), default=1, show_default=True, help="quality of service")
@click.argument("topic")
@click.argument("message")
def pub(qos: int, topic: str, message: str, **who: Any) -> None:
    """Publish one message as the device, like mosquitto_pub.

    Example: akela device pub --demo a1/me/u/value/temperature 21.5
    """
    known = _demo(who, "demo-1")
    events: queue.SimpleQueue[Event] = queue.SimpleQueue()
    connection = _connected(known, "a1/me/d/err/#", events.put)
    try:
        connection.publish(topic, message.encode(), qos)
        acknowledged = False
        while True:  # a refusal comes with the acknowledgement, or right before it
            match events.get(timeout=REFUSAL_WITHIN_S if acknowledged else CONNECT_WITHIN_S):
                case Acknowledged():
                    acknowledged = True
                case Message(name, payload):
                    raise click.ClickException(f"refused: {name.rpartition('/')[2]} {payload.decode()}")
                case Closed():
                    raise click.ClickException("the connection was closed before the message was acknowledged")
    except queue.Empty:
        if not acknowledged:
            raise click.ClickException("the message is not acknowledged") from None
    finally:
        connection.close()


@device.command()
@identity_options
@click.option("--operator", is_flag=True, help="with --demo: as the demo's operator instead of a device")
@click.option("--count", type=click.IntRange(1), help="stop after so many messages")
@click.option("-v", "--verbose", is_flag=True, help="print topics too")
@click.argument("topic")
def sub(operator: bool, count: int | None, verbose: bool, topic: str, **who: Any) -> None:
    """Subscribe as the device and print what comes, like mosquitto_sub. Ctrl-C ends it.

    Example: akela device sub --demo -v 'a1/me/d/#'
    """
    known = _demo(who, "demo-1")
    if operator:
        if not who["demo"]:
            raise click.UsageError("--operator goes with --demo")
        known |= {
            "app": known["operator_user"],
            "claim_secret": known["operator_token"],
            "endpoint": f"sub-{secrets.token_hex(4)}",
        }
    events: queue.SimpleQueue[Event] = queue.SimpleQueue()
    connection = _connected(known, topic, events.put)
    click.echo(f"subscribed to {topic}", err=True)
    seen = 0
    try:
        while count is None or seen < count:
            event = events.get()
            if isinstance(event, Closed):
                raise click.ClickException("the connection was closed")
            if isinstance(event, Message):
                text = event.payload.decode(errors="backslashreplace")
                click.echo(f"{event.topic} {text}" if verbose else text)
                seen += 1
    except KeyboardInterrupt:
        return
    finally:
        connection.close()


def _connected(known: Mapping[str, Any], topic: str, inbox: Callable[[Event], None]) -> Connection:
    where = _where(known)
    connection = Connection(_needed(known, "endpoint"), inbox)
    try:
        if where.get("servers"):
            address = where["servers"][0]
        else:
            servers = in_order(fetch(where["bootstrap"], where["trusted_keys"]).servers, random.Random())
            if not servers:
                raise NotConnectedError("the Bootstrap server knows no Operations server at the moment")
            address = Address(servers[0].host, servers[0].port)
        connection.open(address.host, address.port, known["app"], known["claim_secret"], topic, CONNECT_WITHIN_S)
    except EndpointError as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(3)
    return connection


def _demo(who: dict[str, Any], endpoint: str) -> dict[str, Any]:
    """The options, with what is left out taken from the demo if that is asked for."""
    if not who["demo"]:
        return who
    file = who["data"] / "demo.json"
    try:
        made = json.loads(file.read_text())
    except (OSError, ValueError) as error:
        raise click.UsageError(
            f"{file}: {error}; start the demo first with `akela up --demo`, or name its directory with --data"
        ) from error
    given = {name: value for name, value in who.items() if value is not None}
    return {"server": None, **made, "endpoint": endpoint} | given


def _where(known: Mapping[str, Any]) -> dict[str, Any]:
    try:
        if known.get("server"):
            return {"servers": [Address.parse(known["server"])]}
        if not known.get("bootstrap"):
            raise click.UsageError(
                "where to connect? give --bootstrap HOST:PORT and --trust-key, or --server HOST:PORT"
            )
        if not known.get("trust_key"):
            raise click.UsageError(
                "a Bootstrap server's list needs --trust-key KID:BASE64; `akela cluster keys` prints it"
            )
        kid, key = public_from_text(known["trust_key"])
        return {"bootstrap": [Address.parse(known["bootstrap"])], "trusted_keys": {kid: key}}
    except (ValueError, SignatureError) as error:
        raise click.UsageError(str(error)) from error


def _needed(known: Mapping[str, Any], name: str) -> str:
    value = known.get(name)
    if not value:
        raise click.UsageError(f"--{name.replace('_', '-')} is needed (or --demo)")
    return str(value)


def _profile(text: str | None) -> Any:
    if text is None:
        return None
    try:
        return json.loads(Path(text[1:]).read_text() if text.startswith("@") else text)
    except (OSError, ValueError) as error:
        raise click.UsageError(f"--profile: {error}") from error


def _state_file(app: str, endpoint: str) -> Path:
    base = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state")
    return base / "akela" / app / f"{endpoint}.json"


def _sayer(output: str) -> Callable[[str, Mapping[str, Any]], None]:
    def say(what: str, values: Mapping[str, Any]) -> None:
        if output == "json":
            click.echo(json.dumps({"event": what, **values}))
        else:
            rest = " ".join(
                f"{key}={json.dumps(value) if not isinstance(value, str) else value}"
                for key, value in values.items()
                if value is not None
            )
            click.echo(f"{time.strftime('%H:%M:%S')} {what} {rest}".rstrip())

    return say


def _send_readings(
    endpoint: Endpoint,
    stream: str | None,
    interval: float,
    count: int | None,
    say: Callable[[str, Mapping[str, Any]], None],
) -> None:
    sent = 0
    while stream is None:
        time.sleep(interval)
    while count is None or sent < count:
        record = {"sensor": "t1", "value": round(random.gauss(21.5, 0.5), 2), "seq": sent}
        try:
            receipt = endpoint.log(stream, record)
        except FullError as error:
            say("waiting", {"reason": str(error)})
            continue
        sent += 1
        if receipt_in_time(receipt.wait, interval):
            say("reading acknowledged", record)
        if count is None or sent < count:
            time.sleep(interval)


def receipt_in_time(wait: Callable[[float], None], timeout_s: float) -> bool:
    """Whether an acknowledgement comes in time; later is no failure, only not now."""
    try:
        wait(max(timeout_s, CONNECT_WITHIN_S))
    except EndpointError:
        return False
    return True
