"""Commands of `akela endpoint` and `akela app` about who may connect: deleted endpoints, certificates, claim secrets, keys for JWTs."""

import re
from typing import Any, Final, TextIO

import click

from akela.cli.session import Session, api_options, app_option, confirm, page_options, yes_option
from akela.client import path_of

ALGORITHMS: Final = ("ES256", "RS256", "EdDSA")
HOURS: Final = {"h": 1, "d": 24, "w": 7 * 24}


class Days(click.ParamType[int]):
    """A span of time in whole days: 30, 30d, 4w, 48h."""

    name = "span"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """The span in days, rounded up."""
        if isinstance(value, int):
            return value
        found = re.fullmatch(r"([0-9]{1,6})([hdw]?)", value)
        if found is None:
            self.fail(f"{value!r} is no span of time; write 30d, 4w or 48h", param, ctx)
        return -(-int(found[1]) * HOURS[found[2] or "d"] // 24)


@click.command("departed")
@app_option
@click.option("--prefix", help="only ids that begin so")
@page_options
@api_options
def departed(session: Session, app: str, **where: Any) -> None:
    """Endpoints that were deleted. They do not register again by themselves: `add` or `readmit` lets them."""
    session.pages(_app(session, app, "departures"), ("id", "departed", "by"), **where)


@click.command("readmit")
@app_option
@click.argument("ep", metavar="ID")
@api_options
def readmit(session: Session, app: str, ep: str) -> None:
    """Let an endpoint that was deleted register again, as one that is new."""
    path = _app(session, app, "departures", ep)
    session.client.delete(path, etag=session.client.etag(path))
    session.done(f"endpoint {ep} may register again")


@click.command("certificates")
@app_option
@click.option("--within", type=Days(), default="30d", show_default=True, help="those that expire within: 30d, 4w, 48h")
@page_options
@api_options
def certificates(session: Session, app: str, within: int, **page: Any) -> None:
    """Endpoints whose certificate has expired or expires soon, the soonest first.

    Example: akela endpoint certificates --app meters --within 30d
    """
    path = _app(session, app, "certificates")
    session.pages(path, ("id", "not_after", "subject", "serial", "authority"), within_days=within, **page)


@click.command("claims")
@click.argument("name")
@api_options
def claims(session: Session, name: str) -> None:
    """An application's claim secrets, without their text: quota, how many have registered, expiry."""
    found = session.client.get(_app(session, name, "claim-secrets"))
    session.rows(found, ("id", "created", "expires", "quota", "used", "revoked"))


@click.command("claim-update")
@click.argument("name")
@click.argument("claim", metavar="CLAIM_ID")
@click.option("--quota", type=click.IntRange(1), help="endpoints that may register with it")
@click.option("--no-quota", is_flag=True, help="any number may")
@click.option("--expires", help="when it expires, ISO 8601 with zone")
@click.option("--revoked/--not-revoked", default=None, help="the kill switch: it opens nothing")
@api_options
def claim_update(session: Session, name: str, claim: str, quota: int | None, no_quota: bool, **given: Any) -> None:
    """Change a claim secret's quota, expiry or kill switch: what is left out stays."""
    if quota is not None and no_quota:
        raise click.UsageError("give --quota or --no-quota")
    changes = {key: value for key, value in given.items() if value is not None}
    if quota is not None or no_quota:
        changes["quota"] = quota
    if not changes:
        raise click.UsageError("nothing to change: give one of --quota, --no-quota, --expires, --revoked")
    session.show(session.client.patch(_app(session, name, "claim-secrets", claim), changes))


@click.command("keys")
@click.argument("name")
@api_options
def keys(session: Session, name: str) -> None:
    """Who may sign the JWTs of an application's endpoints."""
    found = session.client.get(_app(session, name))
    session.rows({"items": found["keys"], "next": None}, ("id", "algorithm", "public_key"))


@click.command("key-add")
@click.argument("name")
@click.argument("key", metavar="KEY_ID")
@click.argument("file", type=click.File(), metavar="PEM|-")
@click.option(
    "--algorithm", type=click.Choice(ALGORITHMS), default="ES256", show_default=True, help="the one it signs by"
)
@api_options
def key_add(session: Session, name: str, key: str, file: TextIO, algorithm: str) -> None:
    """Let the owner of a public key sign JWTs of an application's endpoints. KEY_ID is the JWT's kid."""
    present = session.client.get(_app(session, name))["keys"]
    if any(item["id"] == key for item in present):
        raise click.UsageError(f"there is a key {key} already; delete it first, or give this one another id")
    added = {"id": key, "algorithm": algorithm, "public_key": file.read()}
    session.client.patch(_app(session, name), {"keys": [*present, added]})
    session.done(f"key {key} of application {name} added")


@click.command("key-delete")
@click.argument("name")
@click.argument("key", metavar="KEY_ID")
@yes_option
@api_options
def key_delete(session: Session, name: str, key: str, yes: bool) -> None:
    """Take a key for JWTs away: what it signed opens nothing any more."""
    present = session.client.get(_app(session, name))["keys"]
    rest = [item for item in present if item["id"] != key]
    if len(rest) == len(present):
        raise click.UsageError(f"application {name} has no key {key}")
    confirm(f"key {key} of application {name}", yes)
    session.client.patch(_app(session, name), {"keys": rest})
    session.done(f"key {key} of application {name} deleted")


def _app(session: Session, name: str, *names: str) -> str:
    return path_of("applications", session.client.application(name), *names)
