"""`akela endpoint values`: what endpoints set and propose by themselves."""

import click

from akela.cli.session import Session, api_options, app_option, confirm, print_json, yes_option
from akela.client import path_of

COLUMNS = ("state", "path", "value", "at", "until", "id")


@click.group()
def values() -> None:
    """Values that an endpoint sets or proposes by itself, where the schema gives it authority ("akela.authority")."""


@values.command("list")
@app_option
@click.argument("ep", metavar="ENDPOINT")
@api_options
def index(session: Session, app: str, ep: str) -> None:
    """What an endpoint set (it stands above every layer), and what it proposes (held until an operator decides)."""
    found = session.client.get(_path(session, app, ep))
    if session.json:
        print_json(found)
        return
    rows = [{"state": "set", **item} for item in found["values"]] + [
        {"state": "held", **item} for item in found["held"]
    ]
    session.rows({"items": rows, "next": None}, COLUMNS)


@values.command("accept")
@app_option
@click.argument("ep", metavar="ENDPOINT")
@click.argument("number", metavar="ID")
@api_options
def accept(session: Session, app: str, ep: str, number: str) -> None:
    """Make what an endpoint proposes part of its layer. `list` shows the ID.

    Example: akela endpoint values accept --app meters meter-7 0123456789abcdef
    """
    session.client.post(_path(session, app, ep, number, "accept"), None)
    session.done(f"value {number} of endpoint {ep} accepted")


@values.command("reject")
@app_option
@click.argument("ep", metavar="ENDPOINT")
@click.argument("number", metavar="ID")
@api_options
def reject(session: Session, app: str, ep: str, number: str) -> None:
    """Turn down what an endpoint proposes: it is told, and sent its configuration as it should be."""
    session.client.post(_path(session, app, ep, number, "reject"), None)
    session.done(f"value {number} of endpoint {ep} rejected")


@values.command("clear")
@app_option
@click.argument("ep", metavar="ENDPOINT")
@click.option("--path", help="only at this path and below  [default: all]")
@yes_option
@api_options
def clear(session: Session, app: str, ep: str, path: str | None, yes: bool) -> None:
    """Take away what an endpoint set by itself: what the layers say holds again.

    Example: akela endpoint values clear --app meters meter-7 --path /interval
    """
    etag = session.client.etag(path_of("applications", session.client.application(app), "endpoints", ep))
    what = f"what endpoint {ep} set" + (f" at {path}" if path else "")
    if etag is not None:
        confirm(what, yes)
    session.client.delete(_path(session, app, ep), etag=etag, path=path)
    session.done(f"{what} is taken away")


def _path(session: Session, app: str, ep: str, *more: str) -> str:
    return path_of("applications", session.client.application(app), "endpoints", ep, "values", *more)
