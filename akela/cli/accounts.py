"""`akela login`, `logout`, `tenant`, `user`, `token`."""

import sys
from typing import Any

import click

from akela.cli.session import (
    Session,
    api_options,
    page_options,
    print_json,
    profile_option,
    read_profile,
    write_profile,
    yes_option,
)
from akela.client import AkelaClient, ClientError, path_of

ROLE = click.Choice(["platform-admin", "tenant-admin", "tenant-developer", "tenant-viewer"])


@click.command()
@click.argument("url")
@click.option("--user", required=True, help="user name; of another tenant than the default one: TENANT/NAME")
@click.option("--password-stdin", is_flag=True, help="read the password from standard input instead of asking")
@profile_option
@click.option(
    "--output", type=click.Choice(["table", "json"]), default="table", help="json prints the answer with the token"
)
def login(url: str, user: str, password_stdin: bool, profile: str, output: str) -> None:
    """Sign in to the API at URL and remember it for the commands that follow.

    URL may name all Control servers with commas between them: the next one is asked when one is down. With --profile several sign-ins are
    kept side by side; the commands take the one that --profile or AKELA_PROFILE names.

    Example: akela login http://127.0.0.1:8080 --user admin
    """
    password = _password(password_stdin, confirm_it=False)
    client = AkelaClient(url)
    answer = client.login(user, password)
    write_profile(profile, {"api": client.addresses, "token": answer["token"]})
    if output == "json":
        print_json(answer)
    else:
        click.echo(f"signed in to {client.api} as {user}, until {answer['expires']}")


@click.command()
@profile_option
def logout(profile: str) -> None:
    """Forget the sign-in, and make its token good for nothing."""
    stored = read_profile(profile)
    write_profile(profile, None)
    if "token" in stored:
        try:
            AkelaClient(stored["api"], stored["token"]).post("/logout")
        except ClientError as error:
            click.echo(f"the server was not told ({error}); the token ends by itself", err=True)
    click.echo("signed out")


@click.command()
@api_options
def whoami(session: Session) -> None:
    """Who the sign-in speaks for."""
    session.show(session.client.get("/me"))


@click.command()
@click.option(
    "--password-stdin", is_flag=True, help="read the old and the new password, a line each, from standard input"
)
@api_options
def passwd(session: Session, password_stdin: bool) -> None:
    """Change your password; your other sign-ins end."""
    if password_stdin:
        old, new = (sys.stdin.readline().rstrip("\n") for _ in range(2))
    else:
        old = click.prompt("present password", hide_input=True, err=True)
        new = _password(from_stdin=False, confirm_it=True)
    session.client.replace("/me/password", {"present": old, "new": new})
    session.done("password changed")


@click.group()
def tenant() -> None:
    """Tenants: who owns applications and users."""


@tenant.command("create")
@click.argument("tenant_id")
@click.option("--name", help="name for people  [default: the id]")
@api_options
def tenant_create(session: Session, tenant_id: str, name: str | None) -> None:
    """Make a tenant."""
    session.show(session.client.create("/tenants", {"id": tenant_id, "name": name or tenant_id}))


@tenant.command("list")
@page_options
@api_options
def tenant_list(session: Session, **page: Any) -> None:
    """Tenants that you may see."""
    session.pages("/tenants", ("id", "name"), **page)


@tenant.command("show")
@click.argument("tenant_id")
@api_options
def tenant_show(session: Session, tenant_id: str) -> None:
    """One tenant."""
    session.show(session.client.get(path_of("tenants", tenant_id)))


@tenant.command("update")
@click.argument("tenant_id")
@click.option("--name", required=True, help="new name for people")
@api_options
def tenant_update(session: Session, tenant_id: str, name: str) -> None:
    """Rename a tenant."""
    session.show(session.client.patch(path_of("tenants", tenant_id), {"name": name}))


@tenant.command("delete")
@click.argument("tenant_id")
@yes_option
@api_options
def tenant_delete(session: Session, tenant_id: str, yes: bool) -> None:
    """Delete a tenant that is empty."""
    session.delete(path_of("tenants", tenant_id), f"tenant {tenant_id}", yes=yes)


tenant_option = click.option("--tenant", help="the user's tenant  [default: your own]")


@click.group()
def user() -> None:
    """Users: people who may sign in."""


@user.command("create")
@click.argument("name")
@click.option("--role", "roles", type=ROLE, multiple=True, required=True, help="may be given more than once")
@tenant_option
@click.option("--password-stdin", is_flag=True, help="read the password from standard input instead of asking")
@api_options
def user_create(session: Session, name: str, roles: tuple[str, ...], tenant: str | None, password_stdin: bool) -> None:
    """Make a user."""
    password = _password(password_stdin, confirm_it=True)
    session.show(
        session.client.create("/users", {"name": name, "roles": list(roles), "tenant": tenant, "password": password})
    )


@user.command("list")
@tenant_option
@page_options
@api_options
def user_list(session: Session, tenant: str | None, **page: Any) -> None:
    """Users of a tenant."""
    session.pages("/users", ("name", "tenant", "roles"), tenant=tenant, **page)


@user.command("show")
@click.argument("name")
@tenant_option
@api_options
def user_show(session: Session, name: str, tenant: str | None) -> None:
    """One user."""
    session.show(session.client.get(_user_path(name, tenant)))


@user.command("update")
@click.argument("name")
@tenant_option
@click.option("--role", "roles", type=ROLE, multiple=True, help="the roles from now on; may be given more than once")
@click.option("--password-stdin", is_flag=True, help="set a new password, read from standard input")
@api_options
def user_update(session: Session, name: str, tenant: str | None, roles: tuple[str, ...], password_stdin: bool) -> None:
    """Change a user's roles or password. Tokens with roles that the user has no more are revoked."""
    changes: dict[str, Any] = {"roles": list(roles)} if roles else {}
    if password_stdin:
        changes["password"] = _password(from_stdin=True, confirm_it=False)
    if not changes:
        raise click.UsageError("nothing to change: give --role or --password-stdin")
    session.show(session.client.patch(_user_path(name, tenant), changes))


@user.command("delete")
@click.argument("name")
@tenant_option
@yes_option
@api_options
def user_delete(session: Session, name: str, tenant: str | None, yes: bool) -> None:
    """Delete a user and revoke its tokens."""
    session.delete(_user_path(name, tenant), f"user {name}", yes=yes)


@click.group()
def token() -> None:
    """API tokens: for scripts, and as MQTT password of operators."""


@token.command("create")
@click.argument("name")
@click.option("--role", "roles", type=ROLE, multiple=True, help="of your own, or less  [default: all of yours]")
@click.option("--app", "apps", multiple=True, help="only for this application; may be given more than once")
@click.option("--read-only", is_flag=True, help="it writes nothing")
@click.option("--ttl", type=click.IntRange(60), help="seconds that it is good  [default: it does not expire]")
@api_options
def token_create(
    session: Session, name: str, roles: tuple[str, ...], apps: tuple[str, ...], read_only: bool, ttl: int | None
) -> None:
    """Make an API token; it is shown once."""
    applications = [session.client.application(app) for app in apps] or None
    body = {
        "name": name,
        "roles": list(roles) or None,
        "ttl_s": ttl,
        "applications": applications,
        "read_only": read_only,
    }
    session.show(session.client.create("/tokens", body), secret="token")


@token.command("list")
@page_options
@api_options
def token_list(session: Session, **page: Any) -> None:
    """Tokens."""
    session.pages("/tokens", ("id", "name", "kind", "user", "roles", "applications", "expires", "revoked"), **page)


@token.command("show")
@click.argument("number", metavar="ID")
@api_options
def token_show(session: Session, number: str) -> None:
    """One token, without its text."""
    session.show(session.client.get(path_of("tokens", number)))


@token.command("update")
@click.argument("number", metavar="ID")
@click.option("--name", required=True, help="new name")
@api_options
def token_update(session: Session, number: str, name: str) -> None:
    """Rename a token."""
    session.show(session.client.patch(path_of("tokens", number), {"name": name}))


@token.command("delete")
@click.argument("number", metavar="ID")
@yes_option
@api_options
def token_delete(session: Session, number: str, yes: bool) -> None:
    """Revoke a token: its MQTT sessions end too."""
    session.delete(path_of("tokens", number), f"token {number}", yes=yes, said="revoked")


def _user_path(name: str, tenant: str | None) -> str:
    return path_of("users", name) + ("" if tenant is None else f"?tenant={tenant}")


def _password(from_stdin: bool, *, confirm_it: bool) -> str:
    if from_stdin:
        return sys.stdin.readline().rstrip("\n")
    return str(click.prompt("password", hide_input=True, confirmation_prompt=confirm_it, err=True))
