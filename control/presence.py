"""Where an endpoint is attached, by its stored presence and the servers that are there. Pure.

A server that is killed, or loses the database, cannot write that its endpoints are away. So stored presence counts as long as its server
is listed in coordination and has run since: what it says of the time before that process is no longer so.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from akela.coordination import Member


def server_of(endpoint: Mapping[str, Any], servers: Mapping[str, Member]) -> str | None:
    """The server that a stored endpoint is attached to, or None. `servers`: the Operations servers that are there, by id."""
    presence = endpoint.get("presence") or {}
    member = servers.get(presence.get("server") or "")
    if member is None:
        return None
    started = member.payload.get("started")
    return None if started is not None and presence["at"] < datetime.fromisoformat(started) else member.id
