"""The grammar that scripts hold: every kind of thing is created, listed, shown, changed and deleted in the same words."""

import json
import os
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.akela_up import AkelaUp
from tests.integration.cli.test_commands import run
from tests.rest import polled

SCHEMA = {
    "type": "record",
    "name": "C",
    "fields": [{"name": "n", "type": "int", "default": 0}, {"name": "m", "type": "int", "default": 0}],
}


@pytest.fixture
def app(akela: AkelaUp, tmp_path: Path) -> Iterator[str]:
    made: str = akela.value("app", "create", "grammar")["id"]
    akela.akela("schema", "add", "--app", "grammar", "--kind", "config", "-", stdin=json.dumps(SCHEMA))
    yield made
    akela.akela("app", "delete", "grammar", "--yes")


@pytest.mark.parametrize(
    ("kind", "create", "update", "shown"),
    [
        ("group", ["--weight", "5", "--filter", "true"], ["--weight", "7"], {"weight": 7, "filter": "true"}),
        ("topic", ["--mandatory", "--groups", "all"], ["--ttl", "60"], {"mandatory": True, "ttl_s": 60, "groups": ["all"]}),
        ("sink", ["--kind", "webhook", "--settings", '{"url": "https://example.com/in"}', "--secret", "s3"],
         ["--description", "theirs"], {"kind": "webhook", "has_secret": True, "description": "theirs"}),
        ("owner", [], ["--description", "Ann"], {"description": "Ann"}),
        ("verifier", ["--kind", "trusting"], ["--description", "trial"], {"kind": "trusting"}),
    ],
)  # fmt: skip
def test_a_definition_is_made_changed_and_deleted(
    akela: AkelaUp, app: str, kind: str, create: list[str], update: list[str], shown: dict[str, object]
) -> None:
    akela.akela(kind, "create", "one", "--app", "grammar", *create)
    assert "one" in [row["id"] for row in akela.value(kind, "list", "--app", "grammar")["items"]]
    akela.akela(kind, "update", "one", "--app", "grammar", *update)
    value = akela.value(kind, "show", "one", "--app", "grammar")
    assert value | shown == value
    assert akela.akela(kind, "update", "one", "--app", "grammar", check=False).returncode == 2
    assert akela.akela(kind, "create", "one", "--app", "grammar", *create, check=False).returncode == 1
    assert akela.akela(kind, "delete", "one", "--app", "grammar", stdin="n\n", check=False).returncode == 1
    akela.akela(kind, "delete", "one", "--app", "grammar", "--yes")
    gone = akela.akela(kind, "show", "one", "--app", "grammar", check=False)
    assert (gone.returncode, "Traceback" in gone.stderr) == (1, False)
    assert akela.akela(kind, "delete", "one", "--app", "grammar", "--yes", check=False).returncode == 1


def test_a_stream_names_its_sinks_as_json(akela: AkelaUp, app: str) -> None:
    log = {"type": "record", "name": "R", "fields": [{"name": "v", "type": "double"}]}
    akela.akela("schema", "add", "--app", "grammar", "--kind", "log", "--name", "temps", "-", stdin=json.dumps(log))
    akela.akela("sink", "create", "disk", "--app", "grammar", "--kind", "file")
    made = akela.value("stream", "create", "temps", "--app", "grammar", "--sinks", '[{"sink": "disk"}]')
    assert made["sinks"][0]["sink"] == "disk"
    bad = akela.akela("stream", "update", "temps", "--app", "grammar", "--sinks", "[oops", check=False)
    assert (bad.returncode, "--sinks, line 1, column 2: no JSON" in bad.stderr) == (2, True)


def test_versions_of_a_layer(akela: AkelaUp, app: str) -> None:
    def config(*arguments: str, stdin: str | None = None) -> object:
        return akela.value("config", arguments[0], "--app", "grammar", *arguments[1:], stdin=stdin)

    config("set", "-", stdin='{"n": 1}')
    config("set", "--draft", "-", stdin='{"n": 2}')
    assert config("diff") == {"from": {"n": 1}, "to": {"n": 2}}
    said = akela.akela("config", "diff", "--app", "grammar").stdout
    assert '-  "n": 1' in said
    assert '+  "n": 2' in said
    config("activate")
    assert akela.value("config", "show", "--app", "grammar")["data"] == {"n": 2}
    history = akela.value("config", "history", "--app", "grammar")["items"]
    assert [(version["version"], version["state"]) for version in history] == [(2, "active"), (1, "superseded")]
    config("rollback")
    assert akela.value("config", "show", "--app", "grammar")["data"] == {"n": 1}
    config("rollback", "--version", "2")
    assert akela.value("config", "effective", "--app", "grammar", "--endpoint", "x")["value"] == {"n": 2, "m": 0}
    none = akela.akela("config", "activate", "--app", "grammar", check=False)
    assert (none.returncode, "no draft" in none.stderr) == (1, True)
    akela.akela("group", "create", "red", "--app", "grammar", "--weight", "5", "--filter", "true")
    config("set", "--group", "red", "-", stdin='{"m": 4}')
    assert [row["scope"] for row in akela.value("config", "list", "--app", "grammar")["items"]] == ["all", "group"]
    two = akela.akela("config", "show", "--app", "grammar", "--group", "red", "--owner", "ann", check=False)
    assert (two.returncode, "--group" in two.stderr) == (2, True)
    akela.akela("config", "delete", "--app", "grammar", "--group", "red", "--yes")


def test_an_endpoint_s_credential_is_rotated(akela: AkelaUp, app: str) -> None:
    akela.akela("endpoint", "add", "--app", "grammar", "e1")
    (old,) = akela.value("endpoint", "show", "--app", "grammar", "e1")["credentials"]
    fresh = akela.value("endpoint", "rotate", "--app", "grammar", "e1")
    assert fresh["credential"].startswith("ake_")
    akela.akela("endpoint", "retire", "--app", "grammar", "e1", old["id"], "--yes")
    left = akela.value("endpoint", "show", "--app", "grammar", "e1")["credentials"]
    assert [credential["id"] for credential in left] == [fresh["id"]]
    akela.akela("endpoint", "revoke", "--app", "grammar", "e1")
    assert akela.value("endpoint", "list", "--app", "grammar", "--revoked")["items"][0]["id"] == "e1"
    akela.akela("endpoint", "restore", "--app", "grammar", "e1")
    assert akela.value("endpoint", "list", "--app", "grammar", "--revoked")["items"] == []


def test_a_fleet_s_convergence_is_shown_watched_and_explained(akela: AkelaUp, app: str) -> None:
    akela.akela("owner", "create", "jo", "--app", "grammar")
    akela.akela("endpoint", "add", "--app", "grammar", "lagging")
    akela.akela("endpoint", "update", "--app", "grammar", "lagging", "--owner", "jo")
    assert akela.value("endpoint", "list", "--app", "grammar", "--owner", "jo")["items"][0]["owner"] == "jo"
    told = akela.akela("config", "status", "--app", "grammar").stdout
    assert "lagging" in told
    assert "unknown" in told
    assert "lagging: it has never connected" in akela.akela("endpoint", "explain", "--app", "grammar", "lagging").stdout
    assert akela.value("endpoint", "explain", "--app", "grammar", "lagging")["owner"] == "jo"
    akela.akela("endpoint", "retry", "--app", "grammar", "lagging")
    akela.akela("endpoint", "update", "--app", "grammar", "lagging", "--no-owner")
    nothing = akela.akela("endpoint", "update", "--app", "grammar", "lagging", check=False)
    assert (nothing.returncode, "nothing to change" in nothing.stderr) == (2, True)
    with ThreadPoolExecutor(1) as watching:
        watched = watching.submit(akela.value, "config", "status", "--app", "grammar", "--watch")
        for row in akela.value("endpoint", "list", "--app", "grammar")["items"]:
            akela.akela("endpoint", "delete", "--app", "grammar", row["id"], "--yes")
        assert (watched.result()["endpoints"], watched.result()["percent"]) == (0, 100.0)


def test_a_filter_is_tried_before_it_is_a_group(akela: AkelaUp, app: str) -> None:
    akela.akela("endpoint", "add", "--app", "grammar", "f-1")
    told = akela.akela("group", "preview", "--app", "grammar", 'ep == "f-1" || profile.x == 1').stdout
    assert "matches 1 of " in told
    assert "  f-1" in told
    akela.akela("group", "create", "tried", "--app", "grammar", "--weight", "77", "--filter", "profile.x == 1")
    assert polled(
        lambda: akela.value("group", "status", "tried", "--app", "grammar"),
        lambda found: bool(found["state"] == "done"),
    )["errors"]
    assert "there is no 'x'" in akela.akela("group", "errors", "tried", "--app", "grammar").stdout
    akela.akela("group", "delete", "tried", "--app", "grammar", "--yes")


def test_an_application_is_exported_and_imported(akela: AkelaUp, app: str, tmp_path: Path) -> None:
    akela.akela("config", "set", "--app", "grammar", "-", stdin='{"n": 3}')
    file = tmp_path / "app.json"
    akela.akela("app", "export", "grammar", "--file", str(file))
    tried = akela.akela("app", "import", str(file), "--name", "copy", "--dry-run")
    assert "made" in tried.stdout
    assert akela.akela("app", "show", "copy", check=False).returncode == 1
    akela.akela("app", "import", str(file), "--name", "copy")
    assert akela.value("config", "show", "--app", "copy")["data"] == {"n": 3}
    again = akela.value("app", "import", str(file), "--name", "copy")
    assert {step["op"] for step in again["steps"]} == {"kept"}
    akela.akela("app", "delete", "copy", "--yes")


def test_the_audit_trail_says_who_did_what(akela: AkelaUp, app: str) -> None:
    akela.akela("config", "set", "--app", "grammar", "-", stdin='{"n": 1}')
    akela.akela("config", "set", "--app", "grammar", "-", stdin='{"n": 2}')
    rows = akela.value("audit", "list", "--app", "grammar", "--kind", "configuration")["items"]
    assert [(row["before"] and row["before"]["body"], row["after"]["body"]) for row in rows] == [
        ({"n": 1}, {"n": 2}),
        (None, {"n": 1}),
    ]
    assert {(row["who"], row["where"]) for row in rows} == {("admin", "127.0.0.1")}
    assert all(row["token"] and row["request"] for row in rows)
    bad = akela.akela("audit", "list", "--since", "2026-01-01T00:00:00", check=False)
    assert (bad.returncode, "/since" in bad.stderr) == (1, True)


def test_sign_ins_are_kept_side_by_side(akela: AkelaUp, tmp_path: Path) -> None:
    login = akela.ready["admin"]
    for profile in ("one", "two"):
        done = run(tmp_path, "login", akela.ready["api"], "--user", login["user"], "--password-stdin", "--profile", profile,
                   stdin=login["password"] + "\n")  # fmt: skip
        assert done.returncode == 0, done.stderr
    (file,) = tmp_path.rglob("login.json")
    assert file.stat().st_mode & 0o777 == 0o600
    assert run(tmp_path, "whoami", "--profile", "one").returncode == 0
    token = json.loads(file.read_text())["profiles"]["one"]["token"]
    assert run(tmp_path, "logout", "--profile", "one").returncode == 0
    assert run(tmp_path, "whoami", AKELA_PROFILE="two").returncode == 0
    assert run(tmp_path, "whoami", "--profile", "one", AKELA_API=akela.ready["api"]).returncode == 1
    ended = run(tmp_path, "whoami", AKELA_API=akela.ready["api"], AKELA_TOKEN=token)
    assert (ended.returncode, "akela login" in ended.stderr) == (1, True)


def test_a_viewer_is_told_what_its_role_lacks(akela: AkelaUp, tmp_path: Path) -> None:
    token = akela.value("token", "create", "viewer", "--role", "tenant-viewer")["token"]
    done = run(tmp_path, "app", "create", "x", AKELA_API=akela.ready["api"], AKELA_TOKEN=token)
    assert (done.returncode, "akela whoami" in done.stderr) == (1, True)


def test_the_next_address_is_asked_when_one_is_down(akela: AkelaUp, tmp_path: Path) -> None:
    addresses = f"http://127.0.0.1:9,{akela.ready['api']}"
    done = run(tmp_path, "app", "list", AKELA_API=addresses, AKELA_TOKEN=akela.demo["admin_token"])
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_shell_can_complete(tmp_path: Path, shell: str) -> None:
    done = run(tmp_path, "completion", shell)
    assert (done.returncode, "_AKELA_COMPLETE" in done.stdout) == (0, True)


def test_bash_completes_commands_and_options() -> None:
    akela = Path(os.environ.get("VIRTUAL_ENV", Path(__file__).parents[3] / ".venv")) / "bin" / "akela"
    environment = os.environ | {"_AKELA_COMPLETE": "bash_complete", "COMP_WORDS": "akela config ro", "COMP_CWORD": "2"}
    done = subprocess.run([akela], env=environment, capture_output=True, text=True, timeout=60)
    assert done.stdout.split() == ["plain,rollback"]
