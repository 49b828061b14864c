"""Filters, when they are written: a text that is none is refused with its reason."""

from collections.abc import Set as AbstractSet
from typing import Final

from akela.filters import Filter, FilterError
from control.problems import Problem

RECORD_NAMES: Final = frozenset({"record", "ep", "at"})


def check_filter(text: str, path: str, names: AbstractSet[str]) -> None:
    """Raises: Problem 422 for what is no CEL expression, or speaks of something else than `names`."""
    try:
        Filter(text, names)
    except FilterError as error:
        raise Problem(422, str(error), [(path, str(error))]) from error
