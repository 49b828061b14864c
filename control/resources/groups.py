"""Groups: which endpoints share a configuration layer and notification topics. `all` is everyone, weight 0, and nobody changes it."""

from typing import Annotated, Final

from pydantic import Field

from akela.documents import model
from akela.documents.model import Content
from akela.filters import MAX_LENGTH
from akela.membership import NAMES
from control.core import Body, Caller, Core
from control.definitions import Definition, Description, NameField, routes
from control.expressions import check_filter
from control.problems import Problem
from control.shapes import Defined, page_model

ALL: Final = "all"
MAX_WEIGHT: Final = 2**31 - 1


class GroupSettings(Body):
    """A group."""

    weight: int = Field(
        ge=1, le=MAX_WEIGHT, description="a higher one wins; unique within the application", examples=[10]
    )
    filter: Annotated[str, Field(min_length=1, max_length=MAX_LENGTH)] = Field(
        description=f"CEL expression over {', '.join(sorted(NAMES))}", examples=['profile.model == "m1"']
    )
    description: Description = None


class NewGroup(GroupSettings):
    """A group."""

    name: NameField


class Group(Defined):
    """A group as it is shown; `all` has weight 0 and the filter `true`."""

    weight: int
    filter: str
    description: str | None


def group_weight(app: str, name: str) -> int | None:
    """The weight of a group, or None when there is no such group."""
    if name == ALL:
        return 0
    found = model.find("group", f"{app}/{name}")
    return None if found is None else int(found["weight"])


def check_groups(app: str, names: list[str], path: str) -> None:
    """Raises: Problem 422 naming the first that does not exist."""
    for index, name in enumerate(names):
        if group_weight(app, name) is None:
            raise Problem(422, f"no group {name!r}", [(f"{path}/{index}", f"no group {name!r}")])


def _rule(app: str, content: Content, before: Content | None) -> None:
    if content["name"] == ALL:
        raise Problem(409, "the group all is everyone: it has no filter, its weight is 0, and it cannot be changed")
    check_filter(content["filter"], "/filter", NAMES)
    other = model.find_one("group", {"app": app, "weight": content["weight"]})
    if other is not None and other["name"] != content["name"]:
        reason = f"group {other['name']!r} has the weight {content['weight']}; weights are unique"
        raise Problem(409, reason, [("/weight", reason)])


def _before_delete(core: Core, caller: Caller, document: Content) -> None:
    """Take the group out of topics, delete its layer; the group itself goes last, so a repeated call finishes what one began."""
    app, name = document["app"], document["name"]
    if name == ALL:
        raise Problem(409, "the group all is everyone; it cannot be deleted")
    for topic in list(model.query("topic", {"app": app}, sort="name")):
        if name in topic["groups"]:
            rest = [group for group in topic["groups"] if group != name]
            core.put(caller, "topic", topic | {"groups": rest}, topic, app)
    layer = model.find("configuration", f"{app}/default/group:{name}")
    if layer is not None:
        core.delete(caller, "configuration", layer, app)


GROUPS: Final = Definition(
    kind="group",
    plural="groups",
    settings=GroupSettings,
    new=NewGroup,
    shown=Group,
    listed=page_model(Group),
    rule=_rule,
    before_delete=_before_delete,
    sorts=("weight", "name"),
    builtin={"name": ALL, "weight": 0, "filter": "true", "description": "everyone"},
)
router = routes(GROUPS)
