"""The topic grammar: the one place that knows how topics are made (topics.md is its manual).

    a1/{app}/{ep}/{u|d|o}/...     endpoint topics; an endpoint may write `me` for `{app}/{ep}`
    a1/boot[/{nonce}[/re]]        the well-known topic of Bootstrap servers
    $akela/control, $akela/peer   between servers

A topic is a value, checked once. What an endpoint publishes below `u` parses to one of the request types of `Up`. MQTT's own
matching of filters is the broker's.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, NewType

from akela.contract.codes import Code
from akela.contract.errors import TopicError

AppToken = NewType("AppToken", str)
EndpointId = NewType("EndpointId", str)

ROOT: Final = "a1"
ME: Final = "me"
ME_PREFIX: Final = f"{ROOT}/{ME}/"
BOOT: Final = f"{ROOT}/boot"
CONTROL: Final = "$akela/control"
PEER: Final = "$akela/peer"

_APP: Final = re.compile(r"[a-z2-7]{4,12}")
_ENDPOINT: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")
_RID: Final = re.compile(r"[A-Za-z0-9_-]{1,32}")
_RESERVED_APPS: Final = frozenset({"boot"})


class Side(StrEnum):
    """Direction of an endpoint topic."""

    UP = "u"
    DOWN = "d"
    OPERATOR = "o"


def app_token(text: str) -> AppToken:
    """An application token. Raises: TopicError."""
    if not _APP.fullmatch(text) or text in _RESERVED_APPS:
        raise TopicError(f"{text!r} is no application token: 4 to 12 of a-z and 2-7", key="app")
    return AppToken(text)


def endpoint_id(text: str) -> EndpointId:
    """An endpoint id. Raises: TopicError."""
    if not _ENDPOINT.fullmatch(text):
        raise TopicError(f"{text[:80]!r} is no endpoint id: 1 to 64 of A-Z a-z 0-9 . _ -", key="ep")
    return EndpointId(text)


def request_id(text: str) -> str:
    """A request's id, also a nonce. Raises: TopicError."""
    if not _RID.fullmatch(text):
        raise TopicError(f"{text[:80]!r} is no request id: 1 to 32 of A-Z a-z 0-9 _ -", key="rid")
    return text


@dataclass(frozen=True, slots=True)
class EndpointTopic:
    """`a1/{app}/{ep}/{side}/{rest}`; `str()` gives the canonical text."""

    app: AppToken
    ep: EndpointId
    side: Side
    rest: tuple[str, ...]  # at least one level

    @classmethod
    def parse(cls, text: str) -> "EndpointTopic":
        """Raises: TopicError, which names the level, what it was and what is allowed."""
        match text.split("/"):
            case [root, app, ep, side, first, *more] if root == ROOT:
                return cls(app_token(app), endpoint_id(ep), _side(side), (first, *more))
        raise TopicError(f"{text[:80]!r}: expected a1/{{app}}/{{ep}}/{{u|d|o}}/...", key="topic")

    def __str__(self) -> str:
        return "/".join((ROOT, self.app, self.ep, self.side, *self.rest))


def parse_own(text: str, app: AppToken, ep: EndpointId) -> EndpointTopic:
    """A topic that endpoint `ep` of `app` names, canonical or with `me`.

    Raises: TopicError, code 403 when the topic is another's or nobody's.
    """
    if text.startswith(ME_PREFIX):
        side, *rest = text.removeprefix(ME_PREFIX).split("/")
        if not rest:
            raise TopicError(f"{text!r}: expected a1/me/{{u|d}}/...", key="topic")
        return EndpointTopic(app, ep, _side(side), tuple(rest))
    try:
        topic = EndpointTopic.parse(text)
    except TopicError as error:
        raise TopicError(error.reason, code=Code.FORBIDDEN, key="topic") from error
    if (topic.app, topic.ep) != (app, ep):
        raise TopicError("this topic is another endpoint's", code=Code.FORBIDDEN, key="topic")
    return topic


@dataclass(frozen=True, slots=True)
class DownFilter:
    """What an endpoint subscribes to: the canonical filter, and how to show topics if it wrote `me`."""

    canonical: str
    shown: tuple[str, str] | None  # (canonical prefix, prefix to show)


def down_filter(text: str, app: AppToken, ep: EndpointId) -> DownFilter:
    """A subscription of an endpoint. Raises: TopicError (403) when it reaches beyond the endpoint's own `d`."""
    own = f"{ROOT}/{app}/{ep}/"
    if text.startswith(f"{ME_PREFIX}{Side.DOWN}/"):
        return DownFilter(own + text.removeprefix(ME_PREFIX), (own, ME_PREFIX))
    if text.startswith(f"{own}{Side.DOWN}/"):
        return DownFilter(text, None)
    raise TopicError("an endpoint subscribes below a1/me/d/ or its own canonical d/", code=Code.FORBIDDEN, key="topic")


def observed_app(text: str) -> AppToken:
    """The application that an operator's subscription observes. Raises: TopicError (403) when it names not just one."""
    match text.split("/", 2):
        case [root, app, _] if root == ROOT and _APP.fullmatch(app):
            return AppToken(app)
    raise TopicError(
        "an operator subscribes below a1/{app}/, one application at a time", code=Code.FORBIDDEN, key="topic"
    )


# What goes up: one type per kind of request.


@dataclass(frozen=True, slots=True)
class Hello:
    """`u/hello[/{rid}]`."""

    rid: str | None = None


@dataclass(frozen=True, slots=True)
class Register:
    """`u/reg/{rid}`."""

    rid: str


@dataclass(frozen=True, slots=True)
class Profile:
    """`u/profile[/{rid}]`; `u/profile/patch` is a merge patch (so `patch` is no rid here)."""

    rid: str | None = None
    patch: bool = False


@dataclass(frozen=True, slots=True)
class ConfigGet:
    """`u/config/get/{rid}`."""

    rid: str


@dataclass(frozen=True, slots=True)
class ConfigApplied:
    """`u/config/applied`."""


@dataclass(frozen=True, slots=True)
class ConfigReport:
    """`u/config/report[/{rid}]`."""

    rid: str | None = None


@dataclass(frozen=True, slots=True)
class LogRecords:
    """`u/log/{stream}[/{rid}]`."""

    stream: str
    rid: str | None = None


@dataclass(frozen=True, slots=True)
class Value:
    """`u/value/{name}`."""

    name: str


@dataclass(frozen=True, slots=True)
class NotifySubscribe:
    """`u/notify/sub/{rid}`."""

    rid: str


@dataclass(frozen=True, slots=True)
class NotifyUnsubscribe:
    """`u/notify/unsub/{rid}`."""

    rid: str


@dataclass(frozen=True, slots=True)
class NotifyList:
    """`u/notify/list/{rid}`."""

    rid: str


@dataclass(frozen=True, slots=True)
class CommandResult:
    """`u/cmd/{cid}/{code}`."""

    cid: str
    code: int


@dataclass(frozen=True, slots=True)
class CommandList:
    """`u/cmd/list/{rid}`."""

    rid: str


@dataclass(frozen=True, slots=True)
class EventUp:
    """`u/event/{class}`."""

    cls: str


@dataclass(frozen=True, slots=True)
class OwnerAttach:
    """`u/owner/attach/{rid}`."""

    rid: str


@dataclass(frozen=True, slots=True)
class OwnerDetach:
    """`u/owner/detach/{rid}`."""

    rid: str


Up = (
    Hello
    | Register
    | Profile
    | ConfigGet
    | ConfigApplied
    | ConfigReport
    | LogRecords
    | Value
    | NotifySubscribe
    | NotifyUnsubscribe
    | NotifyList
    | CommandResult
    | CommandList
    | EventUp
    | OwnerAttach
    | OwnerDetach
)

# Requests that are two fixed levels and an rid.
_WITH_RID: Final[Mapping[tuple[str, str], Callable[[str], Up]]] = {
    ("config", "get"): ConfigGet,
    ("config", "report"): ConfigReport,
    ("notify", "sub"): NotifySubscribe,
    ("notify", "unsub"): NotifyUnsubscribe,
    ("notify", "list"): NotifyList,
    ("cmd", "list"): CommandList,
    ("owner", "attach"): OwnerAttach,
    ("owner", "detach"): OwnerDetach,
}


def parse_up(rest: tuple[str, ...]) -> Up:  # noqa: PLR0911, PLR0912, C901  one line per row of the table in topics.md
    """The request that an endpoint's topic below `u/` stands for.

    Raises: TopicError, code 404 naming an unknown leaf, 400 for a bad id inside a known one.
    """
    match rest:
        case ("hello",):
            return Hello()
        case ("hello", rid):
            return Hello(request_id(rid))
        case ("reg", rid):
            return Register(request_id(rid))
        case ("profile",):
            return Profile()
        case ("profile", "patch"):
            return Profile(patch=True)
        case ("profile", rid):
            return Profile(request_id(rid))
        case ("config", "applied"):
            return ConfigApplied()
        case ("config", "report"):
            return ConfigReport()
        case ("log", stream):
            return LogRecords(_name(stream, "stream"))
        case ("log", stream, rid):
            return LogRecords(_name(stream, "stream"), request_id(rid))
        case ("value", name):
            return Value(_name(name, "name"))
        case ("event", cls):
            return EventUp(_name(cls, "class"))
        case (first, second, rid) if (first, second) in _WITH_RID:
            return _WITH_RID[(first, second)](request_id(rid))
        case ("cmd", cid, code) if code.isascii() and code.isdigit():
            return CommandResult(request_id(cid), int(code))
    raise TopicError(f"no such topic: u/{'/'.join(rest)[:80]}", code=Code.NOT_FOUND, key="topic")


def down(app: AppToken, ep: EndpointId, *levels: str) -> str:
    """A topic below the endpoint's `d`."""
    return "/".join((ROOT, app, ep, Side.DOWN, *levels))


def operator(app: AppToken, ep: EndpointId, what: str) -> str:
    """The operator topic `o/{what}` of an endpoint."""
    return f"{ROOT}/{app}/{ep}/{Side.OPERATOR}/{what}"


def operator_levels(app: AppToken, ep: EndpointId) -> tuple[str, ...]:
    """The levels that all operator topics of an endpoint begin with."""
    return (ROOT, app, ep, Side.OPERATOR)


def answer(app: AppToken, ep: EndpointId, rid: str, code: Code) -> str:
    """Where the request `rid` is answered."""
    return down(app, ep, "re", rid, str(int(code)))


def error(app: AppToken, ep: EndpointId, code: Code) -> str:
    """Where a refusal without an rid goes."""
    return down(app, ep, "err", str(int(code)))


def boot_request(nonce: str) -> str:
    """Where a fresh server list is asked for. Raises: TopicError for a bad nonce."""
    return f"{BOOT}/{request_id(nonce)}"


def boot_answer(nonce: str) -> str:
    """Where the fresh list is answered. Raises: TopicError for a bad nonce."""
    return f"{BOOT}/{request_id(nonce)}/re"


def boot_nonce(text: str) -> str:
    """The nonce of a topic that `boot_request` made. Raises: TopicError (404)."""
    match text.split("/"):
        case [root, boot, nonce] if f"{root}/{boot}" == BOOT:
            return request_id(nonce)
    raise TopicError(f"{text[:80]!r}: expected a1/boot/{{nonce}}", code=Code.NOT_FOUND, key="topic")


def _side(text: str) -> Side:
    try:
        return Side(text)
    except ValueError as error:
        raise TopicError(f"{text[:80]!r} is no side: u, d or o", key="side") from error


def _name(text: str, what: str) -> str:
    if not _ENDPOINT.fullmatch(text):
        raise TopicError(f"{text[:80]!r} is no {what}: 1 to 64 of A-Z a-z 0-9 . _ -", key=what)
    return text
