"""What an application defines by name, each kind through its life; claim secrets, credentials, the endpoint's server-side profile."""

from typing import Any

import httpx
import pytest

from tests.certificates import authority_pem
from tests.rest import fresh, made, match, problem, rows

PEM = "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n-----END PUBLIC KEY-----\n"
READING = {"type": "record", "name": "R", "fields": [{"name": "v", "type": "double"}]}
KINDS: list[tuple[str, dict[str, Any], dict[str, Any], dict[str, Any]]] = [
    ("groups", {"weight": 3, "filter": "true"}, {"weight": 4}, {"filter": "ep == 'x'"}),
    ("topics", {"mandatory": True}, {"ttl_s": 5}, {"replay": True}),
    ("sinks", {"kind": "kafka", "settings": {"servers": ["k:9092"], "topic": "t"}},
     {"settings": {"servers": ["l:9092"]}}, {"description": "x"}),
    ("streams", {"time_key": "at"}, {"time_key": "t"}, {"sinks": []}),
    ("owners", {}, {"description": "y"}, {"description": None}),
    ("verifiers", {"kind": "jwt", "settings": {"algorithm": "EdDSA", "public_key": PEM}},
     {"settings": {"issuer": "i"}}, {"description": "z"}),
    ("authorities", {"certificate": authority_pem(fresh("authority"))}, {"names": "uri", "pattern": "urn:dev:{ep}"}, {"names": "dns"}),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "body", "patch", "other"), KINDS, ids=[kind for kind, *_ in KINDS])
def test_k100_a_definition_s_life(
    api: httpx.Client, app: str, kind: str, body: dict[str, Any], patch: dict[str, Any], other: dict[str, Any]
) -> None:
    root = f"/applications/{app}/{kind}"
    answer = api.post(root, json=body | {"name": "one"})
    first = made(answer)
    path = f"{root}/one"
    assert answer.headers["location"] == f"/api/v1{path}"
    assert made(api.get(path), 200) == first
    assert first.items() >= ({"id": "one"} | {k: v for k, v in body.items() if k != "settings"}).items()
    problem(api.post(root, json=body | {"name": "one"}), 409)
    changed = made(api.patch(path, json=patch, headers=match(api, path)), 200)
    assert changed["created"] == first["created"]
    assert changed["rev"] > first["rev"]
    for key, value in patch.items():
        assert changed[key] == (changed[key] | value if isinstance(value, dict) else value)
    replaced = made(api.put(path, json=body | other, headers=match(api, path)), 200)
    assert replaced.items() >= {k: v for k, v in (body | other).items() if k != "settings"}.items()
    problem(api.put(path, json=body), 428)
    problem(api.patch(path, json=patch), 428)
    problem(api.delete(path), 428)
    stale = {"If-Match": f'"{first["rev"]}"'}
    refused = api.delete(path, headers=stale)
    problem(refused, 412)
    assert refused.headers["etag"] == f'"{replaced["rev"]}"'
    problem(api.put(f"{root}/two", json=body), 404)
    assert "one" in [row["id"] for row in rows(api, root)]
    assert api.delete(path, headers=match(api, path)).status_code == 204
    problem(api.get(path), 404)
    problem(api.delete(path, headers=stale), 404)
    made(api.post(root, json=body | {"name": "one"}))


def test_what_refers_to_something_that_is_not_there_is_refused(api: httpx.Client, app: str) -> None:
    root = f"/applications/{app}"
    for kind, body, path in (
        ("topics", {"groups": ["all", "nope"]}, "/groups/1"),
        ("topics", {"schema_name": "nope"}, "/schema_name"),
        ("streams", {"sinks": [{"sink": "nope"}]}, "/sinks/0/sink"),
        ("streams", {"schema_name": "nope"}, "/schema_name"),
        ("owners", {"verifier": "nope"}, "/verifier"),
        ("sinks", {"kind": "kafka"}, "/settings/servers"),
        ("sinks", {"kind": "webhook", "settings": {"url": "ftp://x"}}, "/settings/url"),
        ("sinks", {"kind": "file", "settings": {"directory": "../x"}}, "/settings/directory"),
        ("verifiers", {"kind": "jwt", "settings": {"algorithm": "EdDSA", "public_key": "x"}}, "/settings/public_key"),
        ("verifiers", {"kind": "jwt", "settings": {"algorithm": "ES256", "public_key": PEM}}, "/settings/public_key"),
        ("verifiers", {"kind": "trusting", "settings": {"x": 1}}, "/settings/x"),
    ):
        assert problem(api.post(f"{root}/{kind}", json={"name": "x"} | body), 422)["errors"][0]["path"] == path


def test_a_sink_in_use_is_not_deleted_and_its_secret_never_shown(api: httpx.Client, app: str) -> None:
    root = f"/applications/{app}"
    sink = {"name": "hook", "kind": "webhook", "settings": {"url": "https://x.test/"}, "secret": "s3cret-text"}
    assert made(api.post(f"{root}/sinks", json=sink))["has_secret"] is True
    made(api.post(f"{root}/streams", json={"name": "s", "sinks": [{"sink": "hook", "filter": "record.v > 1.0"}]}))
    path = f"{root}/sinks/hook"
    problem(api.delete(path, headers=match(api, path)), 409)
    kept = made(api.patch(path, json={"description": "x"}, headers=match(api, path)), 200)
    assert kept["has_secret"] is True
    seen = "".join(api.get(p).text for p in (path, f"{root}/sinks", "/changes?limit=500", f"{root}/export"))
    assert "s3cret-text" not in seen


def test_claim_secrets_have_quota_expiry_and_a_kill_switch(api: httpx.Client, app: str) -> None:
    root = f"/applications/{app}/claim-secrets"
    first = made(api.get(root), 200)["items"][0]["id"]
    second = made(api.post(root, json={"keep_others": True, "quota": 100, "ttl_s": 3600}))
    assert second["claim_secret"].startswith("akc_")
    assert [row["id"] for row in made(api.get(root), 200)["items"]] == [first, second["id"]]
    path = f"{root}/{second['id']}"
    problem(api.patch(path, json={"revoked": True}), 428)
    assert made(api.patch(path, json={"revoked": True}, headers=match(api, path)), 200)["revoked"] is True
    assert made(api.put(path, json={"quota": 5}, headers=match(api, path)), 200) | {"rev": 0, "created": 0} == {
        "id": second["id"], "quota": 5, "expires": None, "revoked": False, "used": 0, "rev": 0, "created": 0,
    }  # fmt: skip
    assert api.delete(path, headers=match(api, path)).status_code == 204
    problem(api.get(path), 404)
    third = made(api.post(root))
    assert [row["id"] for row in made(api.get(root), 200)["items"]] == [third["id"]]
    for body in ({"quota": 0}, {"ttl_s": 1}, {"more": 1}):
        problem(api.post(root, json=body), 422)
    path = f"{root}/{third['id']}"
    for expires in (5, 0.5, "5", "2026-01-01", "2026-01-01T00:00:00", "soon", True):
        assert (
            problem(api.patch(path, json={"expires": expires}, headers=match(api, path)), 422)["errors"][0]["path"]
            == "/expires"
        )


def test_an_application_s_keys_are_public_keys(api: httpx.Client, app: str) -> None:
    path = f"/applications/{app}"
    keys = [{"id": "k1", "algorithm": "EdDSA", "public_key": PEM}]
    assert made(api.patch(path, json={"keys": keys}, headers=match(api, path)), 200)["keys"] == keys
    wrong = api.patch(path, json={"keys": [keys[0] | {"public_key": "x"}]}, headers=match(api, path))
    assert problem(wrong, 422)["errors"][0]["path"] == "/keys/0/public_key"
    twice = api.patch(path, json={"keys": [keys[0], keys[0]]}, headers=match(api, path))
    assert problem(twice, 422)["errors"][0]["path"] == "/keys/1/id"


def test_an_endpoint_has_two_credentials_while_they_are_rotated(api: httpx.Client, app: str) -> None:
    root = f"/applications/{app}/endpoints"
    made(api.post(root, json={"id": "e1"}))
    path = f"{root}/e1"
    old = made(api.get(path), 200)["credentials"][0]["id"]
    new = made(api.post(f"{path}/credentials"))
    assert new["credential"].startswith("ake_")
    problem(api.post(f"{path}/credentials"), 409)
    problem(api.delete(f"{path}/credentials/{old}"), 428)
    assert api.delete(f"{path}/credentials/{old}", headers=match(api, path)).status_code == 204
    assert [row["id"] for row in made(api.get(path), 200)["credentials"]] == [new["id"]]
    problem(api.delete(f"{path}/credentials/{old}", headers=match(api, path)), 404)


def test_revoking_an_endpoint_touches_nothing_else_of_it(api: httpx.Client, app: str) -> None:
    """An Operations server may just have marked its credential as used."""
    path = f"/applications/{app}/endpoints/e1"
    made(api.post(f"/applications/{app}/endpoints", json={"id": "e1"}))
    made(api.post(f"{path}/revoke", headers=match(api, path)), 200)
    changes = made(api.get("/changes?limit=500"), 200)["items"]
    last = next(change for change in reversed(changes) if change["target"] == f"{app}/e1")
    assert last["after"].keys() & {"credentials", "server_profile", "revoked"} == {"revoked"}
    assert len(made(api.get(path), 200)["credentials"]) == 1


def test_an_endpoint_s_server_side_profile_fits_its_schema(api: httpx.Client, app: str) -> None:
    root = f"/applications/{app}"
    problem(api.post(f"{root}/endpoints", json={"id": "e1", "server_profile": {"site": "n"}}), 409)
    schema = {"type": "record", "name": "P", "fields": [{"name": "site", "type": "string"}]}
    made(api.post(f"{root}/schemas", json={"kind": "server-profile", "body": schema}))
    wrong = api.post(f"{root}/endpoints", json={"id": "e1", "server_profile": {"site": 1}})
    assert problem(wrong, 422)["errors"] == [{"path": "/server_profile/site", "reason": "1 is no string"}]
    made(api.post(f"{root}/endpoints", json={"id": "e1", "server_profile": {"site": "n"}}))
    path = f"{root}/endpoints/e1"
    changed = made(api.patch(path, json={"server_profile": {"site": "s"}}, headers=match(api, path)), 200)
    assert (changed["server_profile"], changed["revoked"]) == ({"site": "s"}, False)
    revoked = made(api.put(path, json={"revoked": True}, headers=match(api, path)), 200)
    assert (revoked["server_profile"], revoked["revoked"]) == (None, True)
    assert [row["id"] for row in rows(api, f"{root}/endpoints", revoked=True)] == ["e1"]
    assert rows(api, f"{root}/endpoints", revoked=False) == []
    problem(api.post(f"{path}/restore"), 428)
    assert made(api.post(f"{path}/restore", headers=match(api, path)), 200)["revoked"] is False


@pytest.mark.parametrize("sort", ["id", "-id"])
def test_lists_are_narrowed_sorted_and_paged_at_once(api: httpx.Client, app: str, sort: str) -> None:
    root = f"/applications/{app}/endpoints"
    names = [f"{prefix}{number}" for prefix in ("a", "b", "ba") for number in range(5)]
    for name in names:
        made(api.post(root, json={"id": name}))
    wanted = sorted((name for name in names if name.startswith("b")), reverse=sort.startswith("-"))
    for limit in (1, 3, 10):
        assert [row["id"] for row in rows(api, root, prefix="b", sort=sort, limit=limit)] == wanted
    assert [row["id"] for row in rows(api, root, prefix="none")] == []
    problem(api.get(root, params={"sort": "size"}), 422)
    assert (
        "takes: cursor, group, limit, owner, prefix, revoked, sort"
        in problem(api.get(root, params={"colour": "1"}), 422)["errors"][0]["reason"]
    )


def test_applications_are_found_by_name_and_trust(api: httpx.Client) -> None:
    names = [fresh("fleet") for _ in range(3)]
    for name, trust in zip(names, ("open", "listed", "closed"), strict=True):
        made(api.post("/applications", json={"name": name, "trust": trust}))
    assert [row["name"] for row in rows(api, "/applications", limit=1)] == sorted(names)
    assert [row["name"] for row in rows(api, "/applications", name=names[1])] == [names[1]]
    assert [row["name"] for row in rows(api, "/applications", trust="closed")] == [names[2]]
    assert rows(api, "/applications", name=names[1], trust="closed") == []
