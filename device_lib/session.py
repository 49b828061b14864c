"""What an endpoint says and makes of what it hears. Sans-io: messages in, steps out; no socket, clock or thread.

On every connection it says hello with the ids of what it holds; the server then sends only what differs. A configuration is taken
when its content has the id that it claims: a delta whose base is unknown, or whose result has another id, is answered by
asking for the whole.
"""

import itertools
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from akela.contract import topics
from akela.contract.canonical import config_id
from akela.contract.codes import Code
from akela.contract.delta import apply
from akela.contract.device_values import ValuesReport
from akela.contract.errors import ContractError, PayloadError
from akela.contract.payloads import AppliedReport, ConfigPush, ErrorPayload, HelloPayload, decode_json
from device_lib.store import EndpointState

SDK: Final = "akela-python 0.1"
DOWN: Final = topics.ME_PREFIX + "d/"


@dataclass(frozen=True, slots=True)
class Publish:
    """Publish at QoS 1."""

    topic: str
    payload: bytes


@dataclass(frozen=True, slots=True)
class NewConfiguration:
    """Hand a configuration to the application, then call `applied`."""

    id: str
    value: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Registered:
    """The endpoint has a credential of its own now: keep the state before anything else."""

    credential: str


@dataclass(frozen=True, slots=True)
class Answered:
    """The answer to a request of ours, or (without an rid) a refusal of something that had none."""

    rid: str | None
    code: int
    body: Mapping[str, Any]


Step = Publish | NewConfiguration | Registered | Answered


class EndpointSession:
    """One endpoint's side of the contract. `state` is what it holds; it changes as things are applied."""

    def __init__(
        self, state: EndpointState, *, profile: Mapping[str, Any] | None = None, register: bool = False
    ) -> None:
        self.state = state
        self._profile = None if profile is None else dict(profile)
        self._register = register
        self._numbers = itertools.count(1)
        self._registration: str | None = None

    def connected(self) -> list[Step]:
        """What to say first on a connection, after the subscription."""
        steps: list[Step] = []
        if self._register and self.state.credential is None:
            self._registration = self.request_id()
            steps.append(Publish(_up(f"reg/{self._registration}"), b""))
        hello = HelloPayload(sdk=SDK, profile=self.state.profile_id, config=self.state.config_id)
        steps.append(Publish(_up(f"hello/{self.request_id()}"), _json(hello.to_json())))
        if self._profile is not None and config_id(self._profile) != self.state.profile_id:
            steps.append(self._send_profile())
        return steps

    def profile(self, profile: Mapping[str, Any]) -> list[Step]:
        """Send a new profile."""
        self._profile = dict(profile)
        return [self._send_profile()]

    def applied(self, number: str, value: Mapping[str, Any], changed: Mapping[str, Any] | None = None) -> list[Step]:
        """The application runs this configuration; `changed`: the leaves that it set otherwise."""
        self.state.config_id, self.state.config = number, dict(value)
        return [Publish(_up("config/applied"), _json(AppliedReport(number, 200, values=changed or None).to_json()))]

    def report(self, values: Mapping[str, Any], until: float | datetime | None = None) -> Publish:
        """The device set these leaves by itself."""
        return Publish(_up(f"config/report/{self.request_id()}"), _json(ValuesReport.to_json(values, until)))

    def refused(self, number: str, reason: str, key: str | None = None) -> list[Step]:
        """The application cannot run this configuration."""
        return [Publish(_up("config/applied"), _json(AppliedReport(number, 422, key, reason[:200]).to_json()))]

    def received(self, topic: str, payload: bytes) -> list[Step]:
        """A message came; one that cannot be read is passed over: the server is not the endpoint's to correct."""
        levels = topic.removeprefix(DOWN).split("/")
        try:
            return list(self._steps(levels, payload))
        except ContractError:
            return []

    def request_id(self) -> str:
        """An id for the next request."""
        return f"r{next(self._numbers)}"

    def _steps(self, levels: list[str], payload: bytes) -> Iterator[Step]:
        match levels:
            case ["config"]:
                yield self._configured(ConfigPush.from_json(decode_json(payload)))
            case ["re", rid, code] if code.isdigit():
                yield from self._answer(rid, int(code), decode_json(payload) if payload else {})
            case ["err", code] if code.isdigit():
                error = ErrorPayload.from_json(decode_json(payload))
                yield Answered(None, int(code), {"plane": error.plane, "reason": error.reason, "key": error.key})

    def _answer(self, rid: str, code: int, body: Any) -> Iterator[Step]:
        if not isinstance(body, Mapping):
            raise PayloadError("an answer is a JSON object")
        yield Answered(rid, code, body)
        credential, profile, wants = body.get("credential"), body.get("profile"), body.get("wants")
        if rid == self._registration and code == Code.CREATED and isinstance(credential, str):
            self.state.credential = credential
            yield Registered(credential)
        elif code == Code.OK and "full" in body and "id" in body:
            yield self._configured(ConfigPush.from_json(body))
        elif code == Code.OK and self._profile is not None:
            if isinstance(profile, str) and profile == config_id(self._profile):
                self.state.profile_id = profile
            elif isinstance(wants, list) and "profile" in wants:
                yield self._send_profile()

    def _configured(self, push: ConfigPush) -> Step:
        if push.full is not None:
            value: Mapping[str, Any] = push.full
        elif push.base == self.state.config_id:
            value = apply(self.state.config, push.delta)
        else:
            return self._ask_whole()
        if config_id(value) != push.id:
            return self._ask_whole()
        return NewConfiguration(push.id, value)

    def _ask_whole(self) -> Step:
        return Publish(_up(f"config/get/{self.request_id()}"), b"")

    def _send_profile(self) -> Step:
        return Publish(_up(f"profile/{self.request_id()}"), _json(self._profile))


def _up(rest: str) -> str:
    return f"{topics.ME_PREFIX}u/{rest}"


def _json(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()
