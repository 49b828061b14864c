"""Parts of answers that many resources share."""

import re
from datetime import datetime
from typing import Annotated, Any, Final

from pydantic import AwareDatetime, BaseModel, BeforeValidator, Field, create_model

from control.core import Body

EXAMPLE: Final = "2026-01-31T12:00:00Z"
_DATE: Final = re.compile(r"\d{4}-\d{2}-\d{2}[Tt ]\d{2}")


def _iso(value: object) -> object:
    """Text only: a number, which pydantic would take for seconds, is none of ours."""
    if isinstance(value, datetime):
        return value
    if not isinstance(value, str) or not _DATE.match(value):
        raise ValueError(f"a time looks like {EXAMPLE}")
    return value


Moment = Annotated[
    AwareDatetime, BeforeValidator(_iso, json_schema_input_type=AwareDatetime), Field(examples=[EXAMPLE])
]


class Revised(Body):
    """What every answer about something managed has."""

    rev: int = Field(description="its revision, as in the ETag", examples=[12])


class Defined(Revised):
    """What every definition has."""

    id: str = Field(examples=["example"])
    created: datetime | None = Field(description="null: it has always been there")
    changed: datetime | None


def page_model(item: type[BaseModel]) -> Any:
    """The answer of a list of `item`."""
    return create_model(
        f"{item.__name__}Page",
        __base__=Body,
        __doc__="A page of a list.",
        items=(list[item], ...),  # type: ignore[valid-type]
        next=(str | None, Field(description="cursor of the next page; null: this is the last")),
    )
