"""The examples of topics.md and README.md, run as they are printed."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests.akela_up import AkelaUp, Lines, started

ROOT = Path(__file__).parents[2]
LINE_S = 3  # a line on a busy machine
TIMED_OUT = 27  # what Mosquitto's clients end with after -W


def examples(file: str) -> list[str]:
    """The lines of the page's shell blocks, in order."""
    blocks = re.findall(r"```sh\n(.*?)```", (ROOT / file).read_text(), re.DOTALL)
    return [line for block in blocks for line in block.splitlines() if line]


def run(lines: list[str], directory: Path, **environment: str) -> dict[str, str]:
    """Run lines in one shell; gives what each printed. The page's paths stand for the test's."""
    marked = "\n".join(f"echo '@@@ {number}'\n{line}\necho \"@@@ $?\"" for number, line in enumerate(lines))
    done = subprocess.run(
        ["bash"], input=marked.replace("akela-data/", f"{directory}/"), capture_output=True, text=True, cwd=ROOT,
        timeout=30 + LINE_S * len(lines),
        env=os.environ | environment,
    )  # fmt: skip
    parts = re.findall(r"@@@ (\d+)\n(.*?)@@@ (\d+)\n", done.stdout, re.DOTALL)
    assert len(parts) == len(lines), done.stdout + done.stderr
    for number, output, code in parts:
        line = lines[int(number)]
        allowed = {0, TIMED_OUT} if " -W " in line else {0}
        assert int(code) in allowed, f"{line}\nended with {code}: {output}{done.stderr}"
    return {lines[int(number)]: output for number, output, _ in parts}


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "data"


def test_every_line_of_topics_md_works_as_printed(directory: Path) -> None:
    lines = examples("topics.md")
    for _ in started(directory):
        printed = run(lines, directory)
    answered = [line for line in lines if line.startswith(("mosquitto_rr", "mosquitto_sub")) and " -W " not in line]
    assert len(answered) > 8
    for line in answered:
        assert printed[line].strip(), f"{line} printed nothing"


def test_every_line_of_the_operators_guide_works_as_printed(directory: Path) -> None:
    lines = examples("docs/guide-operators.md")
    assert len(lines) > 50
    for up in started(directory):
        printed = run(lines, directory, XDG_CONFIG_HOME=str(directory.parent / "config"))
        trail = printed["akela audit list --app meters --limit 5"]
        assert [up.value("app", "list")["items"][0]["name"]] == ["demo"]
    assert "admin" in trail
    assert '-  "interval": 30' in printed["akela config diff --app meters"]
    assert printed["akela endpoint list --app meters --all"].count("provisioned") == 4
    assert "meter-3" in printed["akela endpoint list --app meters --revoked"]
    again = [line for line in lines if line.startswith("akela endpoint add --app meters --from")]
    assert len(again) == 2


def test_the_readme_s_device_in_five_minutes(directory: Path) -> None:
    text = examples("README.md")
    assert text[:2] == ["make run", "make test"]
    lines = [line for line in text[2:] if not (line.startswith("mosquitto_sub") and "$OPERATOR" in line)]
    assert any("config set" in line for line in lines)
    bounded = [f"{line} -C 1" if line.startswith("mosquitto_sub") else line for line in lines]
    for up in started(directory):
        printed = run(bounded, directory)
        records = next(output for line, output in printed.items() if "logs query" in line)
        assert "21.5" in records
        assert up.value("config", "show", "--app", "demo")["data"] == {"interval": 10}


def test_the_readme_names_files_that_exist() -> None:
    for link in re.findall(r"\]\(([^)#]+)\)", (ROOT / "README.md").read_text()):
        assert (ROOT / link).exists(), link


def test_every_topic_of_the_grammar_is_in_the_manual() -> None:
    manual = (ROOT / "topics.md").read_text()
    for leaf in (
        "u/hello",
        "u/reg",
        "u/profile",
        "u/config/get",
        "u/config/applied",
        "u/log",
        "u/value",
        "a1/boot",
        "$akela/control",
    ):
        assert leaf in manual


def test_akela_up_prints_commands_that_work(directory: Path) -> None:
    up = AkelaUp(directory)
    command = [part for part in up.command() if part not in ("--output", "json")]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, cwd=ROOT)
    try:
        said = Lines(process.stdout)
        assert "password" in said.until("first login")
        watch, tell = said.until("mosquitto_sub").strip(), said.until("mosquitto_pub").strip()
        watch_here, tell_here = said.until("device sub").strip(), said.until("device pub").strip()
        akela = f"{shlex.quote(sys.executable)} -m akela "
        watchers = [f"stdbuf -oL {watch} -d", watch_here.replace("akela ", akela, 1)]
        tellers = [tell, tell_here.replace("akela ", akela, 1)]
        for watcher, subscribed in zip(watchers, ("Subscribed (mid", "subscribed"), strict=True):
            with Watching(watcher) as watching:
                watching.lines.until(subscribed)
                for teller in tellers:
                    done = subprocess.run(["bash", "-c", teller], capture_output=True, text=True, timeout=60, cwd=ROOT)
                    assert done.returncode == 0, done.stderr
                    assert "demo-1" in watching.lines.until("/u/value/temperature 21.5")
    finally:
        process.terminate()
        assert process.wait(20) == 0
        said.join()
        assert process.stdout is not None
        process.stdout.close()


class Watching:
    """A command of a shell, its lines read as they come."""

    def __init__(self, command: str) -> None:
        self._process = subprocess.Popen(
            ["bash", "-c", f"exec {command}"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=ROOT
        )
        self.lines = Lines(self._process.stdout)

    def __enter__(self) -> "Watching":
        return self

    def __exit__(self, *failure: object) -> None:
        self._process.kill()
        self._process.wait()
        self.lines.join()
        assert self._process.stdout is not None
        self._process.stdout.close()
