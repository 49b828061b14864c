"""`akela broker`: the engine alone, with amqtt's configuration and plugins."""

import asyncio
import logging
import signal
from pathlib import Path

import click
import uvloop

from broker.amqtt_host.config import Persistence, read_config, settings_of, take_persistence
from broker.amqtt_host.plugins import AmqttPlugins
from broker.broker import Broker
from broker.errors import BrokerError


@click.command()
@click.option(
    "-c",
    "--config",
    type=click.Path(dir_okay=False, path_type=Path),
    help="amqtt's YAML configuration  [default: port 1883 on every address, open to everybody]",
)
@click.option(
    "--store",
    type=click.Path(dir_okay=False, path_type=Path),
    help="file that keeps sessions and retained messages over a restart  [default: what the session plugin names]",
)
@click.option("-d", "--debug", is_flag=True, help="log everything")
def broker(config: Path | None, store: Path | None, debug: bool) -> None:
    """Run the MQTT engine alone: a broker for MQTT 3.1, 3.1.1 and 5.0 that takes amqtt's configuration and runs its plugins.

    Example: akela broker -c broker.yaml
    """
    handler = logging.StreamHandler()
    handler.setFormatter(LogLines("%(asctime)s %(levelname)-7s %(name)s: %(message)s"))
    logging.basicConfig(level=logging.DEBUG if debug else logging.INFO, handlers=[handler])
    try:
        uvloop.run(serve(config, store))
    except BrokerError as error:
        raise click.ClickException(str(error)) from error


class LogLines(logging.Formatter):
    """A line of text with the values that were logged beside it."""

    _own = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802  the name of the standard library
        """The line, without a traceback."""
        values = " ".join(f"{key}={value}" for key, value in vars(record).items() if key not in self._own)
        return f"{super().formatMessage(record)} {values}".rstrip()


async def serve(config: Path | None, store: Path | None) -> None:
    """Serve until SIGTERM or SIGINT. Raises: BrokerError."""
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    read = read_config(config)
    told = take_persistence(read)
    kept = Persistence(store) if store is not None else told
    plugins = AmqttPlugins(read)
    hosting = Broker(settings_of(read, kept.file if kept is not None else None), plugins.hooks)
    plugins.attach(hosting)
    await plugins.starting()
    await hosting.start()
    await plugins.started()
    for name, (host, port) in hosting.addresses.items():
        click.echo(f"{name}: listening on {host}:{port}")
    await stop.wait()
    await plugins.stopping()
    await hosting.stop()
    await plugins.stopped()
    if kept is not None and kept.clear_on_shutdown:
        for file in kept.files:
            file.unlink(missing_ok=True)
