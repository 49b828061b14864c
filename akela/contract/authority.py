"""Who decides over each leaf of a configuration: the layers of the server, or the device. Pure.

The rules, all of them; a leaf's authority is what its field says, or the nearest field above it, else `server`:
- server: what a device says is rejected;
- device: it is accepted and stands above every layer;
- last: the same, until a layer changes the leaf afterwards: it stands while the layers say what they said when it was accepted;
- hold: it becomes a proposal, which changes nothing until an operator decides;
- null takes the device's own values and proposals back, at the leaf and below;
- with a lease a value or proposal goes when its time is over;
- what the schema has no more, or gives to the server, goes.
A report with one wrong value is refused as a whole. One that repeats what is known changes nothing.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Final, NamedTuple

from akela.contract.avro import ParsedSchema, check
from akela.contract.avro_types import Authority, MapOf, Record, Type
from akela.contract.canonical import config_id
from akela.contract.codes import Code
from akela.contract.delta import same
from akela.contract.device_values import (
    DeviceValue,
    Parts,
    ValuesReport,
    check_bounds,
    from_stored,
    is_within,
    made,
    parts_of,
    pointer,
)
from akela.contract.errors import ContractError
from akela.contract.merge import Layer, pruned, structure

DEVICE: Final = "device"  # name of the layer that accepted values make
DEVICE_WEIGHT: Final = 2**31 + 2  # above every other layer's (`akela.layering`)

Configuration = Mapping[str, Any]


class Verdict(StrEnum):
    """What became of a value."""

    ACCEPTED = "accepted"
    REJECTED = "rejected"
    HELD = "held"
    WITHDRAWN = "withdrawn"  # by the device
    DROPPED = "dropped"  # by a later change of a layer or schema
    CLEARED = "cleared"  # by an operator
    EXPIRED = "expired"


@dataclass(frozen=True, slots=True)
class Ruling:
    """What was decided of one path. `id`: the value's or proposal's, where there is one."""

    path: str
    verdict: Verdict
    id: str | None = None
    changed: bool = True  # False: it was so before


@dataclass(frozen=True, slots=True)
class DeviceState:
    """What stands of one device: `values` make its layer, `proposals` wait for an operator."""

    values: tuple[DeviceValue, ...] = ()
    proposals: tuple[DeviceValue, ...] = ()

    def __bool__(self) -> bool:
        """Whether there is anything."""
        return bool(self.values or self.proposals)


NOTHING: Final = DeviceState()


def stored_state(device: Iterable[Mapping[str, Any]] | None, held: Iterable[Mapping[str, Any]] | None) -> DeviceState:
    """What the stored values and proposals make; the same object for all who have none."""
    return DeviceState(from_stored(device), from_stored(held)) if device or held else NOTHING


def device_id(values: Sequence[DeviceValue]) -> str | None:
    """An id of accepted values that is equal for equal ones; None: there are none."""
    return config_id({value.path: [value.value, value.below] for value in values}) if values else None


@dataclass(frozen=True, slots=True)
class Judged:
    """What stands afterwards, and why."""

    state: DeviceState
    rulings: tuple[Ruling, ...]


def judge(
    schema: ParsedSchema, below: Configuration, state: DeviceState, report: ValuesReport, now: datetime
) -> Judged:
    """Decide on what a device reports. `below`: its effective configuration without its own values; `state` stands already (`standing`).

    Raises: ContractError naming the path (422) or the bound that is exceeded (413); nothing is changed then.
    """
    work = _Judging(state, below, report.until, now)
    for leaf in list(_leaves(_root(schema), report.values, (), Authority.SERVER)):
        work.rule(leaf)
    after = DeviceState(tuple(work.values.values()), tuple(work.proposals.values()))
    check_bounds((*after.values, *after.proposals))
    return Judged(after, tuple(work.rulings))


def standing(
    schema: ParsedSchema, below: Configuration, state: DeviceState, decided: Mapping[str, str], now: datetime
) -> Judged:
    """What of `state` still stands. `decided`: the verdicts of operators (accepted, rejected, cleared) by id."""
    rulings: list[Ruling] = []

    def kept(values: Iterable[DeviceValue], allowed: frozenset[Authority]) -> Iterator[DeviceValue]:
        for value in values:
            verdict = Verdict(decided[value.id]) if value.id in decided else _gone(schema, below, value, allowed, now)
            if verdict is None:
                yield value
            else:
                rulings.append(Ruling(value.path, verdict, value.id))

    values = tuple(kept(state.values, _STANDS))
    proposals = tuple(kept(state.proposals, _PROPOSES))
    return Judged(DeviceState(values, proposals) if rulings else state, tuple(rulings))


def device_layer(values: Sequence[DeviceValue]) -> Layer:
    """The layer of accepted values, above all others."""
    data: dict[str, Any] = {}
    for value in values:
        *outer, last = parts_of(value.path)
        inner = data
        for part in outer:
            inner = inner.setdefault(part, {})
        inner[last] = value.value
    return Layer(DEVICE, DEVICE_WEIGHT, data, appends=False)


def own_layer(schema: ParsedSchema, below: Configuration, values: Sequence[DeviceValue]) -> list[Layer]:
    """The layer of those values that the schema and the layers below still allow; leases are not looked at."""
    stand = [value for value in values if _gone(schema, below, value, _STANDS, value.at) is None]
    return [device_layer(stand)] if stand else []


class Leaf(NamedTuple):
    """A leaf of a schema."""

    type: Type
    authority: Authority
    appends: bool  # layers add to its array


def leaf_at(schema: ParsedSchema, path: str) -> Leaf | None:
    """The leaf at `path` (a JSON Pointer); None where the schema has none. Raises: PayloadError for text that is no path."""
    node: Type = _root(schema)
    authority, appends = Authority.SERVER, False
    for part in parts_of(path):
        inner = structure(node)
        if not isinstance(inner, Record | MapOf) or (isinstance(inner, Record) and part not in inner.fields):
            return None
        appends = isinstance(inner, Record) and inner.fields[part].append
        node, own = _child(inner, part, (part,))
        authority = own or authority
    return None if isinstance(structure(node), Record | MapOf) else Leaf(node, authority, appends)


_STANDS: Final = frozenset({Authority.DEVICE, Authority.LAST})
_PROPOSES: Final = frozenset({Authority.HOLD})


@dataclass(frozen=True, slots=True)
class _Said:
    """A leaf that a report names; `value` None takes back."""

    parts: Parts
    authority: Authority
    value: Any


class _Judging:
    """One report under way."""

    def __init__(self, state: DeviceState, below: Configuration, until: datetime | None, now: datetime) -> None:
        self.values = {value.path: value for value in state.values}
        self.proposals = {value.path: value for value in state.proposals}
        self.rulings: list[Ruling] = []
        self._below = below
        self._until = until
        self._now = now

    def rule(self, leaf: _Said) -> None:
        path = pointer(leaf.parts)
        if leaf.value is None:
            self._withdraw(path)
            return
        below = _at(self._below, leaf.parts)
        match leaf.authority:
            case Authority.SERVER:
                equal = same(below, leaf.value)
                verdict = Verdict.ACCEPTED if equal else Verdict.REJECTED
                self.rulings.append(Ruling(path, verdict, changed=not equal))
            case Authority.DEVICE | Authority.LAST:
                self._keep(self.values, Verdict.ACCEPTED, path, leaf.value, below)
            case Authority.HOLD if same(below, leaf.value):
                moot = self.proposals.pop(path, None)
                self.rulings.append(Ruling(path, Verdict.ACCEPTED, changed=moot is not None))
            case Authority.HOLD:
                self._keep(self.proposals, Verdict.HELD, path, leaf.value, below)

    def _keep(self, kept: dict[str, DeviceValue], verdict: Verdict, path: str, value: Any, below: Any) -> None:
        known = kept.get(path)
        equal = known is not None and same(known.value, value) and known.until == self._until
        item = known if known is not None and equal else made(path, value, self._now, self._until, below)
        kept[path] = item
        self.rulings.append(Ruling(path, verdict, item.id, changed=not equal))

    def _withdraw(self, path: str) -> None:
        """A path without values is ruled on, too: whoever asked gets to know."""
        gone = False
        for kept in (self.values, self.proposals):
            for inner in [known for known in kept if is_within(known, path)]:
                del kept[inner]
                gone = True
        self.rulings.append(Ruling(path, Verdict.WITHDRAWN, changed=gone))


def _gone(
    schema: ParsedSchema, below: Configuration, value: DeviceValue, allowed: frozenset[Authority], now: datetime
) -> Verdict | None:
    """Why a value stands no more, or None."""
    if value.until is not None and value.until <= now:
        return Verdict.EXPIRED
    leaf = leaf_at(schema, value.path)
    if leaf is None or leaf.authority not in allowed or check(leaf.type, value.value, ""):
        return Verdict.DROPPED
    overtaken = leaf.authority is Authority.LAST and not same(_at(below, parts_of(value.path)), value.below)
    return Verdict.DROPPED if overtaken else None


def _root(schema: ParsedSchema) -> Record:
    if not isinstance(schema.root, Record):
        raise ContractError("a configuration schema is a record", code=Code.CONFLICT)
    return schema.root


def _leaves(node: Type, value: Any, parts: Parts, authority: Authority) -> Iterator[_Said]:
    """The leaves of a report, checked. Raises: ContractError (422) naming the first that the schema does not have or allow."""
    inner = structure(node)
    if value is None:
        yield _Said(parts, authority, None)
    elif isinstance(inner, Record | MapOf) and isinstance(value, Mapping):
        for name, item in value.items():
            kind, own = _child(inner, name, (*parts, name))
            yield from _leaves(kind, item, (*parts, name), own or authority)
    else:
        found = check(node, value, pointer(parts))
        if found:
            raise ContractError(found[0].reason, code=Code.UNPROCESSABLE, key=found[0].path)
        yield _Said(parts, authority, pruned(node, value))


def _child(node: Record | MapOf, name: str, parts: Parts) -> tuple[Type, Authority | None]:
    """Type and authority of what is called `name`. Raises: ContractError (422)."""
    if isinstance(node, MapOf):
        if "\0" in name:
            raise ContractError("a key holds no NUL", code=Code.UNPROCESSABLE, key=pointer(parts[:-1]))
        return node.values, None
    field = node.fields.get(name)
    if field is None:
        allowed = ", ".join(node.fields) or "none"
        reason = f"unknown field; {node.name} has: {allowed}"
        raise ContractError(reason, code=Code.UNPROCESSABLE, key=pointer(parts))
    return field.type, field.authority


def _at(value: Any, parts: Parts) -> Any:
    for part in parts:
        value = value.get(part) if isinstance(value, Mapping) else None
    return value
