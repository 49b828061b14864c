"""`akela group`, `topic`, `stream`, `sink`, `owner`, `verifier`, `authority`: what an application defines by name.

The same five commands for each. A kind says its options (`Option`); `commands` makes the group of commands of it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import click

from akela.cli import converging
from akela.cli.session import Session, api_options, app_option, page_options, parsed_json, yes_option
from akela.client import path_of


@dataclass(frozen=True, slots=True)
class Option:
    """An option that gives a field of the API's body. `kind`: text, number, switch, list, json, file, or the words to choose from."""

    field: str
    kind: str | Sequence[str]
    help: str
    needed: bool = False  # to create one

    @property
    def flag(self) -> str:
        """How it is written."""
        return f"--{self.field.replace('_', '-').removesuffix('-s')}"

    def decorator(self, *, creating: bool) -> Any:
        """Of a command that creates, or changes."""
        more: dict[str, Any] = {"help": self.help, "required": creating and self.needed, "default": None}
        match self.kind:
            case "number":
                more["type"] = int
            case "switch":
                return click.option(f"{self.flag}/--no-{self.flag[2:]}", self.field, **more)
            case "list":
                more |= {"multiple": True, "help": f"{self.help}; may be given more than once"}
            case "file":
                more["type"] = click.File()
            case "json" | "text":
                pass
            case words:
                more["type"] = click.Choice(list(words))
        return click.option(self.flag, self.field, **more)

    def value(self, given: Any) -> Any:
        """The field's value, from what click gives."""
        if self.kind == "list":
            return list(given)
        if self.kind == "file":
            return given.read()
        return parsed_json(given, self.flag) if self.kind == "json" else given


DESCRIPTION: Final = Option("description", "text", "for people")


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of definition."""

    name: str
    plural: str
    about: str
    columns: tuple[str, ...]
    options: tuple[Option, ...]


GROUP: Final = Kind(
    "group", "groups", "Groups of endpoints: those whose profile and more fit a filter.",
    ("id", "weight", "filter", "description"),
    (Option("weight", "number", "a higher one wins; unique within the application", needed=True),
     Option("filter", "text", "CEL over profile, server, ep, owner, versions: 'profile.model == \"m1\"'", needed=True), DESCRIPTION),
)  # fmt: skip
TOPIC: Final = Kind(
    "topic", "topics", "Notification topics of an application.",
    ("id", "mandatory", "groups", "replay", "ttl_s", "description"),
    (Option("mandatory", "switch", "all members of its groups hear it; else those who subscribe"),
     Option("groups", "list", "a group whose members it is for  [default: all]"),
     Option("replay", "switch", "a new endpoint gets what was sent before it registered"),
     Option("ttl_s", "number", "seconds that a notification lives"),
     Option("schema_name", "text", "schema of kind notification that its notifications fit"), DESCRIPTION),
)  # fmt: skip
STREAM: Final = Kind(
    "stream", "streams", "Streams of records that endpoints send.",
    ("id", "schema_name", "sinks", "time_key", "description"),
    (Option("schema_name", "text", "schema of kind log  [default: the stream's name]"),
     Option("sinks", "json", 'where records go, such as \'[{"sink": "archive", "required": true}]\''),
     Option("time_key", "text", "field that holds the device's time"), DESCRIPTION),
)  # fmt: skip
SINK: Final = Kind(
    "sink", "sinks", "Sinks: where the records of streams go.",
    ("id", "kind", "settings", "has_secret", "description"),
    (Option("kind", ("mongodb", "file", "kafka", "webhook", "mqtt"), "what it is", needed=True),
     Option("settings", "json", 'what the kind needs, such as \'{"url": "https://example.com/in"}\''),
     Option("secret", "text", "password or signing key; never shown"), DESCRIPTION),
)  # fmt: skip
OWNER: Final = Kind(
    "owner", "owners", "Owners: people or things that endpoints belong to.", ("id", "verifier", "description"),
    (Option("verifier", "text", "who verifies this owner's tokens"), DESCRIPTION),
)  # fmt: skip
VERIFIER: Final = Kind(
    "verifier", "verifiers", "Verifiers: who says that an access token is an owner's.",
    ("id", "kind", "settings", "has_secret", "description"),
    (Option("kind", ("trusting", "jwt", "webhook"), "what it is", needed=True),
     Option("settings", "json", "what the kind needs; jwt: algorithm, public_key, issuer, audience"),
     Option("secret", "text", "signs what a webhook is sent; never shown"), DESCRIPTION),
)  # fmt: skip
AUTHORITY: Final = Kind(
    "authority", "authorities", "Certificate authorities: who signs the certificates that an application's endpoints come with.",
    ("id", "subject", "names", "pattern", "not_after", "description"),
    (Option("certificate", "file", "PEM file: the one that signs the devices' certificates, of a chain the last", needed=True),
     Option("names", ("cn", "dns", "uri"), "where a device's certificate says who it is  [default: cn, its common name]"),
     Option("pattern", "text", "what it says there, with {ep} for the endpoint id, such as urn:dev:{ep}  [default: {ep}]"), DESCRIPTION),
)  # fmt: skip


def commands(kind: Kind) -> click.Group:
    """create, list, show, update, delete."""
    group = click.Group(kind.name, help=kind.about)
    for add in (_create, _list, _show, _update, _delete):
        add(group, kind)
    return group


def _create(group: click.Group, kind: Kind) -> None:
    @group.command("create", help=f"Make a {kind.name}.")
    @click.argument("name")
    @_options(kind, creating=True)
    @app_option
    @api_options
    def create(session: Session, name: str, app: str, **given: Any) -> None:
        body = {"name": name, **_given(kind, given)}
        session.show(session.client.create(_path(session, kind, app), body))


def _list(group: click.Group, kind: Kind) -> None:
    @group.command("list", help=f"The {kind.plural} of an application.")
    @app_option
    @page_options
    @api_options
    def index(session: Session, app: str, **page: Any) -> None:
        session.pages(_path(session, kind, app), kind.columns, **page)


def _show(group: click.Group, kind: Kind) -> None:
    @group.command("show", help=f"One {kind.name}.")
    @click.argument("name")
    @app_option
    @api_options
    def show(session: Session, name: str, app: str) -> None:
        session.show(session.client.get(_path(session, kind, app, name)))


def _update(group: click.Group, kind: Kind) -> None:
    @group.command("update", help=f"Change a {kind.name}: what is left out stays.")
    @click.argument("name")
    @_options(kind, creating=False)
    @app_option
    @api_options
    def update(session: Session, name: str, app: str, **given: Any) -> None:
        changes = _given(kind, given)
        if not changes:
            flags = ", ".join(option.flag for option in kind.options)
            raise click.UsageError(f"nothing to change: give one of {flags}")
        session.show(session.client.patch(_path(session, kind, app, name), changes))


def _delete(group: click.Group, kind: Kind) -> None:
    @group.command("delete", help=f"Delete a {kind.name}.")
    @click.argument("name")
    @app_option
    @yes_option
    @api_options
    def delete(session: Session, name: str, app: str, yes: bool) -> None:
        session.delete(_path(session, kind, app, name), f"{kind.name} {name}", yes=yes)


def _options(kind: Kind, *, creating: bool) -> Callable[[Any], Any]:
    def decorate(command: Any) -> Any:
        for option in reversed(kind.options):
            command = option.decorator(creating=creating)(command)
        return command

    return decorate


def _given(kind: Kind, given: dict[str, Any]) -> dict[str, Any]:
    return {
        option.field: option.value(given[option.field])
        for option in kind.options
        if given[option.field] is not None and given[option.field] != ()
    }


def _path(session: Session, kind: Kind, app: str, name: str | None = None) -> str:
    names = () if name is None else (name,)
    return path_of("applications", session.client.application(app), kind.plural, *names)


group, topic, stream = commands(GROUP), commands(TOPIC), commands(STREAM)
for command in (converging.preview, converging.group_status, converging.group_errors):
    group.add_command(command)
sink, owner, verifier = commands(SINK), commands(OWNER), commands(VERIFIER)
authority = commands(AUTHORITY)
