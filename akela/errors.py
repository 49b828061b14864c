"""Errors that end a server or a tool with one line for its user.

AkelaError
├── ServerError          a server cannot start or go on
│   ├── SettingsError    a setting is unknown or bad
│   └── PortInUseError   somebody listens there already
└── (client errors: akela.client)
"""


class AkelaError(Exception):
    """Root; the text is for the user: what was wrong, and what to do."""


class ServerError(AkelaError):
    """A server cannot start or go on."""


class SettingsError(ServerError):
    """A setting is unknown or has a bad value."""


class PortInUseError(ServerError):
    """Somebody listens on a port that is needed here."""

    def __init__(self, host: str, port: int, flag: str) -> None:
        super().__init__(f"port {port} on {host} is in use; change it with {flag} or move all ports with --port-offset")
        self.port = port
