"""`akela endpoint`, `akela logs`."""

import time
from typing import Any, Final

import click

from akela.cli.session import Session, api_options, app_option, confirm, page_options, print_json, yes_option

TAIL_EVERY_S: Final = 0.5
RECORD_COLUMNS: Final = ("at", "endpoint", "body")


@click.group()
def endpoint() -> None:
    """Endpoints: the devices of an application."""


@endpoint.command("add")
@app_option
@click.argument("ep", metavar="ID")
@api_options
def add(session: Session, app: str, ep: str) -> None:
    """Provision an endpoint before it first connects; its credential is shown once."""
    session.show(session.client.post(_path(session, app), {"id": ep}), secret="credential")


@endpoint.command("list")
@app_option
@page_options
@api_options
def index(session: Session, app: str, limit: int, cursor: str | None) -> None:
    """Endpoints of an application."""
    page = session.client.get(_path(session, app), limit=limit, cursor=cursor)
    session.rows(page, ("id", "how", "registered_at", "last_seen", "server", "revoked"))


@endpoint.command("show")
@app_option
@click.argument("ep", metavar="ID")
@api_options
def show(session: Session, app: str, ep: str) -> None:
    """One endpoint: who it is, and whether it runs the configuration that it should."""
    value = session.client.get(f"{_path(session, app)}/{ep}")
    if session.json:
        print_json(value)
        return
    session.show({key: item for key, item in value.items() if key != "config"})
    click.echo(f"configuration: {_sentence(value['config'])}")


@endpoint.command("revoke")
@app_option
@click.argument("ep", metavar="ID")
@api_options
def revoke(session: Session, app: str, ep: str) -> None:
    """Shut an endpoint out: it is disconnected at once, and stays out until it is restored."""
    session.client.act(f"{_path(session, app)}/{ep}", "revoke")
    session.done(f"endpoint {ep} revoked")


@endpoint.command("restore")
@app_option
@click.argument("ep", metavar="ID")
@api_options
def restore(session: Session, app: str, ep: str) -> None:
    """Lift a revocation."""
    session.client.act(f"{_path(session, app)}/{ep}", "restore")
    session.done(f"endpoint {ep} restored")


@endpoint.command("delete")
@app_option
@click.argument("ep", metavar="ID")
@yes_option
@api_options
def delete(session: Session, app: str, ep: str, yes: bool) -> None:
    """Forget an endpoint. Under open trust it may register again; `revoke` keeps it out."""
    confirm(f"endpoint {ep}", yes)
    session.client.delete(f"{_path(session, app)}/{ep}")
    session.done(f"endpoint {ep} deleted")


@click.group()
def logs() -> None:
    """Records that endpoints have sent."""


@logs.command("query")
@app_option
@click.argument("stream")
@click.option("--endpoint", help="only this endpoint's")
@click.option("--since", help="received at or after, ISO 8601")
@click.option("--until", help="received before, ISO 8601")
@page_options
@api_options
def query(session: Session, app: str, stream: str, limit: int, cursor: str | None, **where: str | None) -> None:
    """Records of a stream, newest first.

    Example: akela logs query --app demo values --endpoint demo-1 --limit 10
    """
    session.rows(
        session.client.get(_records(session, app, stream), limit=limit, cursor=cursor, **where), RECORD_COLUMNS
    )


@logs.command("tail")
@app_option
@click.argument("stream")
@click.option("--endpoint", help="only this endpoint's")
@api_options
def tail(session: Session, app: str, stream: str, endpoint: str | None) -> None:
    """Records of a stream as they come, until Ctrl-C."""
    path = _records(session, app, stream)
    newest = next(iter(session.client.get(path, limit=1, endpoint=endpoint)["items"]), None)
    seen = newest["id"] if newest else ""
    while True:
        fresh = _behind(session, path, endpoint, seen)
        for record in fresh:
            if session.json:
                print_json(record)
            else:
                click.echo(f"{record['at']}  {record['endpoint']}  {record['body']}")
            seen = record["id"]
        time.sleep(TAIL_EVERY_S)


def _behind(session: Session, path: str, endpoint: str | None, seen: str) -> list[Any]:
    """Records newer than the one with id `seen`, oldest first."""
    fresh: list[Any] = []
    cursor = None
    while True:
        page = session.client.get(path, limit=200, cursor=cursor, endpoint=endpoint)
        newer = [record for record in page["items"] if record["id"] > seen]
        fresh += newer
        cursor = page["next"]
        if cursor is None or len(newer) < len(page["items"]):
            return fresh[::-1]


def _sentence(config: Any) -> str:
    match config["state"]:
        case "unconfigured":
            return "the application has no configuration"
        case "applied":
            return f"applied {config['target']} at {config['applied']['at']}"
        case "refused":
            refused = config["refused"]
            where = f" at {refused['key']}" if refused.get("key") else ""
            return f"refused {config['target']}: {refused['code']}{where} {refused.get('reason') or ''}".rstrip()
    return f"{config['state']}: {config['target']} is not applied yet"


def _path(session: Session, app: str) -> str:
    return f"/applications/{session.client.application(app)}/endpoints"


def _records(session: Session, app: str, stream: str) -> str:
    return f"/applications/{session.client.application(app)}/streams/{stream}/records"
