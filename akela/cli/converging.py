"""`akela config status`, `akela endpoint explain`, `akela group preview|status|errors`: how far a fleet has converged, and why not."""

import time
from collections.abc import Mapping
from typing import Any, Final

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from akela.cli.session import Session, api_options, app_option, page_options, print_json
from akela.client import path_of

WATCH_EVERY_S: Final = 1.0
LAGGING: Final = ("waiting_online", "waiting_offline", "refused", "held", "unservable", "unknown")
STRAGGLER_COLUMNS: Final = ("endpoint", "state", "online", "code", "key", "reason", "since")
GROUP_COLUMNS: Final = ("name", "weight", "verdict", "filter", "reason")


@click.command("status")
@app_option
@click.option("--group", help="only members of this group")
@click.option("--config", help="only endpoints that should have the configuration with this id")
@click.option("--stragglers", type=click.IntRange(0, 500), default=10, show_default=True, help="how many to name")
@click.option("--watch", is_flag=True, help="show the progress until all have converged")
@api_options
def status(session: Session, app: str, group: str | None, config: str | None, stragglers: int, watch: bool) -> None:
    """How many endpoints have the configuration that they should have, how long it took, and who has not.

    Example: akela config status --app meters --group north --watch
    """
    path = path_of("applications", session.client.application(app), "convergence")
    where = {"group": group, "config": config}
    found = _watched(session, path, where) if watch else session.client.get(path, **where)
    if session.json:
        print_json(found)
        return
    session.show(_readable(found))
    if stragglers and found["converged"] < found["endpoints"]:
        session.rows(session.client.get(f"{path}/stragglers", limit=stragglers, **where), STRAGGLER_COLUMNS)


def _watched(session: Session, path: str, where: Mapping[str, Any]) -> Any:
    """Ask until every endpoint has converged, with a bar; gives the last answer."""
    columns = (TextColumn("converged"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[others]}"))
    console = Console(stderr=True)
    with Progress(*columns, console=console, disable=not console.is_terminal, transient=True) as progress:
        task = progress.add_task("", total=None, others="")
        while True:
            found = session.client.get(path, **where)
            others = ", ".join(f"{found[name]} {name.replace('_', ' ')}" for name in LAGGING if found[name])
            progress.update(task, total=found["endpoints"], completed=found["converged"], others=others)
            if found["converged"] == found["endpoints"] and not found["evaluating"]:
                return found
            time.sleep(WATCH_EVERY_S)


def _readable(found: Mapping[str, Any]) -> Mapping[str, Any]:
    times = found["seconds"]
    spent = "" if times["max"] is None else f"p50 {times['p50']} s, p95 {times['p95']} s, max {times['max']} s"
    lagging = {name.replace("_", " "): found[name] for name in LAGGING}
    head = {"endpoints": found["endpoints"], "converged": f"{found['converged']} ({found['percent']} %)"}
    tail = {"revoked": found["revoked"], "assigned to applied": spent, "as of": found["as_of"]}
    return head | lagging | tail | ({"groups": "being evaluated"} if found["evaluating"] else {})


@click.command("explain")
@app_option
@click.argument("ep", metavar="ID")
@api_options
def explain(session: Session, app: str, ep: str) -> None:
    """Why an endpoint has, or has not, the configuration that it should have: one sentence, and all that bears on it.

    Example: akela endpoint explain --app meters meter-2
    """
    path = path_of("applications", session.client.application(app), "endpoints", ep)
    value = session.client.get(f"{path}/explain")
    if session.json:
        print_json(value)
        return
    click.echo(f"{ep}: {value['because']}")
    _heading("session")
    session.show(value["session"] | {"owner": value["owner"], "revoked": value["revoked"]})
    _heading(f"configuration {value['configuration']['id'] or ''}".rstrip())
    print_json(value["configuration"]["value"])
    for leaf, layer in sorted(value["configuration"]["origin"].items()):
        click.echo(f"  {leaf}: {layer}")
    _listed(session, "groups", value["groups"], GROUP_COLUMNS)
    states = [{"state": state, **entry} for state, entry in value["ledger"].items()]
    _listed(session, "ledger", states, ("state", "id", "at", "code", "key", "reason", "tries", "next"))
    _listed(session, "credentials", value["credentials"], ("id", "kind", "used"))
    _listed(session, "set by the device", value["device"], ("path", "value", "at", "until"))
    _listed(session, "waiting for a decision", value["proposals"], ("id", "path", "value", "at"))


@click.command("preview")
@app_option
@click.argument("text", metavar="FILTER")
@api_options
def preview(session: Session, app: str, text: str) -> None:
    """Which endpoints a filter would match, before a group is made of it. Of more than 20,000 endpoints a sample is looked at.

    Example: akela group preview --app meters 'profile.region == "north"'
    """
    path = path_of("applications", session.client.application(app), "group-preview")
    value = session.client.post(path, {"filter": text})
    if session.json:
        print_json(value)
        return
    among = f"a sample of {value['looked_at']} of {value['total']}" if value["sampled"] else f"{value['total']}"
    click.echo(f"matches {value['matched']} of {among} endpoints")
    click.echo("".join(f"  {ep}\n" for ep in value["examples"]), nl=False)
    for row in value["errors"]:
        click.echo(f"fails for {row['endpoints']}: {row['reason']}, such as {row['example']}")


@click.command("status")
@click.argument("name")
@app_option
@api_options
def group_status(session: Session, name: str, app: str) -> None:
    """How far the endpoints are evaluated for a group that was made or changed."""
    session.show(session.client.get(_group(session, app, name, "evaluation")))


@click.command("errors")
@click.argument("name")
@app_option
@page_options
@api_options
def group_errors(session: Session, name: str, app: str, **page: Any) -> None:
    """Endpoints for which a group's filter fails, with the reason; they count as no members."""
    session.pages(_group(session, app, name, "errors"), ("endpoint", "reason"), **page)


def _group(session: Session, app: str, name: str, what: str) -> str:
    return path_of("applications", session.client.application(app), "groups", name, what)


def _heading(text: str) -> None:
    click.echo(f"\n{text}")


def _listed(session: Session, heading: str, items: list[Any], columns: tuple[str, ...]) -> None:
    if items:
        _heading(heading)
        session.rows({"items": items}, columns)
