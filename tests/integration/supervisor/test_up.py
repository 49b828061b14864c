"""`akela up` as a user meets it: starts, tells, stops, starts again, and is in nobody's way."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.akela_up import AkelaUp, publish, started
from tests.database import Database


@pytest.fixture
def up(tmp_path: Path) -> Iterator[AkelaUp]:
    yield from started(tmp_path / "data")


def run(*arguments: str, environment: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "akela", *arguments], capture_output=True, text=True, timeout=60, env=os.environ | (environment or {})
    )  # fmt: skip


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def until_gone(pids: list[int]) -> None:
    waiting = threading.Event()
    for _ in range(200):
        if not any(map(alive, pids)):
            return
        waiting.wait(0.05)
    raise AssertionError(f"still running: {[pid for pid in pids if alive(pid)]}")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_everything_within_10_s(tmp_path: Path, number: signal.Signals) -> None:
    up = AkelaUp(tmp_path / "data")
    with up:
        pids = list(up.ready["processes"].values())
        assert up.process is not None
        up.process.send_signal(number)
        assert up.process.wait(10) == 0
        assert not any(map(alive, pids))


def test_nothing_outlives_a_killed_supervisor(up: AkelaUp) -> None:
    pids = list(up.ready["processes"].values())
    assert up.stop(signal.SIGKILL) == -signal.SIGKILL
    until_gone(pids)


def test_the_next_start_continues_with_all_data(tmp_path: Path) -> None:
    up = AkelaUp(tmp_path / "data")
    with up:
        first = up.ready
        assert publish(up.device("kept-1"), "a1/me/u/value/t", "21.5").returncode == 0
        up.akela("config", "set", "--app", "demo", "-", stdin='{"interval": 77}')
    with up:
        assert up.ready["demo"] == first["demo"]
        assert up.ready["admin"] == first["admin"]
        assert up.value("config", "show", "--app", "demo")["data"] == {"interval": 77}
        records = up.value("logs", "query", "--app", "demo", "values")["items"]
        assert [record["body"] for record in records] == [{"name": "t", "value": 21.5}]


def test_a_start_after_kill_9_of_everything_continues(tmp_path: Path) -> None:
    up = AkelaUp(tmp_path / "data")
    with up:
        assert publish(up.device("kept-1"), "a1/me/u/value/t", "1").returncode == 0
        pids = list(up.ready["processes"].values())
        up.stop(signal.SIGKILL)
        until_gone(pids)
    with up:
        assert len(up.value("logs", "query", "--app", "demo", "values")["items"]) == 1


def test_a_second_up_on_the_same_directory_is_refused(up: AkelaUp) -> None:
    done = run("up", "--data", str(up.directory), "--port-offset", str(up.offset + 3000))
    assert done.returncode == 1
    assert up.process is not None
    assert f"in use by another `akela up` (process {up.process.pid})" in done.stderr
    assert "--data" in done.stderr


@pytest.mark.parametrize(("port", "flag"), [(1883, "--mqtt-port"), (1882, "--boot-port"), (8080, "--api-port")])
def test_a_port_in_use_is_named_with_what_changes_it(tmp_path: Path, port: int, flag: str) -> None:
    offset = AkelaUp(tmp_path).offset
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind(("127.0.0.1", port + offset))
        taken.listen()
        done = run("up", "--data", str(tmp_path / "data"), "--port-offset", str(offset))
    assert done.returncode == 1
    assert str(port + offset) in done.stderr
    assert flag in done.stderr
    assert "--port-offset" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_child_that_dies_is_started_again_and_said_so(up: AkelaUp) -> None:
    os.kill(up.ready["processes"]["bootstrap"], signal.SIGKILL)
    assert "starting it again" in up.lines.until("bootstrap was killed by signal 9")


def test_several_operations_servers_share_the_work(tmp_path: Path) -> None:
    with AkelaUp(tmp_path / "data", "--operations", "2") as up:
        assert len(up.ready["operations"]) == 2
        servers = up.value("cluster", "status")
        assert json.dumps(servers).count('"mqtt"') >= 2
        one, two = up.device("e-1"), up.device("e-2")
        two[1] = up.port(1)
        assert publish(one, "a1/me/u/value/t", "1").returncode == 0
        assert publish(two, "a1/me/u/value/t", "2").returncode == 0
        records = up.value("logs", "query", "--app", "demo", "values")["items"]
        assert {record["endpoint"] for record in records} == {"e-1", "e-2"}


@pytest.mark.parametrize(
    ("arguments", "environment", "config", "named"),
    [
        (["--port-offset", "x"], {}, "", "port_offset"),
        (["--port-offset", "70000"], {}, "", "port_offset"),
        ([], {"AKELA_PORT_OFFSET": "-1"}, "", "AKELA_PORT_OFFSET"),
        ([], {"AKELA_NO_SUCH_SETTING": "1"}, "", "AKELA_NO_SUCH_SETTING"),
        ([], {}, "nothing = 1\n", "nothing"),
        ([], {}, "port_offset = [1]\n", "port_offset"),
        ([], {}, "= broken", "line 1"),
        (["--operations", "0"], {}, "", "--operations"),
        (["--log", "loud"], {}, "", "--log"),
    ],
)
def test_a_wrong_setting_is_named(
    tmp_path: Path, arguments: list[str], environment: dict[str, str], config: str, named: str
) -> None:
    file = tmp_path / "akela.toml"
    file.write_text(config)
    where = ["--config", str(file), "--data", str(tmp_path / "data")]
    done = run("up", *where, *arguments, environment=environment)
    assert done.returncode in (1, 2)
    assert named.lower() in done.stderr.lower()
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "data").exists()


def test_a_directory_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = run("up", "--data", str(tmp_path / "file" / "data"))
    assert done.returncode == 1
    assert "choose another directory with --data" in done.stderr


def test_no_zookeeper_is_a_bounded_wait_and_a_clear_message(tmp_path: Path) -> None:
    offset = AkelaUp(tmp_path / "data").offset
    with Database(tmp_path / "database") as database:
        where = ["--zookeeper", "127.0.0.1:1", "--mongodb-url", database.uri, "--port-offset", str(offset)]
        secret = ["--data", str(tmp_path / "data"), "--cluster-secret", "x" * 24]
        started = {
            kind: subprocess.Popen(
                [sys.executable, "-m", "akela", "run", kind, *where, *secret],
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            for kind in ("bootstrap", "operations", "control")
        }
        for process in started.values():
            _, said = process.communicate(timeout=150)
            assert process.returncode == 1
            assert "127.0.0.1:1" in said
            assert "--zookeeper" in said
            assert "Traceback" not in said


def test_secrets_are_readable_by_their_owner_only(up: AkelaUp) -> None:
    assert (up.directory / "secrets").stat().st_mode & 0o777 == 0o700
    assert (up.directory / "run").stat().st_mode & 0o777 == 0o700
    files = [*(up.directory / "secrets").iterdir(), up.directory / "demo.json", up.directory / "demo.env"]
    assert {file.stat().st_mode & 0o777 for file in files} == {0o600}
