"""`akela run control`."""

from typing import Any

import click

from akela.cli.serving import serve, supervised_option
from akela.lifecycle import Stopper
from akela.settings import settings_options
from control.settings import ControlSettings


@click.command()
@settings_options(ControlSettings)
@supervised_option
def control(**options: Any) -> None:
    """Start one Control server: the REST API, active or standby."""

    async def main(settings: ControlSettings, stopper: Stopper) -> None:
        from control.server import ControlServer  # noqa: PLC0415  only when it is really started

        await ControlServer(settings).run(stopper)

    serve("control", ControlSettings, main, options)
