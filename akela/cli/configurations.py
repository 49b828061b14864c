"""`akela config`."""

import click

from akela.cli.session import Session, api_options, app_option, confirm, print_json, read_json, yes_option

endpoint_option = click.option(
    "--endpoint", envvar="AKELA_ENDPOINT", help="the layer of one endpoint  [default: the layer of all]"
)


@click.group()
def config() -> None:
    """Configuration: what the endpoints of an application should have.

    Layers, lowest first: the schema's defaults, the layer of all, the layer of one endpoint. A layer holds only what it sets.
    """


@config.command("set")
@app_option
@endpoint_option
@click.argument("file", metavar="FILE|-")
@api_options
def set_layer(session: Session, app: str, endpoint: str | None, file: str) -> None:
    """Set a layer from a JSON file; every endpoint that it concerns gets what differs.

    Example: echo '{"interval": 10}' | akela config set --app demo -
    """
    session.show(session.client.put(_path(session, app, endpoint), {"data": read_json(file)}))


@config.command("show")
@app_option
@endpoint_option
@api_options
def show(session: Session, app: str, endpoint: str | None) -> None:
    """One layer."""
    session.show(session.client.get(_path(session, app, endpoint)))


@config.command("delete")
@app_option
@endpoint_option
@yes_option
@api_options
def delete(session: Session, app: str, endpoint: str | None, yes: bool) -> None:
    """Take a layer away."""
    confirm("the layer", yes)
    session.client.delete(_path(session, app, endpoint))
    session.done("layer deleted")


@config.command("effective")
@app_option
@click.option("--endpoint", required=True, envvar="AKELA_ENDPOINT", help="whose")
@api_options
def effective(session: Session, app: str, endpoint: str) -> None:
    """What an endpoint should have, and which layer set each leaf."""
    path = f"/applications/{session.client.application(app)}/endpoints/{endpoint}/configuration"
    value = session.client.get(path)
    if session.json:
        print_json(value)
    else:
        click.echo(f"id {value['id']}")
        print_json(value["value"])
        for leaf, layer in sorted(value["origin"].items()):
            click.echo(f"  {leaf}: {layer}")


def _path(session: Session, app: str, endpoint: str | None) -> str:
    place = "all/-" if endpoint is None else f"endpoint/{endpoint}"
    return f"/applications/{session.client.application(app)}/configurations/{place}"
