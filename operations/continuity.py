"""Hands what is known of an endpoint from one connection to the next: the document that was read may lack what was noted last.

That is its ledger, what it said that it runs, and its groups. Only for some time after a connection has ended, and only if it
is not older than what was read: another server may have had the endpoint since.
"""

from typing import Final

from operations.principals import Endpoint
from operations.timer import Timer

REMEMBERED_S: Final = (
    30.0  # longer than a write waits, and than a document that was read before it waits for its endpoint
)


class Continuity:
    """Hears of endpoints before anybody acts on their ledger."""

    def __init__(self) -> None:
        self._known: dict[str, Endpoint] = {}
        self._forget: Timer[Endpoint] = Timer(self._old)

    def close(self) -> None:
        """Remember nothing."""
        self._forget.close()

    def on_attached(self, endpoint: Endpoint) -> None:
        """Its ledger goes on where that of its last connection here stands, if it has one."""
        before = self._known.get(endpoint.key)
        self._known[endpoint.key] = endpoint
        if before is None or before is endpoint:
            return
        noted, read = before.ledger, endpoint.ledger
        if noted.at is None or (read.at is not None and read.at > noted.at):
            return
        if before.retry != endpoint.retry:
            noted.attempts = read.attempts  # an operator has asked to try again
        endpoint.ledger, endpoint.holds = noted, noted.held
        endpoint.fmt, endpoint.sdk, endpoint.versions = before.fmt, before.sdk, before.versions
        endpoint.groups, endpoint.group_errors = before.groups, before.group_errors

    def on_detached(self, endpoint: Endpoint) -> None:
        """It is remembered for a while."""
        self._forget.put(REMEMBERED_S, endpoint)

    def on_reachable(self, endpoint: Endpoint) -> None:
        """Nothing follows from it."""

    def _old(self, endpoint: Endpoint) -> None:
        if self._known.get(endpoint.key) is endpoint and endpoint.session is None:
            del self._known[endpoint.key]
