"""Filters in CEL (Common Expression Language): compiled once, evaluated on JSON values, bounded in what they may cost.

The only file that knows the CEL library (docs/decisions/0045). CEL always ends, but nested macros (`all`, `exists`, `exists_one`, `map`,
`filter`) multiply their lists; so the depth of nesting times the longest list of what a filter is asked about is bounded before it runs.
"""

import re
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from typing import Any, Final

import cel

from akela.errors import AkelaError

MAX_LENGTH: Final = 4096  # characters
MAX_DEPTH: Final = 3  # macros inside macros
MAX_STEPS: Final = 20_000  # a few milliseconds

_TEXT: Final = re.compile(
    r"""[rRbB]{0,2}(?:'{3}.*?'{3}|"{3}.*?"{3}|'(?:\\.|[^'\\\n])*'|"(?:\\.|[^"\\\n])*")""", re.DOTALL
)
_MACRO: Final = re.compile(r"\.\s*(?:all|exists|exists_one|map|filter)\s*\(")
_BOUND: Final = re.compile(
    r"\.\s*(?:all|exists|exists_one|map|filter)\s*\(\s*([A-Za-z_]\w*)\s*,"
)  # names that macros bring
_FIELD: Final = re.compile(r"\s*\.\s*([A-Za-z_]\w*)(?!\w*\s*\()")

Context = Any  # values made ready for CEL: `context()`


class FilterError(AkelaError):
    """A text is no filter, or a filter cannot be evaluated on the values that it is asked about; `str()` is the reason."""


class Filter:
    """One compiled filter."""

    __slots__ = ("_depth", "_literal", "_program", "text", "uses")

    def __init__(self, text: str, names: AbstractSet[str]) -> None:
        """Raises: FilterError for what is no CEL expression, or speaks of something else than `names`."""
        if len(text) > MAX_LENGTH:
            raise FilterError(f"a filter has at most {MAX_LENGTH} characters")
        try:
            self._program = cel.compile(text)
            spoken_of = set(self._program.variables())
        except Exception as error:
            raise FilterError(_syntax_error(error)) from error
        plain = _TEXT.sub("''", text)
        unknown = sorted(spoken_of - names - set(_BOUND.findall(plain)))
        if unknown:
            raise FilterError(f"{unknown[0]!r} is unknown here; a filter speaks of {', '.join(sorted(names))}")
        self.text = text
        self.uses: Mapping[str, frozenset[str] | None] = {name: _fields(plain, name) for name in spoken_of & names}
        self._depth = _depth(plain)
        self._literal = plain.count(",") + 1  # no list that the text itself spells out is longer
        if self._depth > MAX_DEPTH:
            raise FilterError(f"macros are nested {self._depth} deep; at most {MAX_DEPTH} are allowed")

    def matches(self, context: Context, longest: int) -> bool:
        """Whether the filter holds. `longest`: entries of the longest list or map in `context`. Raises: FilterError."""
        entries = max(longest, self._literal)
        if entries**self._depth > MAX_STEPS:
            raise FilterError(f"too costly: macros nested {self._depth} deep over up to {entries} entries")
        try:
            result = self._program.execute(context)
        except Exception as error:  # KeyError, TypeError, ValueError, RuntimeError: by the kind of failure
            raise FilterError(_reason(error)) from error
        if not isinstance(result, bool):
            raise FilterError(f"gives {type(result).__name__}, not true or false")
        return result


def context(values: Mapping[str, Any]) -> Context:
    """`values` made ready for any number of filters. Raises: FilterError for values that CEL has no type for."""
    try:
        return cel.Context(dict(values))
    except Exception as error:
        raise FilterError(_reason(error)) from error


def longest(value: object) -> int:
    """Entries of the longest list or map in `value`."""
    if isinstance(value, Mapping):
        return max(len(value), max(map(longest, value.values()), default=0))
    if isinstance(value, list | tuple):
        return max(len(value), max(map(longest, value), default=0))
    return 0


def _fields(plain: str, name: str) -> frozenset[str] | None:
    """The fields of variable `name` that a filter looks at; None: perhaps all."""
    found: set[str] = set()
    for place in re.finditer(rf"(?<![\w.]){name}\b", plain):
        field = _FIELD.match(plain, place.end())
        if field is None:
            return None
        found.add(field[1])
    return frozenset(found) or None


def _depth(plain: str) -> int:
    """How deep macros are nested."""
    macros = {match.end() - 1 for match in _MACRO.finditer(plain)}
    stack: list[bool] = []
    deepest = 0
    for place, character in enumerate(plain):
        if character == "(":
            stack.append(place in macros)
            deepest = max(deepest, sum(stack))
        elif character == ")" and stack:
            stack.pop()
    return deepest


def _syntax_error(error: Exception) -> str:
    text = str(error)
    return "no CEL expression: " + (text.partition("ERROR: ")[2].partition("\n")[0] or text[:200])


def _reason(error: Exception) -> str:
    if isinstance(error, KeyError):
        return f"there is no {str(error.args[0]).strip(chr(39))!r}"
    text = str(error).partition("\n")[0]
    return text.partition(". CEL ")[0][:200]
