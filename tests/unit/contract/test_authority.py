"""Who decides over a leaf: each authority by example, and laws that hold for all reports."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from akela.contract.authority import NOTHING, DeviceState, Verdict, device_layer, judge, leaf_at, standing
from akela.contract.avro import parse_schema
from akela.contract.codes import Code
from akela.contract.device_values import MAX_VALUES, ValuesReport, from_stored, next_end, parts_of, pointer
from akela.contract.errors import ContractError, PayloadError, SchemaError
from akela.contract.merge import Layer, merge
from tests.unit.contract.strategies import SMALL, TEXT

NOW = datetime(2026, 1, 1, tzinfo=UTC)
LATER = NOW + timedelta(hours=1)


def field(name: str, kind: Any, authority: str | None = None, **more: Any) -> dict[str, Any]:
    return {"name": name, "type": kind} | ({} if authority is None else {"akela.authority": authority}) | more


def record(name: str, *fields: dict[str, Any]) -> dict[str, Any]:
    return {"type": "record", "name": name, "fields": list(fields)}


INTS = {"type": "array", "items": "int"}
SCHEMA = parse_schema(
    record(
        "C",
        field("server", "int", "server"),
        field("silent", "int"),
        field("device", "int", "device"),
        field("last", "int", "last"),
        field("hold", "int", "hold"),
        field("list", INTS, "device", overrideStrategy="append"),
        field("names", {"type": "map", "values": "int"}, "last"),
        field(
            "net",
            record("N", field("port", "int", "server"), field("host", "string", "device"), field("note", "string")),
            "hold",
            optional=True,
        ),
    )
)


def below(*layers: dict[str, Any]) -> dict[str, Any]:
    return merge(SCHEMA, [Layer(f"w{weight}", weight, data) for weight, data in enumerate(layers)]).value


def effective(state: DeviceState, *layers: dict[str, Any]) -> dict[str, Any]:
    made = [Layer(f"w{weight}", weight, data) for weight, data in enumerate(layers)]
    return merge(SCHEMA, [*made, device_layer(state.values)]).value


def report(values: dict[str, Any], until: datetime | None = None) -> ValuesReport:
    return ValuesReport(values, until)


def judged(values: dict[str, Any], state: DeviceState = NOTHING, until: datetime | None = None, **layer: Any) -> Any:
    return judge(SCHEMA, below(layer), state, report(values, until), NOW)


def verdicts(result: Any) -> dict[str, Verdict]:
    return {ruling.path: ruling.verdict for ruling in result.rulings}


def test_each_authority_has_its_verdict() -> None:
    result = judged({"server": 1, "silent": 1, "device": 1, "last": 1, "hold": 1, "names": {"a/b": 2}})
    assert verdicts(result) == {
        "/server": "rejected",
        "/silent": "rejected",
        "/device": "accepted",
        "/last": "accepted",
        "/hold": "held",
        "/names/a~1b": "accepted",
    }
    assert effective(result.state) == below() | {"device": 1, "last": 1, "names": {"a/b": 2}}
    assert [(item.path, item.value) for item in result.state.proposals] == [("/hold", 1)]


def test_what_is_below_a_field_inherits_its_authority() -> None:
    result = judged({"net": {"port": 1, "host": "h", "note": "n"}})
    assert verdicts(result) == {"/net/port": "rejected", "/net/host": "accepted", "/net/note": "held"}
    assert effective(result.state)["net"] == {"port": 0, "host": "h", "note": ""}
    for path, authority, appends in (
        ("/net/note", "hold", False),
        ("/silent", "server", False),
        ("/list", "device", True),
    ):
        leaf = leaf_at(SCHEMA, path)
        assert leaf is not None
        assert (leaf.authority, leaf.appends) == (authority, appends)
    assert (leaf_at(SCHEMA, "/net"), leaf_at(SCHEMA, "/nothing")) == (None, None)


def test_a_bad_authority_is_refused_with_its_place() -> None:
    with pytest.raises(SchemaError, match="'boss' is no authority: server, device, last, hold") as caught:
        parse_schema(record("C", field("a", "int"), field("b", record("I", field("c", "int", "boss")))))
    assert caught.value.key == "/fields/1/type/fields/0/akela.authority"


def test_the_device_s_array_replaces_even_where_layers_append() -> None:
    result = judged({"list": [9]}, list=[1, 2])
    assert effective(result.state, {"list": [1, 2]})["list"] == [9]


@pytest.mark.parametrize(
    ("values", "key"),
    [
        ({"nothing": 1}, "/nothing"),
        ({"nothing": None}, "/nothing"),
        ({"device": "x"}, "/device"),
        ({"server": "x"}, "/server"),
        ({"net": 5}, "/net"),
        ({"net": {"port": 1, "x": 1}}, "/net/x"),
        ({"device": 1, "list": [1, "x"]}, "/list/1"),
        ({"names": {"a\0": 1}}, "/names"),
    ],
)
def test_one_wrong_value_refuses_the_report(values: dict[str, Any], key: str) -> None:
    with pytest.raises(ContractError) as caught:
        judged(values)
    assert (caught.value.code, caught.value.key) == (Code.UNPROCESSABLE, key)


@pytest.mark.parametrize(
    "values", [{"names": {str(n): n for n in range(MAX_VALUES + 1)}}, {"names": {"k" * 20_000: 1}}]
)
def test_what_one_endpoint_may_set_is_bounded(values: dict[str, Any]) -> None:
    with pytest.raises(PayloadError) as caught:
        judged(values)
    assert caught.value.code == Code.TOO_LARGE


def test_what_a_server_leaf_says_anyway_is_not_rejected() -> None:
    (ruling,) = judged({"server": 5}, server=5).rulings
    assert (ruling.verdict, ruling.changed) == (Verdict.ACCEPTED, False)


def test_a_proposal_that_has_come_true_is_moot() -> None:
    held = judged({"hold": 3}).state
    assert judged({"hold": 3}, held, hold=3).state == NOTHING


def test_a_lease_ends_values_and_proposals() -> None:
    state = judged({"device": 1, "hold": 2}, until=LATER).state
    assert next_end((*state.values, *state.proposals)) == LATER
    assert standing(SCHEMA, below(), state, {}, LATER - timedelta(milliseconds=1)).state is state
    after = standing(SCHEMA, below(), state, {}, LATER)
    assert after.state == NOTHING
    assert verdicts(after) == {"/device": "expired", "/hold": "expired"}


def test_what_operators_decided_goes_with_their_verdict() -> None:
    state = judged({"device": 1, "hold": 2, "net": {"note": "n"}}).state
    decided = {
        state.values[0].id: "cleared",
        state.proposals[0].id: "accepted",
        state.proposals[1].id: "rejected",
        "another": "rejected",
    }
    after = standing(SCHEMA, below(), state, decided, NOW)
    assert after.state == NOTHING
    assert verdicts(after) == {"/device": "cleared", "/hold": "accepted", "/net/note": "rejected"}


def test_a_schema_that_takes_authority_away_drops_what_was_set() -> None:
    state = judged({"device": 1, "last": 2, "hold": 3, "names": {"a": 1}}).state
    stricter = parse_schema(
        record("C", field("device", "int"), field("last", "string", "last"), field("hold", "int", "device"))
    )
    after = standing(stricter, {"device": 0, "last": "", "hold": 0}, state, {}, NOW)
    assert after.state == NOTHING
    assert set(verdicts(after).values()) == {Verdict.DROPPED}


@pytest.mark.parametrize(
    "said", ["soon", True, [], "2026-01-01T00:00:00", 0, -5, 1e300, "2025-12-31T00:00:00Z", 10**10]
)
def test_a_lease_is_a_moment_to_come(said: object) -> None:
    with pytest.raises(PayloadError) as caught:
        ValuesReport.from_json({"values": {}, "until": said}, NOW)
    assert (caught.value.code, caught.value.key) == (Code.UNPROCESSABLE, "until")


@pytest.mark.parametrize("said", [3600, 3600.0, "2026-01-01T01:00:00Z", "2026-01-01T02:00:00+01:00"])
def test_a_lease_is_said_in_seconds_or_as_a_time(said: object) -> None:
    assert ValuesReport.from_json({"values": {}, "until": said}, NOW).until == LATER


@pytest.mark.parametrize("body", [5, {}, {"values": 5}, {"values": []}])
def test_a_report_has_values(body: object) -> None:
    with pytest.raises(PayloadError):
        ValuesReport.from_json(body, NOW)


LAYER = st.fixed_dictionaries(
    {},
    optional={
        "server": SMALL, "device": SMALL, "last": SMALL, "hold": SMALL, "list": st.lists(SMALL, max_size=3),
        "names": st.dictionaries(st.sampled_from(["a", "a/b", "~"]), SMALL),
        "net": st.fixed_dictionaries({}, optional={"port": SMALL, "host": TEXT, "note": TEXT}),
    },
)  # fmt: skip


def nulls(value: Any) -> Any:
    """The report that takes back what `value` set."""
    return {key: nulls(item) for key, item in value.items()} if isinstance(value, dict) else None


def server_leaves(value: dict[str, Any]) -> Any:
    return value["server"], value["silent"], value.get("net", {}).get("port", 0)


@given(LAYER, LAYER, LAYER)
def test_a_device_never_changes_a_server_leaf_and_a_proposal_changes_nothing(
    layer: dict[str, Any], first: dict[str, Any], second: dict[str, Any]
) -> None:
    state = judge(SCHEMA, below(layer), NOTHING, report(first), NOW).state
    state = judge(SCHEMA, below(layer), state, report(second), LATER).state
    value = effective(state, layer)
    assert not SCHEMA.validate(value)
    assert server_leaves(value) == server_leaves(below(layer))
    assert value["hold"] == below(layer)["hold"]


@given(LAYER, LAYER)
def test_what_is_accepted_is_what_the_device_then_has(layer: dict[str, Any], said: dict[str, Any]) -> None:
    value = effective(judge(SCHEMA, below(layer), NOTHING, report(said), NOW).state, layer)
    for name in ("device", "last", "list"):
        assert value[name] == said.get(name, below(layer)[name])
    assert value["names"] == below(layer)["names"] | said.get("names", {})


@given(LAYER, LAYER)
def test_equal_reports_are_one(layer: dict[str, Any], said: dict[str, Any]) -> None:
    first = judge(SCHEMA, below(layer), NOTHING, report(said), NOW)
    again = judge(SCHEMA, below(layer), first.state, report(said), LATER)
    assert again.state == first.state
    assert [ruling.path for ruling in again.rulings if ruling.changed] == [
        ruling.path for ruling in again.rulings if ruling.verdict is Verdict.REJECTED
    ]


@given(LAYER, LAYER)
def test_null_takes_everything_back(layer: dict[str, Any], said: dict[str, Any]) -> None:
    state = judge(SCHEMA, below(layer), NOTHING, report(said), NOW).state
    assert judge(SCHEMA, below(layer), state, report(nulls(said)), LATER).state == NOTHING
    assert judge(SCHEMA, below(layer), state, report(dict.fromkeys(said)), LATER).state == NOTHING


@given(LAYER, LAYER, LAYER)
def test_last_loses_to_a_later_change_of_that_leaf_and_only_to_that(
    layer: dict[str, Any], said: dict[str, Any], change: dict[str, Any]
) -> None:
    state = judge(SCHEMA, below(layer), NOTHING, report(said), NOW).state
    before, after = below(layer), below(layer, change)
    left = standing(SCHEMA, after, state, {}, LATER).state
    gone = {value.path for value in state.values} - {value.path for value in left.values}
    changed = {
        f"/names/{pointer((key,))[1:]}"
        for key in {*before["names"], *after["names"]}
        if before["names"].get(key) != after["names"].get(key)
    }
    changed |= {"/last"} if before["last"] != after["last"] else set()
    assert gone == changed & {value.path for value in state.values}
    assert standing(SCHEMA, before, state, {}, LATER).state is state


@given(LAYER, LAYER)
def test_storing_changes_nothing(layer: dict[str, Any], said: dict[str, Any]) -> None:
    state = judge(SCHEMA, below(layer), NOTHING, report(said, LATER), NOW).state
    text = json.dumps([value.to_stored() for value in state.values], default=datetime.isoformat)
    stored = [
        item | {name: datetime.fromisoformat(item[name]) for name in ("at", "until")} for item in json.loads(text)
    ]
    assert from_stored(stored) == state.values


@given(st.lists(TEXT, min_size=1).map(tuple))
def test_a_path_is_text_and_back(parts: tuple[str, ...]) -> None:
    assert parts_of(pointer(parts)) == parts


@pytest.mark.parametrize("path", ["", "x", "x/y"])
def test_other_text_is_no_path(path: str) -> None:
    with pytest.raises(PayloadError):
        parts_of(path)
