"""What the endpoint keeps, and the order in which it tries servers."""

import random
from collections import Counter
from pathlib import Path

import pytest

from akela.contract.bootlist import ServerEntry
from device_lib.servers import Address, in_order
from device_lib.store import EndpointState, FileStore


def test_the_state_outlives_the_process_privately(tmp_path: Path) -> None:
    store = FileStore(tmp_path / "deep" / "state.json")
    assert store.load() == EndpointState()
    state = EndpointState("secret", "id", {"a": [1]}, "p")
    store.save(state)
    assert store.load() == state
    assert (tmp_path / "deep" / "state.json").stat().st_mode & 0o777 == 0o600
    assert [file.name for file in (tmp_path / "deep").iterdir()] == ["state.json"]


@pytest.mark.parametrize("text", ["", "[]", '{"other": 1}', "\x00"])
def test_a_file_that_is_no_state_is_named(tmp_path: Path, text: str) -> None:
    file = tmp_path / "state.json"
    file.write_text(text)
    with pytest.raises(ValueError, match=r"state\.json is no endpoint state"):
        FileStore(file).load()


def test_servers_are_tried_by_priority_then_weight() -> None:
    servers = [ServerEntry("late", 1, prio=1, weight=1000), ServerEntry("heavy", 1, weight=9), ServerEntry("light", 1)]
    chance = random.Random(7)
    orders = [tuple(server.host for server in in_order(servers, chance)) for _ in range(2000)]
    assert {order[-1] for order in orders} == {"late"}
    first = Counter(order[0] for order in orders)
    assert 0.85 < first["heavy"] / 2000 < 0.95


@pytest.mark.parametrize("text", ["", "host", ":1883", "host:", "host:x", "host:0", "host:70000"])
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="expected HOST:PORT"):
        Address.parse(text)


def test_an_address_may_hold_colons() -> None:
    assert Address.parse("::1:1883") == Address("::1", 1883)
