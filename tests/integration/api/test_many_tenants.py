"""Many tenants at once, none in the way of another."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from control.core import Caller, Core
from control.resources.signin import issue
from tests import control_inside
from tests.rest import made, rows

TENANTS = 100
POSITION = {
    "type": "record", "name": "Position", "namespace": "acme", "fields": [{"name": "lat", "type": "double"}],
}  # fmt: skip


def developer_token(core: Core, tenant: str) -> str:
    """A tenant with a token, without the cost of a hundred passwords."""
    caller = Caller("ann", tenant, frozenset({"tenant-developer"}), "test")
    core.put(caller, "tenant", {"_id": tenant, "tenant": tenant, "name": tenant}, None)
    return issue(core, caller, "tool", ["tenant-developer"], None)[1]


def test_k103_a_hundred_tenants_save_the_same_type_name_and_version(tmp_path: Path) -> None:
    with control_inside.connected(tmp_path / "data"):
        core = control_inside.core()
        tokens = [developer_token(core, f"tenant-{number}") for number in range(TENANTS)]

        def save(token: str) -> tuple[int, list[str]]:
            with control_inside.client(core, token) as client:
                version = made(client.post("/types", json={"body": POSITION}))["version"]
                return version, [row["id"] for row in rows(client, "/types")]

        with ThreadPoolExecutor(12) as pool:
            assert list(pool.map(save, tokens)) == [(1, ["acme.Position/1"])] * TENANTS
