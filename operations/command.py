"""`akela run operations`."""

import sys
from typing import Any

import click

from akela.lifecycle import run_server
from akela.settings import load, settings_options
from operations.server import OperationsServer
from operations.settings import OperationsSettings


@click.command()
@settings_options(OperationsSettings)
@click.pass_context
def operations(context: click.Context, /, **options: Any) -> None:
    """Start one Operations server: endpoints and operators connect to it over MQTT."""
