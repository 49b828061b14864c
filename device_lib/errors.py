"""Errors of the endpoint library.

EndpointError
├── NotConnectedError    no server could be reached, or none let this endpoint in
├── RefusedError         the server refused a request; `code` and `key` say how
├── TimedOutError        no answer in time
└── FullError            too much is unacknowledged; nothing was dropped, nothing was taken
"""


class EndpointError(Exception):
    """Root of the library's errors."""


class NotConnectedError(EndpointError):
    """No server could be reached, or none let this endpoint in."""


class RefusedError(EndpointError):
    """The server refused a request."""

    def __init__(self, code: int, reason: str, key: str | None = None) -> None:
        super().__init__(f"{code} {key + ': ' if key else ''}{reason}")
        self.code = code
        self.reason = reason
        self.key = key


class TimedOutError(EndpointError):
    """No answer in time."""


class FullError(EndpointError):
    """Too many messages are unacknowledged."""
