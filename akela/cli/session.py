"""What commands that call the API share: where it is, how answers are printed, how JSON is read from files."""

import json
import os
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, TypeVar

import click
import platformdirs
from rich.console import Console
from rich.table import Table

from akela.client import AkelaClient
from akela.paths import write_private

F = TypeVar("F", bound=Callable[..., Any])

DEFAULT_API: Final = "http://127.0.0.1:8080"
DEFAULT_PROFILE: Final = "default"


class Session:
    """One call of the command: its API and how it prints. Made by `api_options`."""

    def __init__(self, api: str | None, token: str | None, profile: str, output: str) -> None:
        stored = read_profile(profile)
        self.client = AkelaClient(api or stored.get("api") or DEFAULT_API, token or stored.get("token"))
        self.json = output == "json"

    def show(self, value: Any, *, secret: str | None = None) -> None:
        """Print one value; `secret` names the field that is shown only this once."""
        if self.json:
            print_json(value)
            return
        table = Table(show_header=False, box=None, pad_edge=False)
        for key, item in value.items():
            table.add_row(key, _cell(item))
        _console().print(table)
        if secret is not None:
            click.echo(f"keep {secret}: it is shown only this once", err=True)

    def rows(self, page: Mapping[str, Any], columns: Sequence[str]) -> None:
        """Print a list."""
        if self.json:
            print_json(page)
            return
        table = Table(box=None, pad_edge=False)
        for column in columns:
            table.add_column(column)
        for row in page["items"]:
            table.add_row(*(_cell(row.get(column)) for column in columns))
        _console().print(table)
        if page.get("next"):
            click.echo(f"more with --cursor {page['next']}", err=True)

    def pages(
        self, path: str, columns: Sequence[str], *, limit: int, cursor: str | None, every: bool, **where: Any
    ) -> None:
        """Print a list: one page, or all of it."""
        if every:
            items = list(self.client.every(path, **where))
            self.rows({"items": items, "next": None}, columns)
        else:
            self.rows(self.client.get(path, limit=limit, cursor=cursor, **where), columns)

    def delete(self, path: str, what: str, *, yes: bool, said: str = "deleted") -> None:
        """Delete what is at `path` as it is now: asks first, and refuses when somebody changes it meanwhile."""
        etag = self.client.etag(path)
        if etag is not None:
            confirm(what, yes)
        self.client.delete(path, etag=etag)
        self.done(f"{what} {said}")

    def done(self, text: str) -> None:
        """Say that something without a value was done."""
        if self.json:
            print_json({"done": text})
        else:
            click.echo(text)


profile_option = click.option(
    "--profile",
    envvar="AKELA_PROFILE",
    default=DEFAULT_PROFILE,
    help=f"which sign-in to use  [env: AKELA_PROFILE; default: {DEFAULT_PROFILE}]",
)


def api_options(command: F) -> F:
    """The options of every command that calls the API; the command gets a `Session` as `session`."""

    @click.pass_context
    def call(
        context: click.Context, /, api: str | None, token: str | None, profile: str, output: str, **arguments: Any
    ) -> Any:
        return context.invoke(command, Session(api, token, profile, output), **arguments)

    call.__doc__ = command.__doc__
    call.__name__ = command.__name__
    call.__click_params__ = getattr(command, "__click_params__", [])  # type: ignore[attr-defined]
    options = (
        click.option(
            "--output",
            type=click.Choice(["table", "json"]),
            default="table",
            help="json prints the API's value unchanged",
        ),
        profile_option,
        click.option("--token", envvar="AKELA_TOKEN", help="API token  [env: AKELA_TOKEN]"),
        click.option(
            "--api",
            envvar="AKELA_API",
            help=f"address of the API, or of all Control servers with commas  [env: AKELA_API; default: {DEFAULT_API}]",
        ),
    )
    decorated: Any = call
    for option in options:
        decorated = option(decorated)
    return decorated  # type: ignore[no-any-return]


def app_option(command: F) -> F:
    """`--app`: the application by token or name."""
    return click.option(
        "--app", required=True, envvar="AKELA_APP", help="application: its token or name  [env: AKELA_APP]"
    )(command)


def page_options(command: F) -> F:
    """`--limit`, `--cursor` and `--all` of a list."""
    command = click.option("--all", "every", is_flag=True, help="all rows, page by page")(command)
    command = click.option("--cursor", help="where the page before ended")(command)
    return click.option("--limit", type=click.IntRange(1, 500), default=50, show_default=True, help="rows")(command)


def confirm(what: str, yes: bool) -> None:
    """Ask before something is gone, unless `--yes`."""
    if not yes:
        click.confirm(f"delete {what}?", abort=True, err=True)


yes_option = click.option("--yes", is_flag=True, help="do not ask")


def read_json(file: str) -> Any:
    """JSON of a file, or of standard input for `-`. Raises: UsageError naming file, line and column."""
    name = "standard input" if file == "-" else file
    try:
        text = sys.stdin.read() if file == "-" else Path(file).read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise click.UsageError(f"{name}: {getattr(error, 'strerror', None) or error}") from error
    return parsed_json(text, name)


def parsed_json(text: str, where: str) -> Any:
    """JSON of a text. Raises: UsageError naming where it is, line and column."""
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise click.UsageError(f"{where}, line {error.lineno}, column {error.colno}: no JSON: {error.msg}") from error
    except RecursionError as error:
        raise click.UsageError(f"{where}: nested too deep") from error


def print_json(value: Any) -> None:
    """A value as it came."""
    click.echo(json.dumps(value, ensure_ascii=False))


def profile_file() -> Path:
    """Where sign-ins are remembered."""
    return Path(platformdirs.user_config_dir("akela")) / "login.json"


def read_profile(name: str) -> dict[str, str]:
    """A remembered sign-in; empty when there is none of that name."""
    value = _profiles().get(name, {})
    return value if isinstance(value, dict) else {}


def write_profile(name: str, value: Mapping[str, str] | None) -> None:
    """Remember a sign-in, readable by its owner only; None: forget it."""
    profiles = _profiles()
    profiles.pop(name, None)
    if value is not None:
        profiles[name] = dict(value)
    file = profile_file()
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    write_private(file, json.dumps({"profiles": profiles}))


def _profiles() -> dict[str, Any]:
    try:
        value = json.loads(profile_file().read_text())
    except (OSError, ValueError):
        return {}
    if not isinstance(value, dict):
        return {}
    profiles = value.get("profiles")
    if isinstance(profiles, dict):
        return profiles
    return {DEFAULT_PROFILE: value} if "token" in value else {}  # as it was kept before there were profiles


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, Iterable) and not isinstance(value, Mapping) and all(isinstance(item, str) for item in value):
        return ", ".join(value)
    return json.dumps(value, ensure_ascii=False)


def _console() -> Console:
    width = None if sys.stdout.isatty() else int(os.environ.get("COLUMNS", "200"))
    return Console(width=width, highlight=False, markup=False, soft_wrap=False)
