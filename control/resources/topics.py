"""Notification topics: who hears them, who may subscribe, how long a notification lives."""

from typing import Annotated, Final

from pydantic import Field

from akela.documents.model import Content
from control.core import Body
from control.definitions import Definition, Description, NameField, routes
from control.problems import Problem
from control.resources.groups import ALL, check_groups
from control.resources.schemas import SCHEMA_NAME, newest
from control.shapes import Defined, page_model

MAX_TTL_S: Final = 366 * 24 * 3600
DAY_S: Final = 24 * 3600
SchemaName = Annotated[str | None, Field(pattern=SCHEMA_NAME, description="name of a schema of kind notification")]


class TopicSettings(Body):
    """A notification topic."""

    mandatory: bool = Field(default=False, description="all members of its groups hear it; else those who subscribe")
    groups: list[str] = Field(default=[ALL], min_length=1, max_length=100, description="whose members it is for")
    replay: bool = Field(default=False, description="a new endpoint gets what was sent before it registered")
    ttl_s: int = Field(default=7 * DAY_S, ge=1, le=MAX_TTL_S, description="how long a notification lives, seconds")
    schema_name: SchemaName = None
    description: Description = None


class NewTopic(TopicSettings):
    """A notification topic."""

    name: NameField


class Topic(Defined):
    """A topic as it is shown."""

    mandatory: bool
    groups: list[str]
    replay: bool
    ttl_s: int
    schema_name: str | None
    description: str | None


def _rule(app: str, content: Content, before: Content | None) -> None:
    check_groups(app, content["groups"], "/groups")
    content["groups"] = list(dict.fromkeys(content["groups"]))
    name = content["schema_name"]
    if name is not None and newest(app, "notification", name) is None:
        reason = f"no schema of kind notification and name {name!r}"
        raise Problem(422, reason, [("/schema_name", reason)])


TOPICS: Final = Definition(
    kind="topic", plural="topics", settings=TopicSettings, new=NewTopic, shown=Topic, listed=page_model(Topic), rule=_rule
)  # fmt: skip
router = routes(TOPICS)
