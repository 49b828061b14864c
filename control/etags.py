"""Revisions: the ETag of what is shown, and If-Match on every write to what is there (RFC 9110, section 13.1.1)."""

from collections.abc import Mapping
from typing import Annotated, Any

import msgspec
from fastapi import Header, Response

from akela.documents.model import Content
from control.problems import Problem

IfMatch = Annotated[
    str | None,
    Header(alias="If-Match", max_length=256, description="the ETag of the revision that is changed; 428 without", examples=['"12"']),
]  # fmt: skip


def etag(document: Mapping[str, Any]) -> str:
    """The ETag of a document."""
    return f'"{document.get("rev", 0)}"'


def check_match(found: Content | None, if_match: str | None) -> None:
    """Raises: Problem 428 when something is there and no If-Match is, 412 when it names another revision, or there is none."""
    if found is None:
        if if_match is not None:
            raise Problem(412, "there is no revision to match: it does not exist; leave If-Match out to make it")
        return
    present = etag(found)
    if if_match is None:
        raise Problem(
            428, f"If-Match is needed to change what is there; the present ETag is {present}", headers={"ETag": present}
        )
    if present not in [tag.strip() for tag in if_match.split(",")] and if_match.strip() != "*":
        raise Problem(412, f"the present ETag is {present}; read it again and repeat", headers={"ETag": present})


def reply(
    value: Any, document: Mapping[str, Any] | None = None, *, status: int = 200, location: str | None = None
) -> Response:
    """A JSON answer; with the ETag of `document`, and `rev` in the value."""
    headers: dict[str, str] = {}
    if document is not None:
        headers["ETag"] = etag(document)
        value = value | {"rev": document.get("rev", 0)}
    if location is not None:
        headers["Location"] = location
    return Response(msgspec.json.encode(value), status, headers, "application/json")
