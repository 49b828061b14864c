"""Canonical JSON (RFC 8785), and the id that makes equal configurations equal everywhere.

Keys are sorted by their UTF-16 code units, numbers are written as ECMAScript writes them (RFC 8785, section 3.2.2.3).
"""

import hashlib
import json
import math
from collections.abc import Mapping
from typing import Final

from akela.contract.errors import PayloadError

MAX_DEPTH: Final = 64  # nesting of any JSON value that Akela takes
MAX_INTEGER: Final = 2**53 - 1  # largest integer that every JSON implementation keeps exact (RFC 8785, appendix D)
ID_DIGITS: Final = 16


def canonical_json(value: object) -> bytes:
    """The one UTF-8 text of a JSON value. Raises: PayloadError for what has none (NaN, lone surrogates, huge integers)."""
    try:
        return _text(value, "", 0).encode()
    except UnicodeEncodeError as error:
        raise PayloadError("text holds a lone surrogate") from error


def config_id(value: object) -> str:
    """The first 16 hex digits of the SHA-256 of the canonical JSON. Raises: PayloadError."""
    return hashlib.sha256(canonical_json(value)).hexdigest()[:ID_DIGITS]


def _text(value: object, path: str, depth: int) -> str:
    if depth > MAX_DEPTH:
        raise PayloadError(f"nested deeper than {MAX_DEPTH}", key=path)
    match value:
        case None | bool():
            return {None: "null", True: "true", False: "false"}[value]
        case str():
            return json.dumps(value, ensure_ascii=False)
        case int():
            if abs(value) > MAX_INTEGER:
                raise PayloadError(f"{value} is beyond the integers of JSON (2^53 - 1)", key=path)
            return str(value)
        case float():
            return _number(value, path)
        case Mapping():
            members = (_member(key, value[key], path, depth) for key in sorted(value, key=_utf16))
            return "{" + ",".join(members) + "}"
        case list() | tuple():
            items = (_text(item, f"{path}/{index}", depth + 1) for index, item in enumerate(value))
            return "[" + ",".join(items) + "]"
    raise PayloadError(f"{type(value).__name__} is no JSON value", key=path)


def _member(key: object, value: object, path: str, depth: int) -> str:
    if not isinstance(key, str):
        raise PayloadError(f"{key!r} is no JSON key", key=path)
    return f"{json.dumps(key, ensure_ascii=False)}:{_text(value, f'{path}/{key}', depth + 1)}"


def _utf16(key: object) -> bytes:
    return str(key).encode("utf-16-be", "surrogatepass")


def _number(value: float, path: str) -> str:
    """ECMAScript's Number::toString (ECMA-262, section 6.1.6.1.20); Python's repr has the same shortest digits."""
    if not math.isfinite(value):
        raise PayloadError(f"{value} is no JSON number", key=path)
    if value == 0:
        return "0"
    sign = "-" if value < 0 else ""
    mantissa, _, exponent = repr(abs(value)).partition("e")
    whole, _, fraction = mantissa.partition(".")
    fraction = "" if fraction == "0" else fraction
    digits = (whole + fraction).lstrip("0")
    point = len(whole) + int(exponent or "0")  # where the decimal point stands, counted from the first digit of `whole`
    point -= len(whole + fraction) - len((whole + fraction).lstrip("0"))
    digits = digits.rstrip("0")
    return sign + _positioned(digits, point)


def _positioned(digits: str, point: int) -> str:
    count = len(digits)
    if count <= point <= 21:
        return digits + "0" * (point - count)
    if 0 < point <= 21:
        return f"{digits[:point]}.{digits[point:]}"
    if -6 < point <= 0:
        return f"0.{'0' * -point}{digits}"
    exponent = point - 1
    tail = f".{digits[1:]}" if count > 1 else ""
    return f"{digits[0]}{tail}e{'+' if exponent > 0 else '-'}{abs(exponent)}"
