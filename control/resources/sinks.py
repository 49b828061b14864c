"""Sinks: where records go. What each kind needs is checked here; its secret is stored and never shown."""

from typing import Annotated, Any, Final, Literal

from pydantic import Field, TypeAdapter, ValidationError

from akela.documents import model
from akela.documents.model import Content
from control.core import Body, Caller, Core
from control.definitions import Definition, Description, NameField, routes
from control.problems import Problem
from control.shapes import Defined, page_model

Kind = Literal["mongodb", "file", "kafka", "webhook", "mqtt"]
Host = Annotated[str, Field(pattern=r"^[A-Za-z0-9._:\[\]-]{1,255}$")]
Url = Annotated[str, Field(pattern=r"^https?://[^\s\x00]{1,2000}$")]
Text = Annotated[str, Field(pattern=r"^[^\x00]{1,255}$")]


class MongodbSettings(Body):
    """Akela's own database: one collection per stream."""

    keep_days: int | None = Field(default=None, ge=1, le=36500, description="records older than this go; null: none do")


class FileSettings(Body):
    """Files in a directory below the server's data directory."""

    directory: str = Field(default="records", pattern=r"^[A-Za-z0-9_-][A-Za-z0-9._-]{0,127}$")
    format: Literal["jsonl", "avro"] = "jsonl"
    rotate_mb: int = Field(default=64, ge=1, le=65536)


class KafkaSettings(Body):
    """A Kafka topic."""

    servers: list[Host] = Field(min_length=1, max_length=32)
    topic: str = Field(pattern=r"^[A-Za-z0-9._-]{1,249}$")
    user: Text | None = None


class WebhookSettings(Body):
    """POST to a URL; the secret signs the body."""

    url: Url
    timeout_s: int = Field(default=10, ge=1, le=300)


class MqttSettings(Body):
    """Another MQTT broker."""

    host: Host
    port: int = Field(default=1883, ge=1, le=65535)
    tls: bool = False
    topic: str = Field(pattern=r"^[^#+\x00]{1,512}$")
    user: Text | None = None


SETTINGS: Final[dict[str, type[Body]]] = {
    "mongodb": MongodbSettings, "file": FileSettings, "kafka": KafkaSettings, "webhook": WebhookSettings, "mqtt": MqttSettings,
}  # fmt: skip


class SinkSettings(Body):
    """A sink."""

    kind: Kind
    settings: dict[str, Any] = Field(
        default={}, description="what the kind needs: mongodb keep_days; file directory, format, rotate_mb; kafka servers, topic, "
        "user; webhook url, timeout_s; mqtt host, port, tls, topic, user",
    )  # fmt: skip
    secret: str | None = Field(
        default=None, max_length=4096, description="password or signing key; never shown; left out, it stays as it is"
    )
    description: Description = None


class NewSink(SinkSettings):
    """A sink."""

    name: NameField


class Sink(Defined):
    """A sink as it is shown."""

    kind: Kind
    settings: dict[str, Any]
    has_secret: bool
    description: str | None


class SinkFilters(Body):
    """How a list of sinks may be narrowed."""

    kind: Kind


def checked_settings(kinds: dict[str, type[Body]], content: Content, place: str = "") -> None:
    """Check and complete `settings` by the content's kind. Raises: Problem 422 with the path of each wrong field."""
    try:
        value = TypeAdapter(kinds[content["kind"]]).validate_python(content["settings"])
    except ValidationError as error:
        found = [(f"{place}/settings/" + "/".join(map(str, item["loc"])), item["msg"]) for item in error.errors()]
        raise Problem(422, f"the settings do not fit the kind {content['kind']}", found) from error
    content["settings"] = value.model_dump(mode="json")


def _rule(app: str, content: Content, before: Content | None) -> None:
    checked_settings(SETTINGS, content)


def _before_delete(core: Core, caller: Caller, document: Content) -> None:
    for stream in model.query("stream", {"app": document["app"]}, sort="name"):
        if document["name"] in [sink["sink"] for sink in stream["sinks"]]:
            raise Problem(409, f"stream {stream['name']!r} uses this sink; take it out there first")


SINKS: Final = Definition(
    kind="sink",
    plural="sinks",
    settings=SinkSettings,
    new=NewSink,
    shown=Sink,
    listed=page_model(Sink),
    rule=_rule,
    before_delete=_before_delete,
    hidden=frozenset({"secret"}),
    filters=SinkFilters,
)
router = routes(SINKS)
