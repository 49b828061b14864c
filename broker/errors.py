"""Errors of the engine.

BrokerError
├── RemoteProtocolError   a peer broke the protocol; never leaves a connection's `receive_data`
├── SessionStoreError     the file of sessions and retained messages cannot be read or written
└── BrokerStartError      a listener cannot be opened
"""

from pathlib import Path

from broker.reasons import Reason


class BrokerError(Exception):
    """Root of the engine's errors."""


class RemoteProtocolError(BrokerError):
    """A peer's mistake; `reason` is its code, the text says what was wrong."""

    def __init__(self, reason: Reason, text: str) -> None:
        super().__init__(text)
        self.reason = reason


class SessionStoreError(BrokerError):
    """The file at `path` cannot be used: why."""

    def __init__(self, path: Path, why: str) -> None:
        super().__init__(f"{path}: {why}")
        self.path = path


class BrokerStartError(BrokerError):
    """A listener cannot be opened: `listener` is its name, `in_use` that the port is taken."""

    def __init__(self, listener: str, host: str, port: int, why: str, *, in_use: bool = False) -> None:
        super().__init__(f"listener {listener} cannot listen on {host}:{port}: {why}")
        self.in_use = in_use
        self.listener = listener
        self.host = host
        self.port = port
