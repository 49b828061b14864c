"""Topic names and filters: their validity (MQTT 3.1.1, section 4.7) and whether one matches the other."""

from typing import Final

from broker.errors import RemoteProtocolError
from broker.reasons import Reason

SHARE: Final = "$share/"  # MQTT 5.0, section 4.8.2: $share/{group}/{filter}


def decode(raw: bytes) -> str:
    """UTF-8 text as MQTT allows it. Raises: RemoteProtocolError."""
    try:
        text = raw.decode()  # a lone surrogate is no UTF-8: [MQTT-1.5.3-1]
    except UnicodeDecodeError as error:
        raise RemoteProtocolError(Reason.MALFORMED_PACKET, f"text is no UTF-8 at byte {error.start}") from error
    if "\0" in text:  # [MQTT-1.5.3-2]
        raise RemoteProtocolError(Reason.MALFORMED_PACKET, "text holds U+0000")
    return text


def name_error(topic: str, max_levels: int) -> str | None:
    """What is wrong with a topic name, or None."""
    if not topic:  # [MQTT-4.7.3-1]
        return "a topic has at least one character"
    if "#" in topic or "+" in topic:  # [MQTT-3.3.2-2]
        return "a topic name holds no wildcard"
    if topic.count("/") >= max_levels:
        return f"a topic has at most {max_levels} levels"
    return None


def filter_error(topic_filter: str, max_levels: int) -> str | None:
    """What is wrong with a topic filter, or None."""
    if not topic_filter:
        return "a filter has at least one character"
    levels = topic_filter.split("/")
    if len(levels) > max_levels:
        return f"a filter has at most {max_levels} levels"
    for index, level in enumerate(levels):
        if "#" in level and (level != "#" or index != len(levels) - 1):  # [MQTT-4.7.1-2]
            return "# stands alone on the last level"
        if "+" in level and level != "+":  # [MQTT-4.7.1-3]
            return "+ stands alone on its level"
    return None


def unshared(topic_filter: str) -> tuple[str | None, str]:
    """(group, inner filter) of a shared subscription; (None, the filter) of another.

    A group's name is at least one character and holds no wildcard [MQTT-4.8.2-1]; else the inner filter is empty, which none is.
    """
    if not topic_filter.startswith(SHARE):
        return None, topic_filter
    group, _, inner = topic_filter[len(SHARE) :].partition("/")
    if not group or "+" in group or "#" in group:
        return group, ""
    return group, inner


def matches(filter_levels: tuple[str, ...], topic: str) -> bool:
    """Whether a filter, split into its levels, takes a topic name."""
    if topic.startswith("$") and filter_levels[0] in ("#", "+"):  # [MQTT-4.7.2-1]
        return False
    levels = topic.split("/")
    for index, level in enumerate(filter_levels):
        if level == "#":
            return True
        if index >= len(levels) or (level not in ("+", levels[index])):
            return False
    return len(levels) == len(filter_levels)
