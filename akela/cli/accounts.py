"""`akela login`, `logout`, `tenant`, `user`, `token`."""

import sys

import click

from akela.cli.session import (
    Session,
    api_options,
    confirm,
    page_options,
    print_json,
    profile_file,
    write_profile,
    yes_option,
)
from akela.client import AkelaClient

ROLE = click.Choice(["platform-admin", "tenant-admin", "tenant-developer", "tenant-viewer"])


@click.command()
@click.argument("url")
@click.option("--user", required=True, help="user name")
@click.option("--password-stdin", is_flag=True, help="read the password from standard input instead of asking")
@click.option(
    "--output", type=click.Choice(["table", "json"]), default="table", help="json prints the answer with the token"
)
def login(url: str, user: str, password_stdin: bool, output: str) -> None:
    """Sign in to the API at URL and remember it for the commands that follow.

    Example: akela login http://127.0.0.1:8080 --user admin
    """
    password = _password(password_stdin, confirm_it=False)
    client = AkelaClient(url)
    answer = client.login(user, password)
    write_profile({"api": client.api, "token": answer["token"]})
    if output == "json":
        print_json(answer)
    else:
        click.echo(f"signed in to {client.api} as {user}, until {answer['expires']}")


@click.command()
def logout() -> None:
    """Forget the sign-in."""
    profile_file().unlink(missing_ok=True)
    click.echo("signed out")


@click.group()
def tenant() -> None:
    """Tenants: who owns applications and users."""


@tenant.command("create")
@click.argument("tenant_id")
@click.option("--name", help="name for people  [default: the id]")
@api_options
def tenant_create(session: Session, tenant_id: str, name: str | None) -> None:
    """Make a tenant."""
    session.show(session.client.post("/tenants", {"id": tenant_id, "name": name or tenant_id}))


@tenant.command("list")
@page_options
@api_options
def tenant_list(session: Session, limit: int, cursor: str | None) -> None:
    """Tenants that you may see."""
    session.rows(session.client.get("/tenants", limit=limit, cursor=cursor), ("id", "name"))


@tenant.command("show")
@click.argument("tenant_id")
@api_options
def tenant_show(session: Session, tenant_id: str) -> None:
    """One tenant."""
    session.show(session.client.get(f"/tenants/{tenant_id}"))


@tenant.command("delete")
@click.argument("tenant_id")
@yes_option
@api_options
def tenant_delete(session: Session, tenant_id: str, yes: bool) -> None:
    """Delete a tenant that is empty."""
    confirm(f"tenant {tenant_id}", yes)
    session.client.delete(f"/tenants/{tenant_id}")
    session.done(f"tenant {tenant_id} deleted")


@click.group()
def user() -> None:
    """Users: people who may sign in."""


@user.command("create")
@click.argument("name")
@click.option("--role", "roles", type=ROLE, multiple=True, required=True, help="may be given more than once")
@click.option("--tenant", help="tenant  [default: your own]")
@click.option("--password-stdin", is_flag=True, help="read the password from standard input instead of asking")
@api_options
def user_create(session: Session, name: str, roles: tuple[str, ...], tenant: str | None, password_stdin: bool) -> None:
    """Make a user."""
    password = _password(password_stdin, confirm_it=True)
    session.show(
        session.client.post("/users", {"name": name, "roles": list(roles), "tenant": tenant, "password": password})
    )


@user.command("list")
@page_options
@api_options
def user_list(session: Session, limit: int, cursor: str | None) -> None:
    """Users of your tenant."""
    session.rows(session.client.get("/users", limit=limit, cursor=cursor), ("name", "tenant", "roles"))


@user.command("show")
@click.argument("name")
@api_options
def user_show(session: Session, name: str) -> None:
    """One user."""
    session.show(session.client.get(f"/users/{name}"))


@user.command("delete")
@click.argument("name")
@yes_option
@api_options
def user_delete(session: Session, name: str, yes: bool) -> None:
    """Delete a user and revoke its tokens."""
    confirm(f"user {name}", yes)
    session.client.delete(f"/users/{name}")
    session.done(f"user {name} deleted")


@click.group()
def token() -> None:
    """API tokens: for scripts, and as MQTT password of operators."""


@token.command("create")
@click.argument("name")
@click.option("--role", "roles", type=ROLE, multiple=True, help="of your own, or less  [default: all of yours]")
@click.option("--ttl", type=click.IntRange(60), help="seconds that it is good  [default: it does not expire]")
@api_options
def token_create(session: Session, name: str, roles: tuple[str, ...], ttl: int | None) -> None:
    """Make an API token; it is shown once."""
    body = {"name": name, "roles": list(roles) or None, "ttl_s": ttl}
    session.show(session.client.post("/tokens", body), secret="token")


@token.command("list")
@page_options
@api_options
def token_list(session: Session, limit: int, cursor: str | None) -> None:
    """Tokens."""
    session.rows(
        session.client.get("/tokens", limit=limit, cursor=cursor), ("id", "name", "user", "roles", "expires", "revoked")
    )


@token.command("show")
@click.argument("number")
@api_options
def token_show(session: Session, number: str) -> None:
    """One token, without its text."""
    session.show(session.client.get(f"/tokens/{number}"))


@token.command("delete")
@click.argument("number")
@yes_option
@api_options
def token_delete(session: Session, number: str, yes: bool) -> None:
    """Revoke a token: its MQTT sessions end too."""
    confirm(f"token {number}", yes)
    session.client.delete(f"/tokens/{number}")
    session.done(f"token {number} revoked")


def _password(from_stdin: bool, *, confirm_it: bool) -> str:
    if from_stdin:
        return sys.stdin.readline().rstrip("\n")
    return str(click.prompt("password", hide_input=True, confirmation_prompt=confirm_it, err=True))
