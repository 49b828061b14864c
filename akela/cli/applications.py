"""`akela app`."""

import json
from pathlib import Path
from typing import Any

import click

from akela.cli import identity
from akela.cli.session import Session, api_options, confirm, page_options, print_json, read_json, yes_option
from akela.client import path_of

TRUST = click.Choice(["open", "listed", "closed"])


@click.group()
def app() -> None:
    """Applications: fleets of endpoints that share schemas and configuration."""


@app.command("create")
@click.argument("name")
@click.option("--trust", type=TRUST, default="open", show_default=True, help="who may register with the claim secret")
@click.option("--default-stream", help="stream of `u/value/{name}`  [default: values]")
@api_options
def create(session: Session, name: str, trust: str, default_stream: str | None) -> None:
    """Make an application: prints its token (`id`) and, once, its claim secret."""
    body = {"name": name, "trust": trust} | ({} if default_stream is None else {"default_stream": default_stream})
    session.show(session.client.create("/applications", body), secret="claim_secret")


@app.command("list")
@page_options
@api_options
def index(session: Session, **page: Any) -> None:
    """Applications of your tenant."""
    session.pages("/applications", ("id", "name", "trust", "created"), **page)


@app.command("show")
@click.argument("name")
@api_options
def show(session: Session, name: str) -> None:
    """One application, by token or name."""
    session.show(session.client.get(_path(session, name)))


@app.command("update")
@click.argument("name")
@click.option("--name", "new_name", help="new name")
@click.option("--trust", type=TRUST, help="who may register with the claim secret")
@click.option("--default-stream", help="stream of `u/value/{name}`")
@api_options
def update(session: Session, name: str, new_name: str | None, trust: str | None, default_stream: str | None) -> None:
    """Change an application's name, trust or default stream."""
    given = {"name": new_name, "trust": trust, "default_stream": default_stream}
    changes = {key: value for key, value in given.items() if value is not None}
    if not changes:
        raise click.UsageError("nothing to change: give --name, --trust or --default-stream")
    session.show(session.client.patch(_path(session, name), changes))


@app.command("claim-secret")
@click.argument("name")
@click.option("--keep-others", is_flag=True, help="the present claim secrets go on being good")
@click.option("--ttl", type=click.IntRange(60), help="seconds that it is good  [default: it does not expire]")
@click.option("--quota", type=click.IntRange(1), help="endpoints that may register with it  [default: any number]")
@yes_option
@api_options
def claim_secret(session: Session, name: str, keep_others: bool, ttl: int | None, quota: int | None, yes: bool) -> None:
    """Make a claim secret; the old ones open nothing any more, unless --keep-others."""
    if not keep_others:
        confirm(f"the claim secrets of {name} and make a new one", yes)
    body = {"keep_others": keep_others, "ttl_s": ttl, "quota": quota}
    path = _path(session, name) + "/claim-secrets"
    session.show(session.client.create(path, body), secret="claim_secret")


@app.command("export")
@click.argument("name")
@click.option(
    "--file", "file", type=click.Path(dir_okay=False, path_type=Path), help="write there  [default: standard output]"
)
@api_options
def export(session: Session, name: str, file: Path | None) -> None:
    """All that an application defines, as one JSON document: no endpoints, no history, no secrets."""
    value = session.client.get(_path(session, name) + "/export")
    if file is None:
        print_json(value)
        return
    try:
        file.write_text(json.dumps(value, ensure_ascii=False, indent=2) + "\n")
    except OSError as error:
        raise click.UsageError(f"{file}: {error.strerror}") from error
    session.done(f"application {name} written to {file}")


@app.command("import")
@click.argument("file", metavar="FILE|-")
@click.option("--name", help="name of the application  [default: the document's]")
@click.option("--dry-run", is_flag=True, help="say what would be done, do nothing")
@api_options
def import_(session: Session, file: str, name: str | None, dry_run: bool) -> None:
    """Bring an application to what an exported document says; it is made if need be. Doing it again changes nothing.

    Example: akela app export meters | akela app import - --name meters-test --dry-run
    """
    query = "&".join([*([f"name={path_of(name)[1:]}"] if name else []), *(["dry_run=true"] if dry_run else [])])
    value = session.client.post("/applications/import" + (f"?{query}" if query else ""), read_json(file))
    if session.json:
        print_json(value)
        return
    session.rows({"items": [step for step in value["steps"] if step["op"] != "kept"]}, ("op", "kind", "name"))
    kept = sum(step["op"] == "kept" for step in value["steps"])
    click.echo(f"{'would be done' if dry_run else 'done'}; {kept} things were so already", err=True)
    if value.get("claim_secret"):
        click.echo(f"claim secret {value['claim_secret']}: it is shown only this once")


@app.command("delete")
@click.argument("name")
@yes_option
@api_options
def delete(session: Session, name: str, yes: bool) -> None:
    """Delete an application with its schemas, configuration and endpoints."""
    path = _path(session, name)
    etag = session.client.etag(path)
    confirm(f"application {name} with everything in it", yes)
    session.client.delete(path, etag=etag)
    session.done(f"application {name} deleted")


for command in (identity.claims, identity.claim_update, identity.keys, identity.key_add, identity.key_delete):
    app.add_command(command)


def _path(session: Session, name: str) -> str:
    return path_of("applications", session.client.application(name))
