"""Filters, when they are written: a text that is none is refused with its reason."""

from collections.abc import Set as AbstractSet
from typing import Final

from akela.filters import MAX_LENGTH as MAX_LENGTH  # noqa: PLC0414  resources find what they need here
from akela.filters import Filter, FilterError
from akela.membership import NAMES as GROUP_NAMES  # noqa: PLC0414
from control.problems import Problem

RECORD_NAMES: Final = frozenset({"record", "ep", "at"})


def check_filter(text: str, path: str, names: AbstractSet[str]) -> None:
    """Raises: Problem 422 for what is no CEL expression, or speaks of something else than `names`."""
    try:
        Filter(text, names)
    except FilterError as error:
        raise Problem(422, str(error), [(path, str(error))]) from error
