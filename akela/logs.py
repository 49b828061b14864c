"""Log lines for people or for machines: fixed text, values beside it."""

import json
import logging
import sys
from datetime import UTC, datetime
from typing import Any, Final

_OWN: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
_QUIET: Final = ("kazoo", "pymongo", "uvicorn", "httpx")
_SILENT: Final = (
    "nx_27017",
    "neosqlite",
)  # they log a stack trace for each refused command, which its sender is told anyway


def set_up(*, style: str, level: str, name: str) -> None:
    """Log to standard error as `human` or `json`, from `level` on; `name` is the server's."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines(name) if style == "json" else HumanLines(name))
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    for library in _QUIET:
        logging.getLogger(library).setLevel(logging.ERROR)
    for library in _SILENT:
        logging.getLogger(library).setLevel(logging.CRITICAL)


def _values(record: logging.LogRecord) -> dict[str, Any]:
    return {key: value for key, value in vars(record).items() if key not in _OWN}


class HumanLines(logging.Formatter):
    """`12:00:00 operations-0 info  text key=value`."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self._name = name

    def format(self, record: logging.LogRecord) -> str:
        """One line, and the traceback of an exception below it."""
        moment = datetime.fromtimestamp(record.created).astimezone()
        values = " ".join(f"{key}={value}" for key, value in _values(record).items())
        line = f"{moment:%H:%M:%S} {self._name} {record.levelname.lower():<7} {record.getMessage()} {values}".rstrip()
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


class JsonLines(logging.Formatter):
    """One JSON object per line."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self._name = name

    def format(self, record: logging.LogRecord) -> str:
        """One line."""
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "server": self._name,
            "level": record.levelname.lower(),
            "logger": record.name,
            "text": record.getMessage(),
        } | _values(record)
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)
