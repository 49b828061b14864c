"""Retained messages: the last one of each topic, found by filter without looking at the others (section 3.3.1.3)."""

from collections.abc import Callable, Iterator
from typing import NamedTuple


class Retained(NamedTuple):
    """What is kept of a message."""

    payload: bytes
    qos: int
    properties: bytes  # of MQTT 5.0, encoded
    expires_s: float | None  # engine's clock


class _Node:
    __slots__ = ("children", "message")

    def __init__(self) -> None:
        self.children: dict[str, _Node] = {}
        self.message: Retained | None = None


class RetainedMessages:
    """The retained messages of a broker, at most `limit` of them. `note` hears of each change."""

    def __init__(self, limit: int, note: Callable[[str, Retained | None], None] | None = None) -> None:
        self._root = _Node()
        self._limit = limit
        self._note = note
        self.count = 0

    def keep(self, topic: str, message: Retained) -> bool:
        """Keep a message, or with an empty payload forget the topic's; False when there is no room for one more."""
        if not message.payload:  # [MQTT-3.3.1-10]
            self._forget(topic)
            return True
        if self.count >= self._limit and self._find(topic) is None:
            return False
        self.restore(topic, message)
        if self._note is not None:
            self._note(topic, message)
        return True

    def restore(self, topic: str, message: Retained) -> None:
        """Put back a message that was read from disk."""
        node = self._root
        for level in topic.split("/"):
            child = node.children.get(level)
            if child is None:
                child = node.children[level] = _Node()
            node = child
        self.count += node.message is None
        node.message = message

    def matching(self, levels: tuple[str, ...], now_s: float) -> list[tuple[str, Retained]]:
        """(topic, message) of what a filter, split into its levels, takes. What has expired is forgotten [MQTT-3.3.2-5]."""
        found = list(_matching(self._root, levels, ()))
        gone = [topic for topic, message in found if message.expires_s is not None and message.expires_s <= now_s]
        for topic in gone:
            self._forget(topic)
        return [(topic, message) for topic, message in found if topic not in gone] if gone else found

    def _find(self, topic: str) -> Retained | None:
        node: _Node | None = self._root
        for level in topic.split("/"):
            node = node.children.get(level) if node is not None else None
        return node.message if node is not None else None

    def _forget(self, topic: str) -> None:
        path: list[tuple[_Node, str]] = []
        node = self._root
        for level in topic.split("/"):
            child = node.children.get(level)
            if child is None:
                return
            path.append((node, level))
            node = child
        self.count -= node.message is not None
        if self._note is not None and node.message is not None:
            self._note(topic, None)
        node.message = None
        for parent, level in reversed(path):
            child = parent.children[level]
            if child.children or child.message is not None:
                return
            del parent.children[level]


def _matching(node: _Node, levels: tuple[str, ...], path: tuple[str, ...]) -> Iterator[tuple[str, Retained]]:
    if not levels:
        yield from _own(node, path)
        return
    level, rest = levels[0], levels[1:]
    if level == "#":
        yield from _own(node, path)
        for name, child in node.children.items():
            if path or not name.startswith("$"):  # [MQTT-4.7.2-1]
                yield from _matching(child, levels, (*path, name))
    elif level == "+":
        for name, child in node.children.items():
            if path or not name.startswith("$"):
                yield from _matching(child, rest, (*path, name))
    elif level in node.children:
        yield from _matching(node.children[level], rest, (*path, level))


def _own(node: _Node, path: tuple[str, ...]) -> Iterator[tuple[str, Retained]]:
    if node.message is not None:
        yield "/".join(path), node.message
