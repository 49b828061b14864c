"""The difference of two configurations as a JSON merge patch (RFC 7386, now RFC 7396), and its application.

A merge patch cannot say "set to null", so it is used between effective configurations, in which an optional field that is
null is left out. Where a null stands all the same (in a map or array), the whole is sent.
"""

import json
from collections.abc import Mapping
from typing import Any, Literal

JsonObject = Mapping[str, Any]


def diff(base: JsonObject, target: JsonObject) -> dict[str, Any]:
    """The merge patch that makes `target` out of `base`. Both are free of nulls inside objects."""
    patch: dict[str, Any] = {key: None for key in base if key not in target}
    for key, wanted in target.items():
        present = base.get(key)
        if key in base and same(present, wanted):
            continue
        if isinstance(present, Mapping) and isinstance(wanted, Mapping):
            patch[key] = diff(present, wanted)
        else:
            patch[key] = wanted
    return patch


def apply(base: object, patch: object) -> Any:
    """`base` with the merge patch applied (RFC 7386, section 2); neither is changed."""
    if not isinstance(patch, Mapping):
        return patch
    result = dict(base) if isinstance(base, Mapping) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = apply(result.get(key), value)
    return result


def choose(base: JsonObject, target: JsonObject) -> tuple[Literal["full", "delta"], JsonObject]:
    """What to send to an endpoint that holds `base`: the delta if it is smaller and says all, else the whole."""
    patch = diff(base, target)
    if not same(apply(base, patch), target) or _size(patch) >= _size(target):
        return "full", target
    return "delta", patch


def same(left: object, right: object) -> bool:
    """Equality of JSON values: unlike Python's `==`, true is not 1."""
    if isinstance(left, bool) or isinstance(right, bool):
        return left is right
    if isinstance(left, Mapping) and isinstance(right, Mapping):
        return left.keys() == right.keys() and all(same(left[key], right[key]) for key in left)
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(same, left, right))
    return (type(left) is type(right) and left == right) or _numbers_equal(left, right)


def _numbers_equal(left: object, right: object) -> bool:
    return isinstance(left, int | float) and isinstance(right, int | float) and left == right


def _size(value: object) -> int:
    return len(json.dumps(value, separators=(",", ":"), ensure_ascii=False))
