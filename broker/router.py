"""Which subscriptions take a message: a trie of filter levels.

A match walks the levels of the topic once and visits at most the branches that fit, however many subscriptions there
are. `version` changes with every subscription, so that sessions may keep matches for as long as it stands still.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Final, NamedTuple

from broker.properties import variable
from broker.session import Session, Subscription

Match = tuple[Session, int, tuple[str, str] | None, "Options | None"]
"""(session, granted QoS, shown, options): one per delivery; a session whose subscriptions overlap is in once per name that it shows."""


class Options(NamedTuple):
    """What a subscription asks for beyond the ordinary (MQTT 5.0, section 3.8.3.1)."""

    no_local: bool
    retain_as_published: bool
    identifiers: bytes  # encoded as properties


class Matches(NamedTuple):
    """What a topic matches: sessions, and groups of which one member is chosen for each message."""

    sessions: tuple[Match, ...]
    groups: tuple[Group, ...]


NOBODY: Final = Matches((), ())


class Group:
    """The members of a shared subscription (MQTT 5.0, section 4.8.2). They take turns; who is not there is passed over."""

    __slots__ = ("_members", "_turn")

    def __init__(self) -> None:
        self._members: dict[Session, Subscription] = {}
        self._turn = 0

    @property
    def members(self) -> Collection[Subscription]:
        """The subscriptions of all members."""
        return self._members.values()

    def add(self, subscription: Subscription) -> bool:
        """Add a member, or replace its subscription; True when it is new."""
        fresh = subscription.session not in self._members
        self._members[subscription.session] = subscription
        return fresh

    def remove(self, session: Session) -> bool:
        """Take a member out; True when nobody is left."""
        del self._members[session]
        return not self._members

    def next(self) -> Subscription | None:
        """Who gets the next message: connected members in turn, else one whose session keeps messages."""
        members = list(self._members.values())
        self._turn += 1
        turned = members[self._turn % len(members) :] + members[: self._turn % len(members)]
        connected = next((m for m in turned if m.session.connected and not m.session.queued), None)
        return connected or next((m for m in turned if m.session.connected or m.session.durable), None)


class _Node:
    """One level of the trie. `here`: filters that end here; `below`: those that end in `#` right below."""

    __slots__ = ("below", "children", "groups_below", "groups_here", "here")

    def __init__(self) -> None:
        self.children: dict[str, _Node] = _NO_NODES
        self.here: dict[Session, Subscription] = _NO_SUBSCRIPTIONS
        self.below: dict[Session, Subscription] = _NO_SUBSCRIPTIONS
        self.groups_here: dict[str, Group] | None = None
        self.groups_below: dict[str, Group] | None = None

    @property
    def empty(self) -> bool:
        return not (self.children or self.here or self.below or self.groups_here or self.groups_below)

    def child(self, level: str) -> _Node:
        """The node of a level; made when there is none."""
        found = self.children.get(level)
        if found is None:
            found = _Node()
            if self.children is _NO_NODES:
                self.children = {level: found}
            else:
                self.children[level] = found
        return found

    def put(self, subscription: Subscription) -> bool:
        """Keep a subscription that ends here; True when its session had none."""
        below, session = subscription.levels[-1] == "#", subscription.session
        place = self.below if below else self.here
        if place is not _NO_SUBSCRIPTIONS:
            fresh = session not in place
            place[session] = subscription
            return fresh
        if below:
            self.below = {session: subscription}
        else:
            self.here = {session: subscription}
        return True

    def groups(self, levels: tuple[str, ...]) -> dict[str, Group]:
        if levels[-1] == "#":
            self.groups_below = self.groups_below or {}
            return self.groups_below
        self.groups_here = self.groups_here or {}
        return self.groups_here


# Most nodes have no children or no subscriptions: they share these, which stay empty.
_NO_NODES: Final[dict[str, _Node]] = {}
_NO_SUBSCRIPTIONS: Final[dict[Session, Subscription]] = {}


class Router:
    """All subscriptions of a broker."""

    def __init__(self) -> None:
        self._root = _Node()
        self.version = 0
        self.count = 0

    def add(self, subscription: Subscription) -> None:
        """Add a subscription, or put it in the place of the session's one with the same filter."""
        self.version += 1
        levels = subscription.levels
        node = self._root
        for level in levels[:-1] if levels[-1] == "#" else levels:
            node = node.child(level)
        if subscription.group is not None:
            self.count += node.groups(levels).setdefault(subscription.group, Group()).add(subscription)
        else:
            self.count += node.put(subscription)

    def remove(self, subscription: Subscription) -> None:
        """Take a subscription out, and the branches that it leaves bare."""
        self.version += 1
        levels = subscription.levels
        path: list[tuple[_Node, str]] = []
        node = self._root
        for level in levels[:-1] if levels[-1] == "#" else levels:
            path.append((node, level))
            node = node.children[level]
        if subscription.group is not None:
            groups = node.groups(levels)
            if groups[subscription.group].remove(subscription.session):
                del groups[subscription.group]
        else:
            del (node.below if levels[-1] == "#" else node.here)[subscription.session]
        self.count -= 1
        for parent, level in reversed(path):
            if not parent.children[level].empty:
                break
            del parent.children[level]

    def match(self, topic: str) -> Matches:
        """Deliveries that a message to `topic` makes, the highest QoS of each session's overlapping subscriptions."""
        found: dict[tuple[Session, tuple[str, str] | None], list[Subscription]] = {}
        groups: list[Group] = []
        for node, below in self._walk(topic):
            for subscription in (node.below if below else node.here).values():
                found.setdefault((subscription.session, subscription.shown), []).append(subscription)
            shared = node.groups_below if below else node.groups_here
            if shared:
                groups.extend(shared.values())
        if not found and not groups:
            return NOBODY
        sessions = tuple(
            (session, max(s.qos for s in those), shown, options(those)) for (session, shown), those in found.items()
        )
        return Matches(sessions, tuple(groups))

    def may_match(self, *levels: str) -> bool:
        """False when no subscription takes a topic that begins with these levels: cheaper than a match, and never wrongly False."""
        node = self._root
        for level in levels:
            if node.below or node.groups_below or "+" in node.children:
                return True
            child = node.children.get(level)
            if child is None:
                return False
            node = child
        return True

    def _walk(self, topic: str) -> Iterator[tuple[_Node, bool]]:
        """Each node whose filters take `topic`, with whether it is those below it or those that end at it."""
        levels = topic.split("/")
        nodes = [self._root]
        for index, level in enumerate(levels):
            following: list[_Node] = []
            hidden = index == 0 and topic.startswith("$")  # [MQTT-4.7.2-1]
            for node in nodes:
                if not hidden:
                    yield node, True
                children = node.children
                child = children.get(level)
                if child is not None:
                    following.append(child)
                if not hidden:
                    child = children.get("+")
                    if child is not None:
                        following.append(child)
            nodes = following
            if not nodes:
                return
        for node in nodes:
            yield node, False
            yield node, True  # `sport/#` takes `sport` too: section 4.7.1.2


def options(subscriptions: list[Subscription]) -> Options | None:
    """The options of one delivery that several subscriptions of a session ask for; None for the ordinary.

    One copy carries the identifier of each [MQTT-3.3.4-3], and is left out only if every one of them says no local.
    """
    no_local = all(s.no_local for s in subscriptions)
    as_published = any(s.retain_as_published for s in subscriptions)
    identifiers = b"".join(b"\x0b" + variable(s.identifier) for s in subscriptions if s.identifier is not None)
    if not (no_local or as_published or identifiers):
        return None
    return Options(no_local, as_published, identifiers)
