"""`akela up`."""

import asyncio
import json
import signal
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from akela import demo as demo_setup
from akela.client import AkelaClient
from akela.demo import Demo
from akela.errors import AkelaError
from akela.settings import CommonSettings, load, settings_options
from akela.supervisor.supervisor import Supervisor


@click.command()
@settings_options(CommonSettings)
@click.option(
    "--operations", type=click.IntRange(1, 64), default=1, show_default=True, help="Operations servers to start"
)
@click.option("--demo", is_flag=True, help="make an application to play with")
@click.option(
    "--output", type=click.Choice(["human", "json"]), default="human", help="json: one line when everything is ready"
)
def up(operations: int, demo: bool, output: str, config_file: Path | None, **flags: Any) -> None:
    """Start everything on this machine: database, Control, Bootstrap, Operations.

    All data is in the directory given with --data; Ctrl-C stops everything, the next start continues. MongoDB and ZooKeeper are used when
    --mongodb-url and --zookeeper (or AKELA_MONGODB_URL and AKELA_ZOOKEEPER) name them.
    """
    try:
        settings = load(CommonSettings, file=config_file, flags=flags)
        asyncio.run(_run(settings, operations, demo=demo, as_json=output == "json"))
    except AkelaError as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(1)


async def _run(settings: CommonSettings, operations: int, *, demo: bool, as_json: bool) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    tell = _teller(quiet=settings.log_level in ("warning", "error"))
    tell("akela: starting")
    supervisor = Supervisor(settings, operations, tell)
    starting = asyncio.create_task(supervisor.__aenter__())
    stopped = asyncio.create_task(stop.wait())
    await asyncio.wait((starting, stopped), return_when=asyncio.FIRST_COMPLETED)
    if not starting.done():
        starting.cancel()
        await asyncio.gather(starting, return_exceptions=True)
        return
    starting.result()
    try:
        made = await asyncio.to_thread(_demo, supervisor, settings) if demo else None
        _say_ready(supervisor, settings, made, as_json=as_json)
        await stopped
        tell("akela: stopping")
    finally:
        await supervisor.stop()


def _teller(*, quiet: bool) -> Callable[[str], None]:
    """Lines of the supervisor and its children, to standard error."""

    def tell(line: str) -> None:
        if not quiet or " info " not in line:
            print(line, file=sys.stderr, flush=True)  # noqa: T201

    return tell


def _demo(supervisor: Supervisor, settings: CommonSettings) -> Demo:
    client = AkelaClient(supervisor.api)
    try:
        client.login(supervisor.admin_user, supervisor.admin_password, ttl_s=600)
        return demo_setup.set_up(
            client,
            settings.directory,
            user=supervisor.admin_user,
            mqtt=supervisor.mqtt[0],
            bootstrap=supervisor.bootstrap[0],
        )
    finally:
        client.close()


def _say_ready(supervisor: Supervisor, settings: CommonSettings, made: Demo | None, *, as_json: bool) -> None:
    if as_json:
        ready = {
            "ready": True, "api": supervisor.api, "ui": None, "operations": supervisor.mqtt, "bootstrap": supervisor.bootstrap,
            "admin": {"user": supervisor.admin_user, "password": supervisor.admin_password},
            "demo": None if made is None else asdict(made), "processes": supervisor.pids,
        }  # fmt: skip
        print(json.dumps(ready), flush=True)  # noqa: T201
        return
    click.echo("")
    click.echo("Akela is up. Ctrl-C stops it; the data stays.")
    click.echo("")
    click.echo(f"  REST API     {supervisor.api}/api/v1   (documentation: {supervisor.api}/docs)")
    click.echo(f"  MQTT         {', '.join(supervisor.mqtt)}")
    click.echo(f"  WebSocket    {', '.join(supervisor.websocket)}")
    click.echo(f"  Bootstrap    {', '.join(supervisor.bootstrap)}   (topic a1/boot)")
    click.echo(f"  first login  user {supervisor.admin_user}, password {supervisor.admin_password}")
    click.echo(f"  data         {settings.data.absolute()}")
    if made is not None:
        _say_demo(made, settings)


def _say_demo(made: Demo, settings: CommonSettings) -> None:
    host, _, port = made.mqtt.rpartition(":")
    address = f"-h {host} -p {port}"
    akela = Path(sys.argv[0])
    command = akela if akela.is_absolute() is False else Path("akela")
    data = "" if str(settings.data) == "akela-data" else f" --data {settings.data}"
    click.echo("")
    click.echo("Watch everything that the demo application says and is told (operator):")
    click.echo(f"  mosquitto_sub {address} -u {made.operator_user} -P {made.operator_token} -t 'a1/{made.app}/#' -v")
    click.echo("Be a device and send a reading (another terminal):")
    click.echo(
        f"  mosquitto_pub {address} -i {made.endpoint} -u {made.app} -P {made.claim_secret} -q 1 -t a1/me/u/value/temperature -m 21.5"
    )
    click.echo("The same without Mosquitto:")
    click.echo(f"  {command} device sub --demo{data} -v 'a1/{made.app}/#' --operator")
    click.echo(f"  {command} device pub --demo{data} a1/me/u/value/temperature 21.5")
    click.echo("A device on the endpoint library, which follows its configuration:")
    click.echo(f"  {command} device run --demo{data}")
    click.echo("")
