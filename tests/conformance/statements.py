"""The normative statements of both specifications, by section, and why some need no test of ours.

`python -m tests.conformance.statements` writes docs/conformance.md from the `statement` markers of the tests.
"""

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

HERE: Final = Path(__file__).parent
PAGE: Final = HERE.parents[1] / "docs" / "conformance.md"

# section -> how many statements it has (MQTT 3.1.1, appendix B; MQTT 5.0, appendix B)
MQTT_311: Final = {
    "1.5.3": 3, "2.2.2": 2, "2.3.1": 7, "3.1.0": 2, "3.1.2": 24, "3.1.3": 11, "3.1.4": 5, "3.2.0": 1, "3.2.2": 6, "3.3.1": 12,
    "3.3.2": 3, "3.3.4": 1, "3.3.5": 2, "3.6.1": 1, "3.8.1": 1, "3.8.3": 4, "3.8.4": 6, "3.9.3": 2, "3.10.1": 1, "3.10.3": 2,
    "3.10.4": 6, "3.12.4": 1, "3.14.1": 1, "3.14.4": 3, "4.1.0": 2, "4.2.0": 1, "4.3.1": 1, "4.3.2": 2, "4.3.3": 2, "4.4.0": 1,
    "4.5.0": 2, "4.6.0": 6, "4.7.1": 3, "4.7.2": 1, "4.7.3": 4, "4.8.0": 2, "6.0.0": 4,
}  # fmt: skip
MQTT_5: Final = {
    "1.5.4": 3, "1.5.5": 1, "1.5.7": 1, "2.1.3": 1, "2.2.1": 6, "2.2.2": 1, "3.1.0": 2, "3.1.2": 30, "3.1.3": 12, "3.1.4": 6,
    "3.2.0": 2, "3.2.2": 22, "3.3.1": 13, "3.3.2": 20, "3.3.4": 10, "3.4.2": 3, "3.5.2": 3, "3.6.1": 1, "3.6.2": 3, "3.7.2": 3,
    "3.8.1": 1, "3.8.3": 5, "3.8.4": 8, "3.9.2": 2, "3.9.3": 2, "3.10.1": 1, "3.10.3": 2, "3.10.4": 6, "3.11.2": 2, "3.11.3": 2,
    "3.12.4": 1, "3.14.0": 1, "3.14.1": 1, "3.14.2": 4, "3.14.4": 3, "3.15.1": 1, "3.15.2": 3, "4.1.0": 2, "4.2.0": 1, "4.3.1": 1,
    "4.3.2": 5, "4.3.3": 13, "4.4.0": 2, "4.5.0": 2, "4.6.0": 6, "4.7.0": 1, "4.7.1": 2, "4.7.2": 1, "4.7.3": 4, "4.8.2": 6,
    "4.9.0": 3, "4.12.0": 7, "4.12.1": 2, "4.13.1": 1, "4.13.2": 1, "6.0.0": 4,
}  # fmt: skip

CLIENT: Final = "binds clients"
NEVER: Final = "we send no such property there"
FULL: Final = "binds servers without this feature; ours has it"
TRANSPORT: Final = "every test runs over TCP, which is such a transport"
WITHOUT_TEST: Final[Mapping[str, Mapping[str, str]]] = {
    "311": {
        "MQTT-2.3.1-2": CLIENT, "MQTT-2.3.1-3": CLIENT, "MQTT-3.1.2-23": CLIENT, "MQTT-3.14.4-1": CLIENT, "MQTT-3.14.4-2": CLIENT,
        "MQTT-4.2.0-1": TRANSPORT, "MQTT-4.5.0-2": CLIENT,
    },
    "5": {
        "MQTT-2.2.1-1": "not used by the specification", "MQTT-3.1.2-20": CLIENT,
        "MQTT-3.2.2-4": CLIENT, "MQTT-3.2.2-5": CLIENT, "MQTT-3.2.2-9": FULL, "MQTT-3.2.2-10": FULL, "MQTT-3.2.2-11": CLIENT,
        "MQTT-3.2.2-12": FULL, "MQTT-3.2.2-13": FULL, "MQTT-3.2.2-14": CLIENT, "MQTT-3.2.2-18": CLIENT, "MQTT-3.3.2-10": CLIENT,
        "MQTT-3.3.4-5": "binds servers that send several copies; ours sends one", "MQTT-3.3.4-8": CLIENT,
        "MQTT-3.4.2-3": NEVER, "MQTT-3.5.2-3": NEVER, "MQTT-3.6.2-2": NEVER, "MQTT-3.6.2-3": NEVER, "MQTT-3.7.2-2": NEVER,
        "MQTT-3.7.2-3": NEVER, "MQTT-3.9.2-1": NEVER, "MQTT-3.9.2-2": NEVER, "MQTT-3.11.2-1": NEVER, "MQTT-3.11.2-2": NEVER,
        "MQTT-3.14.2-4": NEVER, "MQTT-3.15.2-2": NEVER, "MQTT-3.15.2-3": NEVER, "MQTT-4.2.0-1": TRANSPORT,
        "MQTT-4.5.0-2": CLIENT, "MQTT-4.6.0-1": CLIENT, "MQTT-4.6.0-2": CLIENT, "MQTT-4.6.0-3": CLIENT, "MQTT-4.6.0-4": CLIENT,
    },
}  # fmt: skip


def statements(version: str) -> Iterator[str]:
    """All statements of a version ("311" or "5"), in order."""
    for section, count in (MQTT_311 if version == "311" else MQTT_5).items():
        for number in range(1, count + 1):
            yield f"MQTT-{section}-{number}"


def shown(version: str) -> dict[str, list[str]]:
    """Statement -> tests that name it, read from the markers."""
    found: dict[str, list[str]] = {}
    for file in sorted(HERE.glob(f"test_mqtt_{version}_*.py")) + sorted(HERE.glob("test_websocket.py")):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                for number in _marked(node):
                    found.setdefault(number, []).append(f"{file.stem}::{node.name}")
    return found


def _marked(node: ast.FunctionDef | ast.AsyncFunctionDef) -> Iterator[str]:
    for decorator in node.decorator_list:
        if (
            isinstance(decorator, ast.Call)
            and isinstance(decorator.func, ast.Name)
            and decorator.func.id == "statement"
        ):
            for argument in decorator.args:
                assert isinstance(argument, ast.Constant)
                yield str(argument.value).replace("MQTT-3-8.3", "MQTT-3.8.3")


def page() -> str:
    """The text of docs/conformance.md."""
    lines = [
        "# Conformance", "",
        "Each normative statement of both specifications, with the tests that show it for our engine. The tests are in",
        "`tests/conformance`; they speak through real sockets, with packets built byte by byte. A statement without a test says why.",
        "This page is written by `python -m tests.conformance.statements`; a test fails when it is not up to date.",
    ]  # fmt: skip
    for version, title in (("5", "MQTT 5.0"), ("311", "MQTT 3.1.1")):
        tests = shown(version)
        lines += ["", f"## {title}", "", "| statement | shown by |", "| --- | --- |"]
        for number in statements(version):
            names = ", ".join(f"`{name}`" for name in tests.get(number, ()))
            lines.append(f"| {number} | {names or WITHOUT_TEST[version].get(number, '**nothing**')} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page())
