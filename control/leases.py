"""Leases: values of an endpoint's layer that leave it by themselves when their time is over. Pure.

A lease belongs to the value: who sets another takes the lease away with it.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from akela.contract.delta import same
from akela.contract.device_values import Parts, parts_of
from akela.documents.model import Content


def value_at(data: Any, parts: Parts) -> Any:
    """What a layer sets at a path; None where it sets nothing."""
    for part in parts:
        data = data.get(part) if isinstance(data, Mapping) else None
    return data


def with_value(data: Mapping[str, Any], parts: Parts, value: Any) -> dict[str, Any]:
    """A layer that sets `value` at a path besides."""
    first, *rest = parts
    inner = data.get(first)
    made = with_value(inner if isinstance(inner, Mapping) else {}, tuple(rest), value) if rest else value
    return {**data, first: made}


def without(data: Mapping[str, Any], parts: Parts) -> dict[str, Any]:
    """A layer that sets nothing at a path; objects that are empty for it go, too."""
    first, *rest = parts
    inner = data.get(first)
    left = without(inner, tuple(rest)) if rest and isinstance(inner, Mapping) else {}
    kept = {key: item for key, item in data.items() if key != first}
    return kept | ({first: left} if left else {})


def fields(leases: Sequence[Content]) -> Content:
    """The fields of a layer that hold its leases."""
    return {"leases": list(leases), "lease_end": min((lease["until"] for lease in leases), default=None)}


def kept(layer: Content | None, body: Mapping[str, Any]) -> Content:
    """The leases that outlive a change of a layer to `body`, as fields of the layer."""
    present = (layer or {}).get("leases") or ()
    before = (layer or {}).get("body") or {}
    return fields([lease for lease in present if _unchanged(before, body, parts_of(lease["path"]))])


def _unchanged(before: Mapping[str, Any], after: Mapping[str, Any], parts: Parts) -> bool:
    there = value_at(after, parts)
    return there is not None and same(value_at(before, parts), there)
