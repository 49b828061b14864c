"""Streams: records under one schema, and the sinks that must have each of them."""

from typing import Annotated, Final

from pydantic import Field

from akela.documents import model
from akela.documents.model import Content
from akela.filters import MAX_LENGTH
from control.core import Body
from control.definitions import DEFINED_NAME, Definition, Description, NameField, routes
from control.expressions import RECORD_NAMES, check_filter
from control.problems import Problem
from control.resources.schemas import SCHEMA_NAME, newest
from control.shapes import Defined, page_model


class StreamSink(Body):
    """A sink of a stream."""

    sink: str = Field(pattern=DEFINED_NAME, description="name of the sink")
    required: bool = Field(default=True, description="a record is acknowledged after this sink has it")
    filter: str | None = Field(
        default=None, min_length=1, max_length=MAX_LENGTH, description="CEL over record, ep, at: which records it gets"
    )


class StreamSettings(Body):
    """A stream."""

    schema_name: Annotated[str | None, Field(pattern=SCHEMA_NAME)] = Field(
        default=None, description="name of a schema of kind log (default: the stream's name)"
    )
    sinks: list[StreamSink] = Field(default=[], max_length=16)
    time_key: str | None = Field(
        default=None, pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,63}$", description="field that holds the device's time"
    )
    description: Description = None


class NewStream(StreamSettings):
    """A stream."""

    name: NameField


class Stream(Defined):
    """A stream as it is shown."""

    schema_name: str | None
    sinks: list[StreamSink]
    time_key: str | None
    description: str | None


def _rule(app: str, content: Content, before: Content | None) -> None:
    name = content["schema_name"]
    if name is not None and newest(app, "log", name) is None:
        reason = f"no schema of kind log and name {name!r}"
        raise Problem(422, reason, [("/schema_name", reason)])
    seen: set[str] = set()
    for index, sink in enumerate(content["sinks"]):
        path = f"/sinks/{index}"
        if sink["sink"] in seen:
            raise Problem(422, f"sink {sink['sink']!r} is there twice", [(f"{path}/sink", "is there twice")])
        seen.add(sink["sink"])
        if model.find("sink", f"{app}/{sink['sink']}") is None:
            raise Problem(422, f"no sink {sink['sink']!r}", [(f"{path}/sink", f"no sink {sink['sink']!r}")])
        if sink["filter"] is not None:
            check_filter(sink["filter"], f"{path}/filter", RECORD_NAMES)


STREAMS: Final = Definition(
    kind="stream", plural="streams", settings=StreamSettings, new=NewStream, shown=Stream, listed=page_model(Stream), rule=_rule
)  # fmt: skip
router = routes(STREAMS)
