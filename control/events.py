"""Change events: each done change, in sequence, to every Operations server that coordination lists.

One task per server keeps a link and a place in the log. A server that is away misses nothing that matters: an event only rings the
bell, and it reads the log from where it stands. So a new link begins at the head, with one event that says how far the log is.
"""

import asyncio
import json
import logging
from collections.abc import Mapping, Sequence
from typing import Any, Final

from akela.contract import topics
from akela.coordination import Member
from akela.documents import changelog, history
from akela.documents.model import DatabaseError
from akela.link import LinkError, ServerLink

log = logging.getLogger(__name__)

RETRY_S: Final = 1.0
LOOK_EVERY_S: Final = 10.0
MAX_EVENTS: Final = 200
MAX_RECENT: Final = 2000
CONTROL_USER: Final = "$control"
SHOWN: Final = ("epoch", "kind", "op", "target", "tenant", "app")


class ChangeEvents:
    """Tells the Operations servers, as long as this Control server is active."""

    def __init__(self, member_id: str, secret: str) -> None:
        self._client_id = f"control-{member_id}"
        self._secret = secret
        self._servers: dict[str, tuple[Member, asyncio.Task[None]]] = {}
        self._bells: set[asyncio.Event] = set()
        self._recent: dict[int, bytes] = {}  # events by number: one reading of the log serves all servers
        self._reading = asyncio.Lock()

    def follow(self, members: Mapping[str, Member]) -> None:
        """These are the Operations servers now."""
        for number, (member, task) in list(self._servers.items()):
            if number not in members or members[number].incarnation != member.incarnation:
                task.cancel()
                del self._servers[number]
        for number, member in members.items():
            if number not in self._servers:
                self._servers[number] = (member, asyncio.create_task(self._tell(member)))

    def ring(self) -> None:
        """The log has grown."""
        for bell in self._bells:
            bell.set()

    async def stop(self) -> None:
        """Tell nobody any more."""
        tasks = [task for _, task in self._servers.values()]
        self._servers.clear()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _tell(self, member: Member) -> None:
        address = member.payload["mqtt"]
        bell = asyncio.Event()
        self._bells.add(bell)
        try:
            while True:
                link = ServerLink(
                    address["host"],
                    address["port"],
                    client_id=self._client_id,
                    user=CONTROL_USER,
                    password=self._secret,
                )
                try:
                    await link.connect()
                    await self._tell_over(link, bell)
                except (LinkError, DatabaseError) as error:
                    log.warning(
                        "an Operations server is not told", extra={"server": member.id, "error": str(error)[:200]}
                    )
                finally:
                    await link.close()
                await asyncio.sleep(RETRY_S)
        finally:
            self._bells.discard(bell)

    async def _tell_over(self, link: ServerLink, bell: asyncio.Event) -> None:
        position = max(0, await asyncio.to_thread(changelog.head_seq) - 1)
        while True:
            bell.clear()
            for event in await self._events_behind(position):
                await link.publish(topics.CONTROL, event)
                position += 1
            try:
                async with asyncio.timeout(LOOK_EVERY_S):
                    await bell.wait()
            except TimeoutError:
                continue

    async def _events_behind(self, position: int) -> Sequence[bytes]:
        """Events of the changes behind `position`, in sequence, up to the first that is pending."""
        async with self._reading:
            if position + 1 not in self._recent:
                if len(self._recent) > MAX_RECENT:
                    self._recent.clear()
                for change in await asyncio.to_thread(_settled, position):
                    self._recent[change["_id"]] = _event(change)
        events: list[bytes] = []
        while position + 1 + len(events) in self._recent:
            events.append(self._recent[position + 1 + len(events)])
        return events


def _settled(position: int) -> Sequence[Mapping[str, Any]]:
    """Changes behind `position`, in sequence, up to the first that is pending."""
    changes: list[Mapping[str, Any]] = []
    for change in history.envelopes(position, MAX_EVENTS):
        if change["state"] == "pending" or change["_id"] != position + len(changes) + 1:
            break
        changes.append(change)
    return changes


def _event(change: Mapping[str, Any]) -> bytes:
    rev = None if change["op"] == "delete" else change["_id"]
    return json.dumps({"seq": change["_id"], "rev": rev} | {name: change.get(name) for name in SHOWN}).encode()
