"""`akela audit`, `akela changes`, `akela cluster`, `akela doctor`."""

import socket
from typing import Any, Final
from urllib.parse import urlsplit

import click

from akela.cli.session import Session, api_options, page_options, print_json

CONNECT_S: Final = 3.0


@click.group()
def changes() -> None:
    """The change log, in sequence. `akela audit` searches it."""


@changes.command("list")
@click.option("--after", type=int, default=0, show_default=True, help="sequence behind which to begin")
@click.option("--limit", type=click.IntRange(1, 500), default=50, show_default=True, help="rows")
@api_options
def list_changes(session: Session, after: int, limit: int) -> None:
    """Changes in sequence."""
    page = session.client.get("/changes", after=after, limit=limit)
    session.rows(page, ("seq", "at", "who", "where", "kind", "op", "target", "state", "why"))


@click.group()
def audit() -> None:
    """The audit trail: who did what, when, from where."""


@audit.command("list")
@click.option("--who", help="only what this user did")
@click.option("--kind", help="only targets of this kind, such as configuration")
@click.option("--target", help="only this target: its history")
@click.option("--app", envvar="AKELA_APP", help="only inside this application  [env: AKELA_APP]")
@click.option("--tenant", help="only this tenant (platform-admin)")
@click.option("--since", help="at or after, ISO 8601 with a zone")
@click.option("--until", help="before, ISO 8601 with a zone")
@page_options
@api_options
def list_audit(session: Session, app: str | None, **where: Any) -> None:
    """Changes, newest first. With --output json also what was there before and after; secrets are masked.

    Example: akela audit list --app meters --since 2026-01-31T12:00:00Z
    """
    application = None if app is None else session.client.application(app)
    columns = ("seq", "at", "who", "where", "kind", "op", "target", "state", "why")
    session.pages("/audit", columns, app=application, **where)


@click.group()
def cluster() -> None:
    """Servers of the cluster."""


@cluster.command("status")
@api_options
def status(session: Session) -> None:
    """The servers that are there."""
    session.rows(session.client.get("/servers"), ("role", "id", "mqtt", "api", "active", "position", "load", "version"))


@cluster.command("keys")
@api_options
def keys(session: Session) -> None:
    """Public keys of the Bootstrap servers: what a device needs to believe their lists."""
    page = session.client.get("/bootstrap-keys")
    if session.json:
        session.rows(page, ())
    else:
        click.echo("\n".join(page["items"]))


@click.command()
@api_options
def doctor(session: Session) -> None:
    """Check that the API answers, the sign-in is good, and every announced address can be reached."""
    session.client.get("/me")  # raises what says what to do
    checks: list[tuple[str, str | None]] = [(f"{session.client.api} answers and the sign-in is good", None)]
    servers = session.client.get("/servers")["items"]
    for role in ("operations", "bootstrap", "control"):
        there = [server for server in servers if server["role"] == role]
        checks.append((f"{role}: {len(there)} there", None if there else f"none; start one with `akela run {role}`"))
        for server in there:
            host, port = _address(server)
            checks.append((f"{server['id']} at {host}:{port}", _reached(host, port, role)))
    if session.json:
        print_json({"checks": [{"what": what, "ok": wrong is None, "reason": wrong} for what, wrong in checks]})
    else:
        for what, wrong in checks:
            click.echo(f"{'ok  ' if wrong is None else 'FAIL'}  {what}{'' if wrong is None else ': ' + wrong}")
    if any(wrong for _, wrong in checks):
        raise click.exceptions.Exit(1)


def _address(server: Any) -> tuple[str, int]:
    """The address that a server announces."""
    if "mqtt" in server:
        return server["mqtt"]["host"], server["mqtt"]["port"]
    url = urlsplit(server["api"])
    return url.hostname or "", url.port or 80


def _reached(host: str, port: int, role: str) -> str | None:
    try:
        socket.create_connection((host, port), CONNECT_S).close()
    except OSError as error:
        whom = "clients are sent to" if role == "control" else "endpoints are told"
        return f"{error.strerror or error}; {whom} this address: set --public-host to one that they can reach"
    return None
