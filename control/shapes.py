"""Parts of answers that many resources share."""

from datetime import datetime
from typing import Any

from pydantic import BaseModel, Field, create_model

from control.core import Body


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
