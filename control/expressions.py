"""Filters in CEL (Common Expression Language): syntax and names, when a filter is written; servers evaluate it."""

import re
from collections.abc import Set as AbstractSet
from typing import Final

import cel

from control.problems import Problem

MAX_LENGTH: Final = 4096
GROUP_NAMES: Final = frozenset({"profile", "server", "ep", "owner", "versions"})
RECORD_NAMES: Final = frozenset({"record", "ep", "at"})
_BOUND: Final = re.compile(r"\.(?:all|exists|exists_one|map|filter)\(\s*([A-Za-z_]\w*)\s*,")  # names that macros bring


def check_filter(text: str, path: str, names: AbstractSet[str]) -> None:
    """Raises: Problem 422 for what is no CEL expression, or speaks of something else than `names`."""
    try:
        program = cel.compile(text)
        spoken_of = set(program.variables())
    except Exception as error:
        reason = str(error).partition("ERROR: ")[2].partition("\n")[0] or str(error)[:200]
        raise Problem(422, f"no CEL expression: {reason}", [(path, reason)]) from error
    unknown = sorted(spoken_of - names - set(_BOUND.findall(text)))
    if unknown:
        reason = f"{unknown[0]!r} is unknown here; a filter speaks of {', '.join(sorted(names))}"
        raise Problem(422, reason, [(path, reason)])
