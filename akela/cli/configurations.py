"""`akela config`."""

import difflib
import json
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import click

from akela.cli import converging
from akela.cli.session import Session, api_options, app_option, page_options, print_json, read_json, yes_option
from akela.client import ApiError, path_of

F = TypeVar("F", bound=Callable[..., Any])
Place = dict[str, str | None]


def layer_options(command: F) -> F:
    """`--group`, `--owner`, `--endpoint`: which layer is meant."""
    command = click.option("--endpoint", envvar="AKELA_ENDPOINT", help="the layer of one endpoint")(command)
    command = click.option("--owner", help="the layer of one owner's endpoints")(command)
    return click.option("--group", help="the layer of a group  [default: the layer of all]")(command)


@click.group()
def config() -> None:
    """Configuration: what the endpoints of an application should have.

    Layers, lowest first: the schema's defaults, the layer of all, groups by ascending weight, the owner, the endpoint. A layer holds only
    what it sets. Its versions are kept: a draft waits until it is activated, an old one can be made active again.
    """


@config.command("set")
@app_option
@layer_options
@click.option("--draft", is_flag=True, help="save it, and change nothing for endpoints until `config activate`")
@click.argument("file", metavar="FILE|-")
@api_options
def set_layer(session: Session, app: str, file: str, draft: bool, **place: str | None) -> None:
    """Set a layer from a JSON file; every endpoint that it concerns gets what differs.

    Example: echo '{"interval": 10}' | akela config set --app demo -
    """
    path, body = _path(session, app, place), {"data": read_json(file)}
    session.show(session.client.create(path + "/versions", body) if draft else session.client.put(path, body))


@config.command("show")
@app_option
@layer_options
@click.option("--version", type=int, help="this version  [default: the active one]")
@api_options
def show(session: Session, app: str, version: int | None, **place: str | None) -> None:
    """One layer."""
    session.show(session.client.get(_path(session, app, place, version)))


@config.command("list")
@app_option
@page_options
@api_options
def index(session: Session, app: str, **page: Any) -> None:
    """The layers of an application."""
    path = path_of("applications", session.client.application(app), "configurations")
    session.pages(path, ("scope", "target", "active", "draft", "data", "by", "changed"), **page)


@config.command("activate")
@app_option
@layer_options
@click.option("--version", type=int, help="this version  [default: the draft]")
@api_options
def activate(session: Session, app: str, version: int | None, **place: str | None) -> None:
    """Make the draft what endpoints should have."""
    number = version if version is not None else _draft(session, app, place)
    session.show(session.client.act(_path(session, app, place, number), "activate"))


@config.command("rollback")
@app_option
@layer_options
@click.option("--version", type=int, help="to this version  [default: the one before the active one]")
@api_options
def rollback(session: Session, app: str, version: int | None, **place: str | None) -> None:
    """Make an old version active again."""
    number = version if version is not None else _before(session, app, place)
    session.show(session.client.act(_path(session, app, place, number), "activate"))


@config.command("deactivate")
@app_option
@layer_options
@api_options
def deactivate(session: Session, app: str, **place: str | None) -> None:
    """Have a layer contribute nothing; its history stays."""
    session.show(session.client.act(_path(session, app, place), "deactivate"))


@config.command("history")
@app_option
@layer_options
@page_options
@api_options
def history(session: Session, app: str, limit: int, cursor: str | None, every: bool, **place: str | None) -> None:
    """The versions of a layer, newest first."""
    path = _path(session, app, place) + "/versions"
    columns = ("version", "state", "by", "changed", "data")
    session.pages(path, columns, limit=limit, cursor=cursor, every=every)


@config.command("diff")
@app_option
@layer_options
@click.option("--from", "old", type=int, help="this version  [default: the active one]")
@click.option("--to", "new", type=int, help="this version  [default: the draft]")
@api_options
def diff(session: Session, app: str, old: int | None, new: int | None, **place: str | None) -> None:
    """What differs between two versions of a layer; with --output json both of them."""
    layer = session.client.get(_path(session, app, place))
    before = layer["data"] if old is None else _data(session, app, place, old)
    after = _data(session, app, place, _draft(session, app, place) if new is None else new)
    if session.json:
        print_json({"from": before, "to": after})
        return
    names = (f"version {layer['active'] if old is None else old}", f"version {layer['draft'] if new is None else new}")
    click.echo("\n".join(_changed_lines(before, after, names)) or "no difference")


@config.command("delete")
@app_option
@layer_options
@yes_option
@api_options
def delete(session: Session, app: str, yes: bool, **place: str | None) -> None:
    """Take a layer away, with its history."""
    session.delete(_path(session, app, place), "layer", yes=yes)


@config.command("lease")
@app_option
@click.option("--endpoint", required=True, envvar="AKELA_ENDPOINT", help="whose layer")
@click.argument("path")
@click.argument("until", metavar="SECONDS|TIME|never")
@api_options
def lease(session: Session, app: str, endpoint: str, path: str, until: str) -> None:
    """Have a value leave an endpoint's layer by itself, in so many seconds or at a time; `never`: it stays.

    Who sets another value there ends the lease.

    Example: akela config lease --app meters --endpoint meter-7 /interval 3600
    """
    layer = _path(session, app, {"endpoint": endpoint})
    said = None if until == "never" else float(until) if until.replace(".", "", 1).isdigit() else until
    session.show(session.client.act(layer, "leases", body={"path": path, "until": said}))


@config.command("effective")
@app_option
@click.option("--endpoint", required=True, envvar="AKELA_ENDPOINT", help="whose")
@api_options
def effective(session: Session, app: str, endpoint: str) -> None:
    """What an endpoint should have, and which layer set each leaf."""
    application = session.client.application(app)
    value = session.client.get(path_of("applications", application, "endpoints", endpoint, "configuration"))
    if session.json:
        print_json(value)
    else:
        click.echo(f"id {value['id']}")
        print_json(value["value"])
        for leaf, layer in sorted(value["origin"].items()):
            click.echo(f"  {leaf}: {layer}")


config.add_command(converging.status)


def _path(session: Session, app: str, place: Place, version: int | None = None) -> str:
    named = [(scope, name) for scope, name in place.items() if name is not None]
    if len(named) > 1:
        raise click.UsageError(f"one layer at a time: give one of {', '.join(f'--{scope}' for scope, _ in named)}")
    scope, target = named[0] if named else ("all", "-")
    versions = () if version is None else ("versions", str(version))
    application = session.client.application(app)
    return path_of("applications", application, "configurations", scope, str(target), *versions)


def _draft(session: Session, app: str, place: Place) -> int:
    draft: int | None = session.client.get(_path(session, app, place))["draft"]
    if draft is None:
        raise ApiError(404, "the layer has no draft; make one with `akela config set --draft`, or give --version")
    return draft


def _before(session: Session, app: str, place: Place) -> int:
    path = _path(session, app, place)
    active = session.client.get(path)["active"]
    for version in session.client.every(path + "/versions"):
        if version["state"] == "superseded" and (active is None or version["version"] < active):
            return int(version["version"])
    raise ApiError(404, "the layer has no older version; `akela config history` shows those that there are")


def _data(session: Session, app: str, place: Place, version: int) -> Any:
    return session.client.get(_path(session, app, place, version))["data"]


def _changed_lines(before: Any, after: Any, names: tuple[str, str]) -> Iterator[str]:
    old, new = (json.dumps(data, indent=2, sort_keys=True, ensure_ascii=False).splitlines() for data in (before, after))
    return difflib.unified_diff(old, new, *names, lineterm="")
