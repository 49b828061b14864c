"""The root of the `akela` command. Sub-commands are loaded when they are called, so help is quick and works on a base installation.

Exit codes: 0 done, 1 refused by the server, 2 wrong usage, 3 not reachable. This is the one place that gives them.
"""

import importlib
import sys
from importlib.metadata import entry_points
from typing import Final

import click

from akela import __version__
from akela.errors import AkelaError

EXIT_REFUSED: Final = 1
EXIT_USAGE: Final = 2
EXIT_NOT_REACHABLE: Final = 3

# What to do next, by the status of a refusal, or by the error's name.
NEXT_STEPS: Final[dict[object, str]] = {
    401: "sign in with `akela login URL --user NAME`, or set AKELA_API and AKELA_TOKEN",
    403: "`akela whoami` shows your roles",
    412: "somebody changed it meanwhile: look at it again, and repeat",
    503: "nothing was lost; repeat in a few seconds, or look at `akela cluster status`",
    "NotReachableError": "start Akela with `akela up`, or name its address with --api, AKELA_API or `akela login URL`",
}

# name -> (module, attribute, one line for the root's help)
BUILT_IN: Final = {
    "up": ("akela.cli.up", "up", "Start everything on this machine."),
    "login": ("akela.cli.accounts", "login", "Sign in and remember it."),
    "logout": ("akela.cli.accounts", "logout", "Forget the sign-in."),
    "whoami": ("akela.cli.accounts", "whoami", "Who the sign-in speaks for."),
    "passwd": ("akela.cli.accounts", "passwd", "Change your password."),
    "tenant": ("akela.cli.accounts", "tenant", "Tenants."),
    "user": ("akela.cli.accounts", "user", "Users."),
    "token": ("akela.cli.accounts", "token", "API tokens."),
    "app": ("akela.cli.applications", "app", "Applications; export and import."),
    "schema": ("akela.cli.schemas", "schema", "Avro schemas of an application."),
    "group": ("akela.cli.definitions", "group", "Groups of endpoints."),
    "config": ("akela.cli.configurations", "config", "Configuration layers and their versions."),
    "endpoint": ("akela.cli.endpoints", "endpoint", "Endpoints and their state."),
    "topic": ("akela.cli.definitions", "topic", "Notification topics."),
    "stream": ("akela.cli.definitions", "stream", "Streams of records."),
    "sink": ("akela.cli.definitions", "sink", "Where records go."),
    "owner": ("akela.cli.definitions", "owner", "Owners of endpoints."),
    "authority": ("akela.cli.definitions", "authority", "Who signs endpoints' certificates."),
    "verifier": ("akela.cli.definitions", "verifier", "Who verifies owners' tokens."),
    "logs": ("akela.cli.endpoints", "logs", "Records that endpoints have sent."),
    "audit": ("akela.cli.cluster", "audit", "Who did what, when, from where."),
    "changes": ("akela.cli.cluster", "changes", "The change log."),
    "cluster": ("akela.cli.cluster", "cluster", "Servers and bootstrap keys."),
    "doctor": ("akela.cli.cluster", "doctor", "Check that everything can be reached."),
    "completion": ("akela.cli.completion", "completion", "Completion script of a shell."),
}


class Lazy(click.Group):
    """A group whose commands are imported when they are called: built in, or by entry point."""

    def __init__(self, *args: object, entry_group: str, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)  # type: ignore[arg-type]
        self._entry_group = entry_group

    def list_commands(self, context: click.Context) -> list[str]:
        """Names, in the order of the manual."""
        built_in = list(BUILT_IN) if self._entry_group == "akela.commands" else []
        plugged = [point.name for point in entry_points(group=self._entry_group)]
        return [*built_in, *(["run"] if built_in else []), *sorted(plugged)]

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        """One command, imported now."""
        if self._entry_group == "akela.commands":
            if name == "run":
                return run
            if name in BUILT_IN:
                module, attribute, _ = BUILT_IN[name]
                return self._loaded(lambda: getattr(importlib.import_module(module), attribute), name)
        for point in entry_points(group=self._entry_group, name=name):
            return self._loaded(point.load, name)
        return None

    def format_commands(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        """The list of commands, without importing the built-in ones."""
        rows = [
            (name, BUILT_IN[name][2] if name in BUILT_IN else _help(self, context, name))
            for name in self.list_commands(context)
        ]
        with formatter.section("Commands"):
            formatter.write_dl(rows)

    def _loaded(self, load: object, name: str) -> click.Command:
        assert callable(load)
        try:
            command = load()
        except ModuleNotFoundError as error:
            if (error.name or "").split(".")[0] in (
                "akela",
                "broker",
                "control",
                "operations",
                "bootstrap",
                "device_lib",
            ):
                raise
            extra = "cli" if self._entry_group == "akela.commands" and name != "up" else "server"
            raise click.ClickException(
                f"`akela {name}` needs the package {error.name}; install it with: pip install 'akela[{extra}]'"
            ) from error
        assert isinstance(command, click.Command)
        return command


def _help(group: Lazy, context: click.Context, name: str) -> str:
    try:
        command = group.get_command(context, name)
    except click.ClickException:
        return "(not installed)"
    return "" if command is None else command.get_short_help_str(60)


@click.command(cls=Lazy, entry_group="akela.commands", context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="akela")
def root() -> None:
    """Akela: an IoT backend for fleets of MQTT devices.

    `akela up --demo` starts everything on this machine. `akela login URL --user NAME` signs in to a running one; or set AKELA_API and
    AKELA_TOKEN.
    """


@click.command(cls=Lazy, entry_group="akela.servers")
def run() -> None:
    """Start one server of a cluster: operations, bootstrap or control."""


def main() -> None:
    """Entry of the `akela` command."""
    try:
        code = root(standalone_mode=False)
        sys.exit(code if isinstance(code, int) else 0)  # click gives a command's `context.exit(code)` back
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except click.exceptions.Exit as leaving:
        sys.exit(leaving.exit_code)
    except (click.Abort, KeyboardInterrupt):
        click.echo("aborted", err=True)
        sys.exit(EXIT_REFUSED)
    except AkelaError as error:
        sys.exit(_told(error))


def _told(error: AkelaError) -> int:
    """Say what was wrong, with the path of each wrong field; gives the exit code."""
    click.echo(f"error: {error}", err=True)
    for item in getattr(error, "errors", ()):
        click.echo(f"  {item.get('path') or '(the whole)'}: {item.get('reason')}", err=True)
    step = NEXT_STEPS.get(getattr(error, "status", None) or type(error).__name__)
    if step is not None:
        click.echo(f"  {step}", err=True)
    return EXIT_NOT_REACHABLE if type(error).__name__ == "NotReachableError" else EXIT_REFUSED


if __name__ == "__main__":
    main()
