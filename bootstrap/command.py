"""`akela run bootstrap`."""

from typing import Any

import click

from akela.cli.serving import serve, supervised_option
from akela.lifecycle import Stopper
from akela.settings import settings_options
from bootstrap.settings import BootstrapSettings


@click.command()
@settings_options(BootstrapSettings)
@supervised_option
def bootstrap(**options: Any) -> None:
    """Start one Bootstrap server: it tells endpoints, signed, where the Operations servers are."""

    async def main(settings: BootstrapSettings, stopper: Stopper) -> None:
        from bootstrap.server import BootstrapServer  # noqa: PLC0415  only when it is really started

        await BootstrapServer(settings).run(stopper)

    serve("bootstrap", BootstrapSettings, main, options)
