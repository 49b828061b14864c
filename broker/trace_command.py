"""`akela broker trace CLIENT`: reads a running server's trace and prints it.

Exit codes: 0 the trace ended, 1 the server refused it, 3 no server answers.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

import click
import httpx

DEFAULT_SERVERS: Final = ("127.0.0.1:9104", "127.0.0.1:9101")  # `akela broker`, the first Operations server
CONNECT_TIMEOUT_S: Final = 5.0
EXIT_NOT_REACHABLE: Final = 3
_FIRST: Final = ("event", "at", "client", "address", "direction", "packet", "size")  # of an event, not shown as fields
_ARROWS: Final = {"in": "->", "out": "<-"}


@click.command()
@click.argument("client", required=False)
@click.option("--address", help="ADDRESS or ADDRESS:PORT of the client, in place of its id or as well")
@click.option(
    "--server",
    metavar="HOST:PORT",
    help="admin address of the server, on this machine  [default: 127.0.0.1:9104 or 127.0.0.1:9101, whichever answers]",
)
@click.option("--duration", type=click.FloatRange(0, 86400), help="end after so many seconds  [default: with Ctrl-C]")
@click.option(
    "--payload", type=click.IntRange(0, 4096), default=64, show_default=True, help="characters of a payload to show"
)
@click.option(
    "--output",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="json: a JSON object a line",
)
def trace(
    client: str | None, address: str | None, server: str | None, duration: float | None, payload: int, output: str
) -> None:
    """Print each packet of one client, decoded, in both directions, while it happens.

    CLIENT is its client id, or on an Operations server APPLICATION/ENDPOINT. One that is not connected is waited for. Passwords are masked.

    Example: akela broker trace demo-1 --duration 30
    """
    if client is None and address is None:
        raise click.UsageError("name a CLIENT, or an --address")
    given = {"client": client, "address": address, "duration": duration, "payload": payload}
    query = {name: value for name, value in given.items() if value is not None}
    try:
        for event in _events((server,) if server is not None else DEFAULT_SERVERS, query):
            click.echo(json.dumps(event) if output == "json" else line(event))
            sys.stdout.flush()
    except KeyboardInterrupt:
        return
    except BrokenPipeError:  # who reads has enough; nothing more may be flushed there at the end
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _events(servers: Sequence[str], query: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """What the first server that answers tells. Ends the process when none does."""
    timeout = httpx.Timeout(CONNECT_TIMEOUT_S, read=None)
    for server in servers:
        try:
            with httpx.stream(
                "GET", f"http://{server}/trace", params=query, timeout=timeout, trust_env=False
            ) as answer:
                if answer.status_code != 200:
                    answer.read()
                    raise click.ClickException(f"{server}: {answer.text.strip() or answer.status_code}")
                click.echo(f"tracing at {server}, end with Ctrl-C", err=True)
                for text in answer.iter_lines():
                    yield json.loads(text)
                return
        except (httpx.ConnectError, httpx.ConnectTimeout):
            continue
        except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
            raise click.ClickException(f"{server}: {error}") from error
    click.echo(f"error: no server answers at {' or '.join(servers)}; name its admin address with --server", err=True)
    sys.exit(EXIT_NOT_REACHABLE)


def line(event: Mapping[str, Any]) -> str:
    """One event as a line of text."""
    at = datetime.fromtimestamp(event["at"]).astimezone().strftime("%H:%M:%S.%f")[:-3]
    who = f"{event.get('client') or '?'} {event.get('address') or ''}".rstrip()
    match event["event"]:
        case "waiting":
            asked = event.get("client") or event.get("address")
            return f"{at} {asked} is not connected; waiting for it"
        case "skipped":
            return f"{at} {event['packets']} skipped: they came faster than they were read"
        case "packet":
            shown = " ".join(f"{key}={_value(value)}" for key, value in event.items() if key not in _FIRST)
            return f"{at} {who} {_ARROWS[event['direction']]} {event['packet']} {shown}".rstrip()
        case "closed":
            return f"{at} {who} closed: {event['cause']}"
        case _:
            return f"{at} {who} {event['event']}"


def _value(value: object) -> str:
    """As short as it can be told from others."""
    match value:
        case bool():
            return "yes" if value else "no"
        case dict():
            return "{" + " ".join(f"{key}={_value(item)}" for key, item in value.items()) + "}"
        case list():
            return "[" + ", ".join(_value(item) for item in value) + "]"
        case str() if value and value.isprintable() and not set(value) & set(' "={}[],'):
            return value
        case str():
            return json.dumps(value, ensure_ascii=False)
        case _:
            return str(value)
