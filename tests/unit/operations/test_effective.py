"""One computation and one encoding for all endpoints that have the same layers; versions, weights, deltas."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from akela.contract.authority import NOTHING, DeviceState
from akela.contract.device_values import made
from akela.contract.envelope import AvroPush
from operations.catalog import Catalog
from operations.cohorts import Cohorts
from operations.effective import Configurations, Effective, Unservable
from operations.principals import Endpoint
from tests.unit.operations.catalogs import APP, SCHEMA, catalog, endpoint, group, layer, schema

RED, LARGE = group("red", 10), group("large", 20)


class World:
    """A catalog with its cohorts and configurations."""

    def __init__(self, known: Catalog) -> None:
        self.catalog = known
        self.configurations = Configurations(known)
        self.cohorts = Cohorts(known)

    def of(self, one: Endpoint) -> Effective | Unservable | None:
        self.cohorts.put(one)
        assert one.cohort is not None
        return self.configurations.of(one.cohort)

    def effective(self, one: Endpoint) -> Effective:
        found = self.of(one)
        assert isinstance(found, Effective)
        return found

    def why(self, one: Endpoint) -> Unservable:
        found = self.of(one)
        assert isinstance(found, Unservable)
        return found


def test_endpoints_with_the_same_layers_share_one_computation_and_one_encoding() -> None:
    world = World(catalog(layer("all:-", n=1), layer("group:red", n=2), groups=(RED, LARGE)))
    kinds: tuple[tuple[str, ...], ...] = ((), ("red",), ("large",), ("large", "red"))
    endpoints = [endpoint(f"e{number}", *kinds[number % 4], owner=f"o{number % 3}") for number in range(1000)]
    payloads = {id(world.effective(one).full(7)) for one in endpoints}
    assert len(payloads) == 2  # with the group's layer, and without; owners and the other group have none
    assert world.configurations.computed == 2
    world.catalog.put_configuration(layer("group:large", rev=2, s="x"))
    assert len({world.effective(one).id for one in endpoints}) == 4
    assert world.configurations.computed == 4


def test_layers_stand_in_the_order_of_weights() -> None:
    layers = [
        layer("all:-", n=1),
        layer("group:red", n=2),
        layer("group:large", n=3),
        layer("owner:jo", n=4),
        layer("endpoint:e", n=5),
    ]
    world = World(catalog(*layers, groups=(RED, LARGE)))
    one = endpoint(
        "e", "large", "red", owner="jo", device=DeviceState((made("/n", 6, datetime.now(UTC), None, 5),)), device_id="d"
    )
    assert world.effective(one).value["n"] == 6
    one.device, one.device_id = NOTHING, None
    for expected in (5, 4):
        assert world.effective(one).value["n"] == expected
        world.catalog.delete_configuration(APP, "endpoint:e" if expected == 5 else "owner:jo")
    assert world.effective(one).value["n"] == 3
    world.catalog.put_group(group("red", 30))
    assert world.effective(one).value["n"] == 2
    world.catalog.delete_group(APP, "red")
    assert world.effective(one).value["n"] == 3
    world.catalog.put_configuration(layer("group:large", rev=9, active=None))  # deactivated
    assert world.effective(one).value["n"] == 1


def test_equal_content_is_the_same_id_whatever_it_is_made_of() -> None:
    world = World(catalog(layer("all:-", n=1), layer("endpoint:a", n=1)))
    assert world.effective(endpoint("a")).id == world.effective(endpoint("b")).id


def test_a_push_says_where_the_log_is_and_only_what_differs() -> None:
    world = World(catalog(layer("all:-", n=1, s="long enough")))
    one = endpoint()
    first = world.effective(one)
    world.configurations.position = 2
    assert json.loads(world.configurations.payload(APP, first, None))["seq"] == 2
    world.catalog.put_configuration(layer("all:-", rev=3, n=2, s="long enough"))
    second = world.effective(one)
    assert json.loads(world.configurations.payload(APP, second, first.id)) == {
        "id": second.id, "seq": 2, "base": first.id, "delta": {"n": 2},
    }  # fmt: skip


def test_an_older_version_is_resolved_from_the_newest() -> None:
    fields = [{"name": "n", "type": "long", "default": 0}, {"name": "more", "type": "int", "default": 8}]
    world = World(catalog(layer("all:-", n=5)))
    world.catalog.put_schema(schema(2, {**SCHEMA, "fields": fields}))
    world.catalog.put_configuration(layer("all:-", rev=2, n=5, more=1))
    newest, older = endpoint("a"), endpoint("b", versions={"config": 1})
    assert world.effective(newest).value == {"n": 5, "more": 1}
    assert "no version 3" in world.why(endpoint("c", versions={"config": 3})).reason
    assert "long is not int" in world.why(older).reason  # Avro widens, it does not narrow
    world.catalog.put_schema(schema(3, {**SCHEMA, "fields": [*SCHEMA["fields"], fields[1]]}))
    assert world.effective(older).value == {"n": 5}
    assert world.effective(endpoint("d", versions={"config": 3})).id == world.effective(newest).id


@pytest.mark.parametrize(("value", "shown"), [({"n": 1}, None), ({"n": 1, "s": "text"}, "text")])
def test_an_optional_field_that_is_left_out_is_null_in_avro_whatever_its_default(
    value: dict[str, Any], shown: Any
) -> None:
    body = {**SCHEMA, "fields": [SCHEMA["fields"][0], {**SCHEMA["fields"][1], "default": "default"}]}
    world = World(catalog(layer("all:-", n=1, s=value.get("s")), body=body))
    found = world.effective(endpoint())
    assert found.value == value
    push = AvroPush.from_bytes(world.configurations.payload(APP, found, None, avro=True))
    assert found.schema.decode_body(push.full[10:]) == {"n": 1, "s": shown}
    assert (push.id, push.seq) == (found.id, 0)


def test_a_catalog_that_is_read_anew_is_not_confused_with_the_one_before() -> None:
    world = World(catalog(layer("all:-", n=1)))
    one = endpoint()
    assert world.effective(one).value == {"n": 1}
    world.catalog.load([{"_id": APP, "tenant": "t", "trust": "open"}], [schema(1)], [layer("all:-", n=2)], [])
    world.configurations.reloaded(9)
    assert world.effective(one).value == {"n": 2}
    world.catalog.delete_application(APP)
    assert world.of(one) is None
