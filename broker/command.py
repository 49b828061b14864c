"""`akela broker`: the engine alone, with amqtt's configuration and plugins."""

import asyncio
import logging
import signal
from dataclasses import replace
from pathlib import Path
from typing import Final

import click
import uvloop

from broker.admin_server import AdminServer
from broker.amqtt_host.config import read_config, settings_of
from broker.amqtt_host.persistence import Persistence, take_persistence
from broker.amqtt_host.plugins import AmqttPlugins
from broker.broker import Broker
from broker.errors import BrokerError, BrokerStartError
from broker.process import prepare
from broker.trace_command import trace

log = logging.getLogger(__name__)

ADMIN_HOST: Final = "127.0.0.1"
ADMIN_PORT: Final = 9104


@click.group(invoke_without_command=True)
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
@click.option(
    "--admin-port",
    type=click.IntRange(0, 65535),
    help=f"port on {ADMIN_HOST} of /healthz, /metrics and /trace; 0: any free one  [default: {ADMIN_PORT}, if it is free]",
)
@click.option("-d", "--debug", is_flag=True, help="log everything")
@click.pass_context
def broker(
    context: click.Context, config: Path | None, store: Path | None, admin_port: int | None, debug: bool
) -> None:
    """Run the MQTT engine alone: a broker for MQTT 3.1, 3.1.1 and 5.0 that takes amqtt's configuration and runs its plugins.

    Example: akela broker -c broker.yaml
    """
    if context.invoked_subcommand is not None:
        return
    handler = logging.StreamHandler()
    handler.setFormatter(LogLines("%(asctime)s %(levelname)-7s %(name)s: %(message)s"))
    logging.basicConfig(level=logging.DEBUG if debug else logging.INFO, handlers=[handler])
    try:
        uvloop.run(serve(config, store, admin_port))
    except BrokerError as error:
        raise click.ClickException(str(error)) from error


class LogLines(logging.Formatter):
    """A line of text with the values that were logged beside it."""

    _own = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802  the name of the standard library
        """The line, without a traceback."""
        values = " ".join(f"{key}={value}" for key, value in vars(record).items() if key not in self._own)
        return f"{super().formatMessage(record)} {values}".rstrip()


broker.add_command(trace)


async def serve(config: Path | None, store: Path | None, admin_port: int | None) -> None:
    """Serve until SIGTERM or SIGINT. Raises: BrokerError."""
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    read = read_config(config)
    told = take_persistence(read)
    kept = Persistence(store) if store is not None else told
    plugins = AmqttPlugins(read)
    settings = settings_of(read, kept.file if kept is not None else None)
    hosting = Broker(replace(settings, max_connections=prepare(settings.max_connections)), plugins.hooks)
    plugins.attach(hosting)
    await plugins.starting()
    await hosting.start()
    await plugins.started()
    admin = await _admin(hosting, admin_port)
    for name, (host, port) in hosting.addresses.items():
        click.echo(f"{name}: listening on {host}:{port}")
    await stop.wait()
    await plugins.stopping()
    await hosting.stop()
    await admin.stop()
    await plugins.stopped()
    if kept is not None and kept.clear_on_shutdown:
        for file in kept.files:
            file.unlink(missing_ok=True)


async def _admin(hosting: Broker, port: int | None) -> AdminServer:
    """The admin page; a default port that another broker has is no reason not to start. Raises: BrokerStartError."""
    admin = AdminServer(hosting, ADMIN_HOST, ADMIN_PORT if port is None else port)
    try:
        host, bound = await admin.start()
    except BrokerStartError as error:
        if port is not None or not error.in_use:
            await hosting.stop(drain_s=0)
            raise
        log.warning("no admin page: %s; name another port with --admin-port", error)
    else:
        click.echo(f"admin: listening on {host}:{bound}")
    return admin
