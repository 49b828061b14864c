"""What `akela run SERVER` commands share: settings, logs, the server's life."""

import sys
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import click

from akela.errors import AkelaError
from akela.lifecycle import Stopper, run_server
from akela.logs import set_up
from akela.settings import CommonSettings, load

S = TypeVar("S", bound=CommonSettings)

F = TypeVar("F", bound=Callable[..., Any])


def supervised_option(command: F) -> F:
    """`--supervised`: the server stops when its standard input ends, which is how its supervisor holds it."""
    return click.option("--supervised", is_flag=True, hidden=True)(command)


def serve(name: str, cls: type[S], main: Callable[[S, Stopper], Awaitable[None]], options: Mapping[str, Any]) -> None:
    """Run a server of this process with settings from file, environment and flags; ends the process."""
    flags = dict(options)
    supervised, file = bool(flags.pop("supervised")), flags.pop("config_file")
    try:
        settings = load(cls, file=file if file is None else Path(file), flags=flags)
    except AkelaError as error:
        raise click.UsageError(str(error)) from error
    member_id: str = getattr(settings, "member_id", name)
    set_up(style=settings.log, level=settings.log_level, name=member_id)
    sys.exit(run_server(lambda stopper: main(settings, stopper), supervised=supervised))
