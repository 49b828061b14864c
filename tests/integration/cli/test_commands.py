"""The command line as a script or a person uses it: exit codes, JSON unchanged, errors that say what to do, help for everything."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import click
import pytest

from akela.cli.main import root
from tests.akela_up import AkelaUp
from tests.ports import free_port

ADMIN_PASSWORD = "a good password"


def run(home: Path, *arguments: str, stdin: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
    """`akela` without anything remembered or set but `environment`."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("AKELA_")}
    return subprocess.run(
        [sys.executable, "-m", "akela", *arguments], input=stdin, capture_output=True, text=True, timeout=60,
        env=own | {"XDG_CONFIG_HOME": str(home), "COLUMNS": "160"} | environment,
    )  # fmt: skip


def test_a_sign_in_is_remembered_privately_and_forgotten(akela: AkelaUp, tmp_path: Path) -> None:
    login = akela.ready["admin"]
    done = run(
        tmp_path,
        "login",
        akela.ready["api"],
        "--user",
        login["user"],
        "--password-stdin",
        stdin=login["password"] + "\n",
    )
    assert done.returncode == 0, done.stderr
    (file,) = tmp_path.rglob("login.json")
    assert file.stat().st_mode & 0o777 == 0o600
    assert login["password"] not in file.read_text()
    assert run(tmp_path, "app", "list").returncode == 0
    assert run(tmp_path, "logout").returncode == 0
    assert run(tmp_path, "app", "list", AKELA_API=akela.ready["api"]).returncode == 1


@pytest.mark.parametrize(
    ("arguments", "environment", "code", "said"),
    [
        (["app", "list"], {}, 1, "akela login"),
        (["app", "list"], {"AKELA_TOKEN": "akt_wrong"}, 1, "unknown API token"),
        (["app", "show", "no-such"], {"AKELA_TOKEN": "ADMIN"}, 1, "no-such"),
        (["app", "create", "x" * 100], {"AKELA_TOKEN": "ADMIN"}, 1, "/name"),
        (["app", "create"], {"AKELA_TOKEN": "ADMIN"}, 2, "NAME"),
        (["app", "destroy"], {}, 2, "No such command"),
        (["nothing"], {}, 2, "No such command"),
        (["config", "set", "--app", "demo", "no-such-file"], {"AKELA_TOKEN": "ADMIN"}, 2, "no-such-file"),
        (["logs", "query", "--app", "demo", "values", "--limit", "0"], {"AKELA_TOKEN": "ADMIN"}, 2, "--limit"),
        (["app", "list", "--cursor", "x"], {"AKELA_TOKEN": "ADMIN"}, 1, "cursor"),
        (["app", "list", "--api", "http://127.0.0.1:{port}"], {"AKELA_TOKEN": "ADMIN"}, 3, "127.0.0.1:{port}"),
        (["app", "list", "--api", "no url"], {"AKELA_TOKEN": "ADMIN"}, 3, "no url"),
        (["doctor", "--api", "http://127.0.0.1:{port}"], {"AKELA_TOKEN": "ADMIN"}, 3, "127.0.0.1:{port}"),
    ],
)
def test_exit_codes_and_what_is_said(
    akela: AkelaUp, tmp_path: Path, arguments: list[str], environment: dict[str, str], code: int, said: str
) -> None:
    port = str(free_port())
    token = {name: value.replace("ADMIN", akela.demo["admin_token"]) for name, value in environment.items()}
    called = [argument.replace("{port}", port) for argument in arguments]
    done = run(tmp_path, *called, **{"AKELA_API": akela.ready["api"]} | token)
    assert done.returncode == code, done.stdout + done.stderr
    assert said.replace("{port}", port) in done.stderr
    assert "Traceback" not in done.stderr


def test_broken_json_is_named_with_its_place(akela: AkelaUp) -> None:
    done = akela.akela("config", "set", "--app", "demo", "-", stdin='{"interval": 1,\n oops}', check=False)
    assert done.returncode == 2
    assert "standard input, line 2, column 2: no JSON" in done.stderr


def test_a_refusal_lists_each_wrong_field(akela: AkelaUp) -> None:
    done = akela.akela(
        "config", "set", "--app", "demo", "-", stdin='{"interval": "x", "network": {"retry": null}}', check=False
    )
    assert done.returncode == 1
    assert "/interval: 'x' is no int" in done.stderr
    assert "/network/retry: null is no int" in done.stderr


def test_everything_that_is_made_can_be_listed_shown_and_deleted(akela: AkelaUp, tmp_path: Path) -> None:
    app = akela.value("app", "create", "clitest", "--trust", "listed")
    schema = tmp_path / "schema.json"
    schema.write_text(
        json.dumps({"type": "record", "name": "C", "fields": [{"name": "n", "type": "int", "default": 1}]})
    )
    akela.akela("schema", "add", "--app", "clitest", "--kind", "config", str(schema))
    assert akela.value("schema", "list", "--app", "clitest")["items"][0]["kind"] == "config"
    assert akela.value("schema", "show", "--app", "clitest", "--kind", "config", "1")["body"]["name"] == "C"
    assert "credential" in akela.value("endpoint", "add", "--app", "clitest", "e1")
    akela.akela("config", "set", "--app", app["id"], "--endpoint", "e1", "-", stdin='{"n": 5}')
    assert akela.value("config", "effective", "--app", "clitest", "--endpoint", "e1")["value"] == {"n": 5}
    assert [row["id"] for row in akela.value("endpoint", "list", "--app", "clitest")["items"]] == ["e1"]
    akela.akela("config", "delete", "--app", "clitest", "--endpoint", "e1", "--yes")
    akela.akela("endpoint", "delete", "--app", "clitest", "e1", "--yes")
    assert akela.akela("endpoint", "show", "--app", "clitest", "e1", check=False).returncode == 1
    assert akela.value("app", "update", "clitest", "--trust", "closed")["trust"] == "closed"
    akela.akela("app", "delete", "clitest", "--yes")
    assert "clitest" not in akela.akela("app", "list").stdout


def test_deleting_asks_first(akela: AkelaUp) -> None:
    akela.akela("app", "create", "kept")
    assert akela.akela("app", "delete", "kept", stdin="n\n", check=False).returncode == 1
    assert akela.akela("app", "show", "kept").returncode == 0
    akela.akela("app", "delete", "kept", "--yes")


def test_users_and_tokens(akela: AkelaUp, tmp_path: Path) -> None:
    akela.akela("user", "create", "cli-ann", "--role", "tenant-viewer", "--password-stdin", stdin=ADMIN_PASSWORD + "\n")
    assert "cli-ann" in akela.akela("user", "list").stdout
    login = run(
        tmp_path, "login", akela.ready["api"], "--user", "cli-ann", "--password-stdin", stdin=ADMIN_PASSWORD + "\n"
    )
    assert login.returncode == 0, login.stderr
    assert run(tmp_path, "app", "create", "forbidden").returncode == 1
    token = json.loads(run(tmp_path, "token", "create", "t", "--ttl", "60", "--output", "json").stdout)
    assert run(tmp_path, "app", "list", AKELA_TOKEN=token["token"]).returncode == 0
    akela.akela("user", "delete", "cli-ann", "--yes")
    assert run(tmp_path, "app", "list").returncode == 1


def test_a_list_says_how_to_go_on(akela: AkelaUp) -> None:
    for number in range(3):
        akela.akela("endpoint", "add", "--app", "demo", f"page-{number}")
    done = akela.akela("endpoint", "list", "--app", "demo", "--limit", "1")
    following = re.search(r"more with --cursor (\S+)", done.stderr)
    assert following
    second = akela.value("endpoint", "list", "--app", "demo", "--limit", "1", "--cursor", following[1])
    assert second["items"][0]["id"] not in done.stdout


def test_doctor_and_status_know_every_server(akela: AkelaUp) -> None:
    assert all(check["ok"] for check in akela.value("doctor")["checks"])
    roles = json.dumps(akela.value("cluster", "status"))
    assert all(role in roles for role in ("operations", "bootstrap", "control"))


def commands(group: click.Group, *path: str) -> list[tuple[str, ...]]:
    context = click.Context(group)
    found: list[tuple[str, ...]] = []
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None, (*path, name)
        found.append((*path, name))
        if isinstance(command, click.Group):
            found += commands(command, *path, name)
    return found


def test_every_command_has_a_manual() -> None:
    def checked(group: click.Group, path: tuple[str, ...]) -> None:
        context = click.Context(group)
        for name in group.list_commands(context):
            command = group.get_command(context, name)
            assert command is not None
            assert command.help, f"{path} {name} says nothing"
            for parameter in command.params:
                said = not isinstance(parameter, click.Option) or parameter.hidden or parameter.help
                assert said, f"{path} {name} {parameter.name} says nothing"
            if isinstance(command, click.Group):
                checked(command, (*path, name))

    assert isinstance(root, click.Group)
    checked(root, ())
    assert ("config", "set") in commands(root)
