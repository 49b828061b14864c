"""`akela endpoint add --from CSV`: checked whole, sent in batches, completed by the same command after whatever interrupted it."""

import csv
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.akela_up import AkelaUp, publish
from tests.ports import free_port


@pytest.fixture
def app(akela: AkelaUp) -> Iterator[str]:
    made: str = akela.value("app", "create", "bulk", "--trust", "listed")["id"]
    yield made
    akela.akela("app", "delete", "bulk", "--yes")


def fleet(directory: Path, lines: list[str]) -> Path:
    file = directory / "fleet.csv"
    file.write_text("\n".join(lines) + "\n")
    return file


def passwords(file: Path) -> dict[str, str]:
    with file.open(newline="") as stream:
        return {row["id"]: row["credential"] for row in csv.DictReader(stream)}


def add(akela: AkelaUp, file: Path, *more: str) -> subprocess.CompletedProcess[str]:
    return akela.akela("endpoint", "add", "--app", "bulk", "--from", str(file), *more, check=False)


def test_a_file_of_endpoints_is_provisioned_and_they_can_connect(akela: AkelaUp, app: str, tmp_path: Path) -> None:
    file = fleet(tmp_path, ["id", *(f"m-{number}" for number in range(2500))])
    done = add(akela, file)
    assert (done.returncode, done.stdout.splitlines()[0]) == (0, "2500 created, 0 unchanged"), done.stderr
    made = tmp_path / "fleet.csv.credentials"
    assert made.stat().st_mode & 0o777 == 0o600
    known = passwords(made)
    assert len(known) == 2500
    device = ["-p", akela.port(), "-i", "m-2499", "-u", app, "-P", known["m-2499"], "-q", "1"]
    assert publish(device, "a1/me/u/value/x", "1").returncode == 0
    page = akela.value("endpoint", "list", "--app", "bulk", "--all")
    assert len(page["items"]) == 2500
    changes = akela.value("audit", "list", "--app", "bulk", "--kind", "endpoint")["items"]
    assert [(change["op"], change["after"]["count"]) for change in changes] == [
        ("many", 500),
        ("many", 1000),
        ("many", 1000),
    ]
    assert known["m-2499"] not in json.dumps(changes)
    assert {row["credentials"] for row in changes[0]["after"]["rows"]} == {"(masked)"}


def test_the_same_command_again_changes_nothing(akela: AkelaUp, app: str, tmp_path: Path) -> None:
    file = fleet(tmp_path, ["id", "a", "b"])
    add(akela, file)
    before = passwords(tmp_path / "fleet.csv.credentials")
    file.write_text("id\na\nb\nc\n")
    value = json.loads(add(akela, file, "--output", "json").stdout)
    assert (value["created"], value["unchanged"], value["exists"]) == (1, 2, 0)
    after = passwords(tmp_path / "fleet.csv.credentials")
    assert after | before == after
    assert akela.value("audit", "list", "--app", "bulk", "--kind", "endpoint")["items"][0]["after"]["count"] == 1


def test_what_is_there_with_another_password_stays_and_is_named(akela: AkelaUp, app: str, tmp_path: Path) -> None:
    akela.akela("endpoint", "add", "--app", "bulk", "old")
    done = add(akela, fleet(tmp_path, ["id,credential", "old,0123456789abcdef", "new,0123456789abcdef"]))
    assert done.returncode == 1
    assert "1 created" in done.stdout
    assert "old (line 2)" in done.stderr
    assert not (tmp_path / "fleet.csv.credentials").exists()  # none was made here


def test_bad_lines_are_named_and_nothing_is_sent(akela: AkelaUp, app: str, tmp_path: Path) -> None:
    lines = ["id,credential", "good,", "bad id,", "good,", "x,short", "a,b,c", "fine,0123456789abcdef", '"quoted,id",']
    file = fleet(tmp_path, lines)
    done = add(akela, file)
    assert done.returncode == 2
    for said in (
        "line 3: id 'bad id'",
        "line 4: id good is on line 2 already",
        "line 5: credential",
        "line 6: 3 fields instead of 2",
        "line 8: id 'quoted,id'",
        "5 bad lines; nothing was sent",
    ):
        assert said in done.stderr
    assert akela.value("endpoint", "list", "--app", "bulk")["items"] == []
    assert add(akela, file, "--skip-bad").returncode == 0
    assert [row["id"] for row in akela.value("endpoint", "list", "--app", "bulk")["items"]] == ["fine", "good"]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "line 1: the columns are id, credential"),
        (b"name\nx\n", "line 1: the columns are id, credential"),
        (b"id,id\nx,x\n", "line 1: the columns are id, credential"),
        (b"id\n", "no endpoints in it"),
        (b"id\n\xff\xfe\n", "invalid start byte"),
        (b"id\nx\x00y\n", "line 2"),
    ],
)
def test_a_file_that_is_none_is_refused(akela: AkelaUp, app: str, tmp_path: Path, content: bytes, said: str) -> None:
    file = tmp_path / "fleet.csv"
    file.write_bytes(content)
    done = add(akela, file)
    assert (done.returncode, said in done.stderr, "Traceback" in done.stderr) == (2, True, False), done.stderr


def test_a_file_that_is_not_there_is_named(akela: AkelaUp, app: str, tmp_path: Path) -> None:
    done = add(akela, tmp_path / "none.csv")
    assert (done.returncode, "none.csv" in done.stderr) == (2, True)


def test_an_import_that_reaches_nobody_keeps_the_passwords_it_made(tmp_path: Path) -> None:
    file = fleet(tmp_path, ["id", "a"])
    api = f"http://127.0.0.1:{free_port()}"
    command = ["endpoint", "add", "--app", "bulk", "--from", str(file), "--api", api, "--token", "akt_x"]
    environment = {key: value for key, value in os.environ.items() if not key.startswith("AKELA_")}
    done = subprocess.run(
        [sys.executable, "-m", "akela", *command], capture_output=True, text=True, timeout=60, env=environment
    )
    assert done.returncode == 3
    assert api in done.stderr


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ({"items": []}, "/items"),
        ({"items": [{"id": "a b"}]}, "/items/0/id"),
        ({"items": [{"id": "a"}, {"id": "a"}]}, "/items/1/id"),
        ({"items": [{"id": "a", "credential": "short"}]}, "/items/0/credential"),
        ({"items": [{"id": f"e{number}"} for number in range(1001)]}, "/items"),
        ({"items": [{"id": "a", "colour": 1}]}, "/items/0/colour"),
        ({}, "/items"),
    ],
)
def test_a_bad_batch_is_refused_whole(akela: AkelaUp, app: str, body: object, path: str) -> None:
    answer = httpx.post(
        f"{akela.ready['api']}/api/v1/applications/{app}/endpoint-batches",
        json=body,
        headers={"Authorization": f"Bearer {akela.demo['admin_token']}"},
    )
    assert answer.status_code == 422
    assert path in [error["path"] for error in answer.json()["errors"]]
    assert akela.value("endpoint", "list", "--app", "bulk")["items"] == []
