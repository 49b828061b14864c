"""A tenant with one of everything, and for every operation of the API a request that fits it.

`every(described)` gives the operations of an OpenAPI document; `World.request` the path and body of one. An operation that is new and not
described here fails the tests that walk all of them.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import httpx

from tests.certificates import authority_pem
from tests.rest import CONFIG, PASSWORD, fresh, made, match

PROFILE = {"type": "record", "name": "P", "fields": [{"name": "site", "type": "string", "default": ""}]}
READING = {"type": "record", "name": "R", "fields": [{"name": "v", "type": "double"}]}
POSITION = {"type": "record", "name": "Position", "namespace": "acme", "fields": [{"name": "lat", "type": "double"}]}
CONFIG_2 = CONFIG | {"fields": [*CONFIG["fields"], {"name": "more", "type": "int", "default": 0}]}


@dataclass(frozen=True)
class Operation:
    """One operation of the API."""

    method: str
    path: str
    body: bool
    matched: bool  # it takes If-Match

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


def every(described: Mapping[str, Any]) -> Iterator[Operation]:
    """All operations."""
    for path, operations in described["paths"].items():
        for method, operation in operations.items():
            names = [parameter["name"] for parameter in operation.get("parameters", ())]
            yield Operation(
                method.upper(), path.removeprefix("/api/v1"), "requestBody" in operation, "If-Match" in names
            )


class World:
    """One of everything in the tenant of `api`, an admin of it."""

    def __init__(self, api: httpx.Client) -> None:
        self.tenant = str(made(api.get("/me"), 200)["tenant"])
        self.name = fresh("world")
        self.user = fresh("user")
        made(api.post("/users", json={"name": self.user, "password": PASSWORD, "roles": ["tenant-viewer"]}))
        application = made(api.post("/applications", json={"name": self.name}))
        self.app = str(application["id"])
        self.type = f"{self.name.replace('-', '_')}.Position"
        made(api.post("/types", json={"body": POSITION | {"namespace": self.type.partition(".")[0]}}))
        self.token = str(made(api.post("/tokens", json={"name": self.name}))["id"])
        self.certificate = authority_pem(self.name)
        self.claim = str(made(api.get(f"/applications/{self.app}/claim-secrets"), 200)["items"][0]["id"])
        self._fill(api)
        self.credential = str(made(api.post(f"/applications/{self.app}/endpoints/e1/credentials"))["id"])

    def _fill(self, api: httpx.Client) -> None:
        root = f"/applications/{self.app}"
        for kind, name, body in (
            ("config", "default", CONFIG), ("config", "default", CONFIG_2), ("server-profile", "default", PROFILE),
            ("log", "readings", READING), ("notification", "note", READING),
        ):  # fmt: skip
            made(api.post(f"{root}/schemas", json={"kind": kind, "name": name, "body": body}))
        made(api.post(f"{root}/groups", json={"name": "g1", "weight": 5, "filter": "ep == 'e1'"}))
        made(api.post(f"{root}/topics", json={"name": "t1", "groups": ["g1", "all"]}))
        made(api.post(f"{root}/sinks", json={"name": "k1", "kind": "file", "secret": "never shown"}))
        made(api.post(f"{root}/streams", json={"name": "s1", "schema_name": "readings", "sinks": [{"sink": "k1"}]}))
        made(api.post(f"{root}/verifiers", json={"name": "v1", "kind": "trusting"}))
        made(api.post(f"{root}/owners", json={"name": "o1", "verifier": "v1"}))
        made(api.post(f"{root}/endpoints", json={"id": "e1", "server_profile": {"site": "north"}}))
        made(api.post(f"{root}/endpoints", json={"id": "gone"}))
        gone = f"{root}/endpoints/gone"
        assert api.delete(gone, headers=match(api, gone)).status_code == 204
        made(api.post(f"{root}/authorities", json={"name": "a1", "certificate": self.certificate}))
        layer = f"{root}/configurations/all/-"
        made(api.put(layer, json={"data": {"n": 2}}))
        made(api.put(layer, json={"data": {"n": 3}}, headers=match(api, layer)), 200)
        made(api.post(f"{layer}/versions", json={"data": {"n": 4}}))

    def values(self) -> dict[str, str]:
        """What stands for each path parameter that is the tenant's own."""
        return {"app": self.app, "tenant": self.tenant, "user": self.user, "token": self.token, "type": self.type}

    def path(self, template: str, values: Mapping[str, str]) -> str:
        """The path of an operation with `values` for the tenant's own parameters."""
        own = {
            "/tenants/{tenant}": {"tenant": values["tenant"]},
            "/users/{name}": {"name": values["user"]},
            "/tokens/{number}": {"number": values["token"]},
            "/types/{name}/{version}": {"name": values["type"], "version": "1"},
        }.get(template)
        if own is None:
            own = {"app": values["app"]} | self._inner(template)
        return re.sub(r"\{(\w+)\}", lambda found: own[found[1]], template)

    def _inner(self, template: str) -> dict[str, str]:
        resource = template.removeprefix("/applications/{app}").partition("/")[2].partition("/")[0]
        return {
            "groups": {"name": "g1"}, "topics": {"name": "t1"}, "sinks": {"name": "k1"}, "owners": {"name": "o1"},
            "verifiers": {"name": "v1"}, "streams": {"name": "s1", "stream": "readings"},
            "schemas": {"kind": "config", "name": "default", "version": "1"},
            "configurations": {"scope": "all", "target": "-", "number": "3", "ep": "e1"},
            "endpoints": {"ep": "e1", "number": self.credential}, "claim-secrets": {"claim": self.claim},
            "authorities": {"name": "a1"}, "departures": {"ep": "gone"},
        }.get(resource, {})  # fmt: skip

    def body(self, operation: Operation, *, name: str | None = None) -> Any:
        """A body that the operation takes; of a create, of something new."""
        fresh_name = name or fresh("new")
        method, path = operation.method, operation.path.replace("/applications/{app}", "")
        creates: dict[str, Any] = {
            "/login": {"user": f"{self.tenant}/{self.user}", "password": PASSWORD},
            "/tenants": {"id": fresh_name, "name": "x"},
            "/users": {"name": fresh_name, "password": PASSWORD, "roles": ["tenant-viewer"]},
            "/tokens": {"name": fresh_name, "roles": ["tenant-viewer"]},
            "/types": {"body": POSITION | {"name": f"T{fresh_name.replace('-', '_')}"}},
            "/applications": {"name": fresh_name},
            "/applications/import": {"akela": 1, "application": {"name": fresh_name}},
            "/claim-secrets": {"keep_others": True},
            "/schemas": {"kind": "config", "body": CONFIG_2},
            "/schemas/check": {"kind": "config", "body": CONFIG_2},
            "/group-preview": {"filter": "true"},
            "/groups": {"name": fresh_name, "weight": int(fresh("x")[2:], 16) % 2**30 + 1, "filter": "true"},
            "/topics": {"name": fresh_name},
            "/sinks": {"name": fresh_name, "kind": "mongodb"},
            "/streams": {"name": fresh_name},
            "/owners": {"name": fresh_name},
            "/verifiers": {"name": fresh_name, "kind": "trusting"},
            "/authorities": {"name": fresh_name, "certificate": self.certificate},
            "/endpoints": {"id": fresh_name},
            "/endpoint-batches": {"items": [{"id": fresh_name}]},
            "/configurations/{scope}/{target}/versions": {"data": {"n": 5}},
            "/configurations/endpoint/{ep}/leases": {"path": "/n", "until": 60},
        }
        changes: dict[str, Any] = {
            "/me/password": {"present": PASSWORD, "new": PASSWORD},
            "/tenants/{tenant}": {"name": "renamed"},
            "/users/{name}": {"roles": ["tenant-viewer"]},
            "/tokens/{number}": {"name": "renamed"},
            "/applications/{app}": {"name": self.name},
            "": {"name": self.name},
            "/claim-secrets/{claim}": {"quota": 7},
            "/groups/{name}": {"weight": 5, "filter": "ep == 'e2'"},
            "/topics/{name}": {"ttl_s": 60},
            "/sinks/{name}": {"kind": "file", "settings": {"rotate_mb": 1}},
            "/streams/{name}": {"time_key": "v"},
            "/owners/{name}": {"description": "x"},
            "/verifiers/{name}": {"kind": "trusting"},
            "/authorities/{name}": {"certificate": self.certificate, "names": "dns"},
            "/endpoints/{ep}": {"server_profile": {"site": "south"}},
            "/configurations/{scope}/{target}": {"data": {"n": 6}},
            "/configurations/{scope}/{target}/versions/{number}": {"data": {"n": 7}},
        }
        return (creates if method == "POST" else changes)[path] if operation.body else None
