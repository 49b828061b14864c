"""`akela broker -c FILE` takes the file that `amqtt -c FILE` takes."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.akela_up import Lines
from tests.ports import free_port

CONFIG = """
listeners:
  default:
    type: tcp
    bind: 127.0.0.1:{tcp}
  web:
    type: ws
    bind: 127.0.0.1:{ws}
plugins:
  amqtt.plugins.authentication.AnonymousAuthPlugin:
    allow_anonymous: true
  amqtt.plugins.topic_checking.TopicTabooPlugin: {{}}
"""


def akela(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "akela", "broker", *arguments]


def test_the_same_file_starts_our_engine(tmp_path: Path) -> None:
    tcp, ws = free_port(), free_port()
    file = tmp_path / "broker.yaml"
    file.write_text(CONFIG.format(tcp=tcp, ws=ws))
    process = subprocess.Popen(akela("-c", str(file)), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    lines = Lines(process.stdout)
    try:
        assert str(tcp) in lines.until("default: listening on")
        assert str(ws) in lines.until("web: listening on")
        for topic, code in (("free", 0), ("prohibited", 0)):
            done = subprocess.run(
                ["mosquitto_pub", "-p", str(tcp), "-q", "1", "-r", "-t", topic, "-m", "x"], timeout=60
            )
            assert done.returncode == code
        heard = subprocess.run(
            ["mosquitto_sub", "-p", str(tcp), "-t", "#", "-v", "-W", "1"], capture_output=True, text=True, timeout=60
        )
        assert heard.stdout == "free x\n"
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
        lines.join()
        assert process.stdout is not None
        process.stdout.close()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "No such file"),
        ("listeners: [", "is no YAML"),
        ("- a", "expected keys"),
        ("unknown: 1", "unknown"),
        ("listeners:\n  default:\n    bind: 127.0.0.1:x", "HOST:PORT"),
        ("listeners:\n  default:\n    type: pigeon", "pigeon"),
        ("listeners:\n  default:\n    ssl: true\n    bind: 127.0.0.1:0", "certfile"),
        ("listeners:\n  default:\n    bind: 127.0.0.1:0\nplugins:\n  no.such.Plugin: {}", "no.such.Plugin"),
    ],
)
def test_a_wrong_file_is_named_with_what_is_wrong(tmp_path: Path, text: str | None, said: str) -> None:
    file = tmp_path / "broker.yaml"
    if text is not None:
        file.write_text(text)
    done = subprocess.run(akela("-c", str(file)), capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert said in done.stderr
    assert "Traceback" not in done.stderr
