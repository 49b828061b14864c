"""Lists in pages: an indexed key, a sealed cursor, never a count.

A cursor holds the key of the last row, sealed with the list it belongs to (path, filters, sort): one that was forged or comes from
another list is refused. Pages are made by range on the key, so the last page costs what the first does.
"""

import base64
import binascii
import hashlib
import hmac
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Final

from fastapi import Depends, Query, Request

from akela.documents import model
from akela.documents.model import Content
from control.problems import Problem

MAX_PAGE: Final = 500
SEAL_SIZE: Final = 8  # bytes
SIFT_BATCH: Final = 1000  # endpoints read at once, where a page is made of some of them
SIFTED: Final = 50_000  # endpoints looked at for one such page
LAST: Final = "\U0010ffff"  # sorts behind every text that continues a prefix

Key = str | int
Show = Callable[[Content], Content]


@dataclass(frozen=True, slots=True)
class Page:
    """What part of a list is asked for."""

    limit: int
    after: str | None
    seal: Callable[[Key], str]
    number: int | None = None  # `after`, when the key is a number

    @property
    def place(self) -> Key | None:
        """The key of the row before."""
        return self.after if self.number is None else self.number


def page_of(
    request: Request,
    limit: Annotated[int, Query(ge=1, le=MAX_PAGE, description="rows of one page")] = 50,
    cursor: Annotated[str | None, Query(max_length=1024, description="`next` of the page before")] = None,
) -> Page:
    """The page asked for. Raises: Problem 400 for a forged cursor."""
    key: bytes = request.app.state.core.cursor_key
    where = sorted(
        (name, value) for name, value in request.query_params.multi_items() if name not in ("limit", "cursor")
    )
    context = json.dumps([request.url.path, where]).encode()

    def seal(place: Key) -> str:
        text = json.dumps(place).encode()
        return base64.urlsafe_b64encode(_seal(key, context, text) + text).decode().rstrip("=")

    if cursor is None:
        return Page(limit, None, seal)
    try:
        raw = base64.b64decode(cursor.encode() + b"=" * (-len(cursor) % 4), b"-_", validate=True)
    except (binascii.Error, ValueError) as error:
        raise _forged() from error
    if not hmac.compare_digest(raw[:SEAL_SIZE], _seal(key, context, raw[SEAL_SIZE:])):
        raise _forged()
    place = json.loads(raw[SEAL_SIZE:])
    return Page(limit, str(place), seal, place if isinstance(place, int) else None)


Paging = Annotated[Page, Depends(page_of)]


@dataclass(frozen=True, slots=True)
class Sort:
    """The order of a list."""

    key: str
    descending: bool


def sorting(*keys: str, newest_first: bool = False) -> Any:
    """The dependency for `sort`: one of `keys`, `-` before it turns the order round; the first is the default."""
    default = f"-{keys[0]}" if newest_first else keys[0]
    allowed = [sign + key for key in keys for sign in ("", "-")]

    def chosen(
        sort: Annotated[str, Query(description="`-` turns it round", json_schema_extra={"enum": allowed})] = default,
    ) -> Sort:
        if sort not in allowed:
            raise Problem(422, f"sort by one of: {', '.join(allowed)}", [("/sort", f"{sort!r} is none of them")])
        return Sort(sort.removeprefix("-"), sort.startswith("-"))

    return Depends(chosen)


Prefix = Annotated[str | None, Query(min_length=1, max_length=128, description="only names that begin so")]


def paged(
    kind: str,
    where: Mapping[str, Any],
    page: Page,
    show: Show,
    *,
    key: str,
    descending: bool = False,
    prefix: str | None = None,
) -> Content:
    """One page of documents by `key`, which is unique among those that fit `where`."""
    bounds: dict[str, Any] = {}
    if prefix is not None:
        bounds |= {"$gte": prefix, "$lt": prefix + LAST}
    if page.place is not None:
        bounds["$lt" if descending else "$gt"] = page.place
        if not descending:
            bounds.pop("$gte", None)
    condition = dict(where) | ({key: bounds} if bounds else {})
    found = list(model.query(kind, condition, sort=key, descending=descending, limit=page.limit + 1))
    return page_answer(found, page, key, show)


def sifted(
    read: Callable[[str | None, int], Sequence[Content]], page: Page, row: Callable[[Content], Content | None]
) -> Content:
    """One page of what `row` makes of endpoints by id, where it makes something. `read`: up to so many behind an id.

    It looks at a bounded number of endpoints, so a page may hold fewer rows than were asked for, and have a next one all the same.
    """
    items: list[Content] = []
    after = page.after
    for _ in range(SIFTED // SIFT_BATCH):
        batch = read(after, SIFT_BATCH)
        for document in batch:
            after = document["ep"]
            made = row(document)
            if made is not None:
                items.append(made)
            if len(items) == page.limit:
                return {"items": items, "next": page.seal(document["ep"])}
        if len(batch) < SIFT_BATCH:
            return {"items": items, "next": None}
    return {"items": items, "next": None if after is None else page.seal(after)}


def page_answer(found: Sequence[Content], page: Page, key: str, show: Show) -> Content:
    """The answer for up to one row more than the page holds."""
    rows = found[: page.limit]
    more = len(found) > page.limit
    return {"items": [show(row) for row in rows], "next": page.seal(rows[-1][key]) if more else None}


def given(**filters: Any) -> Content:
    """The filters that were given."""
    return {name: value for name, value in filters.items() if value is not None}


def only(document: Content, *names: str) -> Content:
    """Some fields of a document; `id` is its `_id`."""
    return {"id": document["_id"]} | {name: document.get(name) for name in names}


def problems_of(found: Iterable[tuple[str, str]]) -> Problem:
    """422 with the path of each wrong field."""
    errors = list(found)
    return Problem(422, errors[0][1] if errors else "breaks its schema", errors)


def _seal(key: bytes, context: bytes, text: bytes) -> bytes:
    return hmac.digest(key, hashlib.sha256(context).digest() + text, "sha256")[:SEAL_SIZE]


def _forged() -> Problem:
    return Problem(
        400, "this is no cursor of this list", [("/cursor", "use `next` of the page before, with the same filters")]
    )
