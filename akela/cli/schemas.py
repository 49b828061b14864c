"""`akela schema`."""

from typing import Any

import click

from akela.cli.session import Session, api_options, app_option, page_options, print_json, read_json, yes_option
from akela.client import path_of

KIND = click.Choice(["profile", "server-profile", "config", "notification", "log", "event"])

kind_option = click.option("--kind", type=KIND, required=True, help="what the schema describes")
name_option = click.option(
    "--name", default="default", show_default=True, help="of a log schema: the stream; of an event schema: the class"
)


@click.group()
def schema() -> None:
    """Avro schemas of an application, in versions."""


@schema.command("add")
@app_option
@kind_option
@name_option
@click.option("--force", is_flag=True, help="take it though it cannot read what the last version wrote")
@click.argument("file", metavar="FILE|-")
@api_options
def add(session: Session, app: str, kind: str, name: str, force: bool, file: str) -> None:
    """Add a version. The same schema again is the version that is there."""
    body = {"kind": kind, "name": name, "body": read_json(file), "force": force}
    session.show(session.client.create(_path(session, app), body))


@schema.command("check")
@app_option
@kind_option
@name_option
@click.argument("file", metavar="FILE|-")
@api_options
def check(session: Session, app: str, kind: str, name: str, file: str) -> None:
    """What a schema would break, and which endpoints run which version; nothing is changed. Exit code 1 when it breaks something."""
    body = {"kind": kind, "name": name, "body": read_json(file)}
    value = session.client.post(_path(session, app) + "/check", body)
    if session.json:
        print_json(value)
    else:
        session.show({key: item for key, item in value.items() if key not in ("breaks", "layers")})
        for problem in (*value["breaks"], *value["layers"]):
            click.echo(f"  {problem['path'] or '(the whole)'}: {problem['reason']}")
    if not value["compatible"] or value["layers"]:
        raise click.exceptions.Exit(1)


@schema.command("list")
@app_option
@click.option("--kind", type=KIND, help="only this kind")
@page_options
@api_options
def schemas(session: Session, app: str, kind: str | None, **page: Any) -> None:
    """Schemas of an application."""
    session.pages(_path(session, app), ("kind", "name", "version", "fingerprint", "created"), kind=kind, **page)


@schema.command("show")
@app_option
@kind_option
@name_option
@click.argument("version", type=int)
@api_options
def show(session: Session, app: str, kind: str, name: str, version: int) -> None:
    """One version."""
    session.show(session.client.get(_path(session, app) + path_of(kind, name, str(version))))


@schema.command("default")
@app_option
@kind_option
@name_option
@click.argument("version", type=int)
@api_options
def default(session: Session, app: str, kind: str, name: str, version: int) -> None:
    """The value that a version's defaults give."""
    print_json(session.client.get(_path(session, app) + path_of(kind, name, str(version)) + "/default"))


@schema.command("delete")
@app_option
@kind_option
@name_option
@click.argument("version", type=int)
@yes_option
@api_options
def delete(session: Session, app: str, kind: str, name: str, version: int, yes: bool) -> None:
    """Delete the newest version of a schema."""
    path = _path(session, app) + path_of(kind, name, str(version))
    session.delete(path, f"schema {kind}/{name}/{version}", yes=yes)


def _path(session: Session, app: str) -> str:
    return path_of("applications", session.client.application(app), "schemas")
