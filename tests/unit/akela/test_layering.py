"""The order of an endpoint's layers: all, groups by weight, owner, endpoint."""

from akela.layering import ordered_layers, places

WEIGHTS = {"heavy": 20, "light": 10, "bare": 15}
BODIES = {
    name: {"of": name} for name in ("all:-", "group:heavy", "group:light", "owner:jo", "endpoint:e1", "endpoint:e2")
}


def names(groups: tuple[str, ...] = (), owner: str | None = None, ep: str = "e9") -> list[str]:
    return [layer.name for layer in ordered_layers(BODIES, WEIGHTS, groups, owner, ep)]


def test_lowest_first() -> None:
    layers = ordered_layers(BODIES, WEIGHTS, ("heavy", "light"), "jo", "e1")
    assert [layer.name for layer in layers] == ["all", "group:light", "group:heavy", "owner:jo", "endpoint:e1"]
    assert [layer.weight for layer in layers] == sorted({layer.weight for layer in layers})
    assert layers[-1].data == {"of": "endpoint:e1"}


def test_k44_a_changed_weight_turns_the_order_over() -> None:
    layers = ordered_layers(BODIES, WEIGHTS | {"light": 30}, ("heavy", "light"), None, "e9")
    assert [layer.name for layer in layers] == ["all", "group:heavy", "group:light"]


def test_only_what_is_active_and_concerns_the_endpoint() -> None:
    assert names() == ["all"]
    assert names(("bare",)) == ["all"]
    assert names(("light",), "nobody", "e2") == ["all", "group:light", "endpoint:e2"]


def test_a_group_that_is_no_more_has_no_layer() -> None:
    assert names(("gone", "light")) == ["all", "group:light"]


def test_places_stand_also_where_no_layer_is() -> None:
    assert [place.key for place in places(WEIGHTS, ("bare",), "jo", "e9")] == [
        "all:-",
        "group:bare",
        "owner:jo",
        "endpoint:e9",
    ]
