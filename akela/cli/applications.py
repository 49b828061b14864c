"""`akela app`, `akela schema`."""

import click

from akela.cli.session import Session, api_options, app_option, confirm, page_options, read_json, yes_option

TRUST = click.Choice(["open", "listed", "closed"])
KIND = click.Choice(["profile", "server-profile", "config", "notification", "log", "event"])


@click.group()
def app() -> None:
    """Applications: fleets of endpoints that share schemas and configuration."""


@app.command("create")
@click.argument("name")
@click.option("--trust", type=TRUST, default="open", show_default=True, help="who may register with the claim secret")
@api_options
def create(session: Session, name: str, trust: str) -> None:
    """Make an application: prints its token (`id`) and, once, its claim secret."""
    session.show(session.client.post("/applications", {"name": name, "trust": trust}), secret="claim_secret")


@app.command("list")
@page_options
@api_options
def index(session: Session, limit: int, cursor: str | None) -> None:
    """Applications of your tenant."""
    session.rows(session.client.get("/applications", limit=limit, cursor=cursor), ("id", "name", "trust", "created"))


@app.command("show")
@click.argument("name")
@api_options
def show(session: Session, name: str) -> None:
    """One application, by token or name."""
    session.show(session.client.get(f"/applications/{session.client.application(name)}"))


@app.command("update")
@click.argument("name")
@click.option("--name", "new_name", help="new name")
@click.option("--trust", type=TRUST, help="who may register with the claim secret")
@api_options
def update(session: Session, name: str, new_name: str | None, trust: str | None) -> None:
    """Change an application's name or trust."""
    changes = {key: value for key, value in (("name", new_name), ("trust", trust)) if value is not None}
    if not changes:
        raise click.UsageError("nothing to change: give --name or --trust")
    session.show(session.client.patch(f"/applications/{session.client.application(name)}", changes))


@app.command("claim-secret")
@click.argument("name")
@yes_option
@api_options
def claim_secret(session: Session, name: str, yes: bool) -> None:
    """Replace the claim secret; the old one opens nothing any more."""
    confirm(f"the claim secret of {name} and make a new one", yes)
    path = f"/applications/{session.client.application(name)}/claim-secrets"
    session.show(session.client.post(path), secret="claim_secret")


@app.command("delete")
@click.argument("name")
@yes_option
@api_options
def delete(session: Session, name: str, yes: bool) -> None:
    """Delete an application with its schemas, configuration and endpoints."""
    confirm(f"application {name} with everything in it", yes)
    session.client.delete(f"/applications/{session.client.application(name)}")
    session.done(f"application {name} deleted")


@click.group()
def schema() -> None:
    """Avro schemas of an application, in versions."""


@schema.command("add")
@app_option
@click.option("--kind", type=KIND, required=True, help="what the schema describes")
@click.option("--name", default="default", show_default=True, help="of a log schema: the stream")
@click.argument("file", metavar="FILE|-")
@api_options
def add(session: Session, app: str, kind: str, name: str, file: str) -> None:
    """Add a version. The same schema again is the version that is there."""
    body = {"kind": kind, "name": name, "body": read_json(file)}
    session.show(session.client.post(f"/applications/{session.client.application(app)}/schemas", body))


@schema.command("list")
@app_option
@click.option("--kind", type=KIND, help="only this kind")
@page_options
@api_options
def schemas(session: Session, app: str, kind: str | None, limit: int, cursor: str | None) -> None:
    """Schemas of an application."""
    path = f"/applications/{session.client.application(app)}/schemas"
    session.rows(
        session.client.get(path, kind=kind, limit=limit, cursor=cursor),
        ("kind", "name", "version", "fingerprint", "created"),
    )


@schema.command("show")
@app_option
@click.option("--kind", type=KIND, required=True, help="what the schema describes")
@click.option("--name", default="default", show_default=True, help="of a log schema: the stream")
@click.argument("version", type=int)
@api_options
def schema_show(session: Session, app: str, kind: str, name: str, version: int) -> None:
    """One version."""
    session.show(session.client.get(f"/applications/{session.client.application(app)}/schemas/{kind}/{name}/{version}"))
