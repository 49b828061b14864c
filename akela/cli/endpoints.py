"""`akela endpoint`, `akela logs`."""

import time
from pathlib import Path
from typing import Any, Final

import click

from akela.cli import converging, identity, provisioning
from akela.cli.session import Session, api_options, app_option, confirm, page_options, print_json, read_json, yes_option
from akela.cli.values import values
from akela.client import path_of

TAIL_EVERY_S: Final = 0.5
RECORD_COLUMNS: Final = ("at", "endpoint", "body")


@click.group()
def endpoint() -> None:
    """Endpoints: the devices of an application."""


endpoint.add_command(values)


@endpoint.command("add")
@app_option
@click.argument("ep", metavar="[ID]", required=False)
@click.option("--from", "source", type=click.Path(path_type=Path), metavar="CSV", help="many: a file with a column id")
@click.option(
    "--credentials",
    type=click.Path(path_type=Path),
    metavar="CSV",
    help="where the passwords go  [default: CSV.credentials]",
)
@click.option("--skip-bad", is_flag=True, help="leave bad lines out instead of refusing the file")
@api_options
def add(
    session: Session, app: str, ep: str | None, source: Path | None, credentials: Path | None, skip_bad: bool
) -> None:
    """Provision endpoints before they first connect.

    With ID one; its credential is shown once. With --from all those in a CSV file whose first line names its columns: id and, if you have
    passwords already, credential. Where it has none they are made here and written to the file of --credentials, which only you can read,
    before anything is sent: so an import that was interrupted is completed by the same command.

    Example: akela endpoint add --app meters --from fleet.csv
    """
    if (ep is None) == (source is None):
        raise click.UsageError("give an ID, or --from CSV")
    if source is not None:
        batches = path_of("applications", session.client.application(app), "endpoint-batches")
        provisioning.provision(session, batches, source, credentials, skip_bad=skip_bad)
    else:
        session.show(session.client.create(_path(session, app), {"id": ep}), secret="credential")


@endpoint.command("list")
@app_option
@click.option("--prefix", help="only ids that begin so")
@click.option("--revoked/--not-revoked", default=None, help="only those that are, or are not")
@click.option("--owner", help="only this owner's")
@click.option("--group", help="only members of this group")
@page_options
@api_options
def index(session: Session, app: str, **where: Any) -> None:
    """Endpoints of an application."""
    columns = ("id", "how", "registered_at", "last_seen", "server", "owner", "groups", "revoked")
    session.pages(_path(session, app), columns, **where)


@endpoint.command("show")
@app_option
@click.argument("ep", metavar="ID")
@api_options
def show(session: Session, app: str, ep: str) -> None:
    """One endpoint: who it is, and whether it runs the configuration that it should."""
    value = session.client.get(_path(session, app, ep))
    if session.json:
        print_json(value)
        return
    session.show({key: item for key, item in value.items() if key != "config"})
    click.echo(f"configuration: {_sentence(value['config'])}")


@endpoint.command("update")
@app_option
@click.argument("ep", metavar="ID")
@click.option("--owner", help="whose it is now")
@click.option("--no-owner", is_flag=True, help="nobody's")
@click.option("--server-profile", metavar="FILE|-", help="the server-side profile, as JSON")
@api_options
def update(session: Session, app: str, ep: str, owner: str | None, no_owner: bool, server_profile: str | None) -> None:
    """Change what operators say of an endpoint: what is left out stays. Groups and configuration follow.

    Example: akela endpoint update --app meters meter-2 --owner jo
    """
    if owner is not None and no_owner:
        raise click.UsageError("give --owner or --no-owner")
    changes = {"owner": owner} if owner is not None or no_owner else {}
    if server_profile is not None:
        changes |= {"server_profile": read_json(server_profile)}
    if not changes:
        raise click.UsageError("nothing to change: give one of --owner, --no-owner, --server-profile")
    session.show(session.client.patch(_path(session, app, ep), changes))


@endpoint.command("retry")
@app_option
@click.argument("ep", metavar="ID")
@api_options
def retry(session: Session, app: str, ep: str) -> None:
    """Send an endpoint its configuration again that is held back because it was refused, or never answered."""
    session.client.act(_path(session, app, ep), "retry")
    session.done(f"endpoint {ep} is tried again")


@endpoint.command("revoke")
@app_option
@click.argument("ep", metavar="ID")
@api_options
def revoke(session: Session, app: str, ep: str) -> None:
    """Shut an endpoint out: it is disconnected at once, and stays out until it is restored."""
    session.client.act(_path(session, app, ep), "revoke")
    session.done(f"endpoint {ep} revoked")


@endpoint.command("restore")
@app_option
@click.argument("ep", metavar="ID")
@api_options
def restore(session: Session, app: str, ep: str) -> None:
    """Lift a revocation."""
    session.client.act(_path(session, app, ep), "restore")
    session.done(f"endpoint {ep} restored")


@endpoint.command("rotate")
@app_option
@click.argument("ep", metavar="ID")
@api_options
def rotate(session: Session, app: str, ep: str) -> None:
    """Give an endpoint a new credential, shown once. The old one stays good until the new one is used, or `retire` takes it away."""
    session.show(session.client.create(_path(session, app, ep) + "/credentials", None), secret="credential")


@endpoint.command("retire")
@app_option
@click.argument("ep", metavar="ID")
@click.argument("credential", metavar="CREDENTIAL_ID")
@yes_option
@api_options
def retire(session: Session, app: str, ep: str, credential: str, yes: bool) -> None:
    """Take a credential of an endpoint away: sessions that use it end. `show` lists them."""
    path = _path(session, app, ep)
    etag = session.client.etag(path)
    confirm(f"credential {credential} of endpoint {ep}", yes)
    session.client.delete(path + path_of("credentials", credential), etag=etag)
    session.done(f"credential {credential} of endpoint {ep} deleted")


@endpoint.command("delete")
@app_option
@click.argument("ep", metavar="ID")
@yes_option
@api_options
def delete(session: Session, app: str, ep: str, yes: bool) -> None:
    """Delete an endpoint. It is disconnected, and stays out until `add` or `readmit` lets it come back."""
    session.delete(_path(session, app, ep), f"endpoint {ep}", yes=yes)


for command in (identity.departed, identity.readmit, identity.certificates, converging.explain):
    endpoint.add_command(command)


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
def query(session: Session, app: str, stream: str, **where: Any) -> None:
    """Records of a stream, newest first.

    Example: akela logs query --app demo values --endpoint demo-1 --limit 10
    """
    session.pages(_records(session, app, stream), RECORD_COLUMNS, **where)


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


def _path(session: Session, app: str, ep: str | None = None) -> str:
    names = () if ep is None else (ep,)
    return path_of("applications", session.client.application(app), "endpoints", *names)


def _records(session: Session, app: str, stream: str) -> str:
    return path_of("applications", session.client.application(app), "streams", stream, "records")
