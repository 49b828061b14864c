"""`akela run operations`."""

from typing import Any

import click

from akela.settings import settings_options
from operations.settings import OperationsSettings


@click.command()
@settings_options(OperationsSettings)
@click.pass_context
def operations(context: click.Context, /, **options: Any) -> None:
    """Start one Operations server: endpoints and operators connect to it over MQTT."""
