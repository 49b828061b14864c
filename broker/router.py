"""Which subscriptions take a message: a trie of filter levels.

A match walks the levels of the topic once and visits at most the branches that fit, however many subscriptions there
are. `version` changes with every subscription, so that sessions may keep matches for as long as it stands still.
"""

from collections.abc import Iterator
from typing import Final

from broker.session import Session, Subscription

Match = tuple[Session, int, tuple[str, str] | None]
"""(session, granted QoS, shown): one per delivery; a session whose subscriptions overlap is in once per name that it shows."""

_NOBODY: Final[tuple[Match, ...]] = ()


class _Node:
    """One level of the trie. `here`: filters that end here; `below`: those that end in `#` right below."""

    __slots__ = ("below", "children", "here")

    def __init__(self) -> None:
        self.children: dict[str, _Node] = {}
        self.here: dict[Session, Subscription] = {}
        self.below: dict[Session, Subscription] = {}

    @property
    def empty(self) -> bool:
        return not (self.children or self.here or self.below)


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
            child = node.children.get(level)
            if child is None:
                child = node.children[level] = _Node()
            node = child
        place = node.below if levels[-1] == "#" else node.here
        self.count += subscription.session not in place
        place[subscription.session] = subscription

    def remove(self, subscription: Subscription) -> None:
        """Take a subscription out, and the branches that it leaves bare."""
        self.version += 1
        levels = subscription.levels
        path: list[tuple[_Node, str]] = []
        node = self._root
        for level in levels[:-1] if levels[-1] == "#" else levels:
            path.append((node, level))
            node = node.children[level]
        place = node.below if levels[-1] == "#" else node.here
        del place[subscription.session]
        self.count -= 1
        for parent, level in reversed(path):
            if not parent.children[level].empty:
                break
            del parent.children[level]

    def match(self, topic: str) -> tuple[Match, ...]:
        """Deliveries that a message to `topic` makes, the highest QoS of each session's overlapping subscriptions."""
        found: dict[tuple[Session, tuple[str, str] | None], int] = {}
        for subscription in self._walk(topic):
            key = (subscription.session, subscription.shown)
            if subscription.qos > found.get(key, -1):
                found[key] = subscription.qos
        if not found:
            return _NOBODY
        return tuple((session, qos, shown) for (session, shown), qos in found.items())

    def _walk(self, topic: str) -> Iterator[Subscription]:
        levels = topic.split("/")
        nodes = [self._root]
        for index, level in enumerate(levels):
            following: list[_Node] = []
            hidden = index == 0 and topic.startswith("$")  # [MQTT-4.7.2-1]
            for node in nodes:
                if node.below and not hidden:
                    yield from node.below.values()
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
            yield from node.here.values()
            yield from node.below.values()  # `sport/#` takes `sport` too: section 4.7.1.2
