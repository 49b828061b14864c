"""`akela run operations`."""

from typing import Any

import click

from akela.cli.serving import serve, supervised_option
from akela.lifecycle import Stopper
from akela.settings import settings_options
from operations.settings import OperationsSettings


@click.command()
@settings_options(OperationsSettings)
@supervised_option
def operations(**options: Any) -> None:
    """Start one Operations server: endpoints and operators connect to it over MQTT."""

    async def main(settings: OperationsSettings, stopper: Stopper) -> None:
        from operations.server import OperationsServer  # noqa: PLC0415  only when it is really started

        await OperationsServer(settings).run(stopper)

    serve("operations", OperationsSettings, main, options)
