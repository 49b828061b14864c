"""How far a fleet has converged: counts, times, and who lags behind. Read by batches, remembered for as long as the reading took."""

import threading
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from math import ceil
from typing import Any, Final

from akela.documents import members
from akela.documents.base import Content
from control.convergence import Facts, State, facts_of, state_of
from control.core import now
from control.stored_groups import digest_of
from control.targets import Targets

WANTED: Final = dict.fromkeys(
    ("ep", "groups", "owner", "versions", "config", "presence", "revoked", "device", "decided"), 1
)
BATCH: Final = 1000
KEPT_S: Final = 1.0  # at least
REMEMBERED: Final = 64  # summaries
COUNTED: Final = tuple(state for state in State if state not in (State.REVOKED, State.UNCONFIGURED))


@dataclass(frozen=True, slots=True)
class Question:
    """What part of an application: of a group, of those whose target is `config`."""

    app: str
    group: str | None = None
    config: str | None = None


@dataclass(slots=True)
class _Answer:
    """A summary under way or made; the lock has one caller at a time make it."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    value: Content | None = None
    good_until_s: float = 0.0


class Summaries:
    """Summaries of one Control server."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: dict[Question, _Answer] = {}

    def of(self, question: Question, servers: Mapping[str, Any]) -> Content:
        """The summary, perhaps one that was made a moment ago. Raises: Problem 409 without a configuration schema."""
        with self._lock:
            if len(self._known) > REMEMBERED:
                self._known.clear()
            answer = self._known.setdefault(question, _Answer())
        with answer.lock:
            began_s = time.monotonic()
            if answer.value is None or began_s >= answer.good_until_s:
                answer.value = summarize(question, servers)
                ended_s = time.monotonic()
                answer.good_until_s = ended_s + max(KEPT_S, ended_s - began_s)
            return answer.value


SUMMARIES: Final = Summaries()


def summarize(question: Question, servers: Mapping[str, Any]) -> Content:
    """Look at every endpoint that is asked about."""
    moment = now()
    targets = Targets.of_all(question.app)
    counts: Counter[State] = Counter()
    seconds: list[float] = []
    where = members.members_of(question.group)
    for batch in members.batches(question.app, BATCH, WANTED, where):
        for endpoint in batch:
            facts = _asked(question, targets, endpoint, servers)
            if facts is None:
                continue
            state = state_of(facts)
            counts[state] += 1
            if state is State.CONVERGED and (spent_s := _spent_s(facts)) is not None:
                seconds.append(spent_s)
    total = sum(counts[state] for state in COUNTED)
    shown: Content = {state.value.replace("-", "_"): counts[state] for state in COUNTED}
    percent = 100.0 if total == 0 else counts[State.CONVERGED] * 1000 // total / 10
    return {
        "as_of": moment, "evaluating": _evaluating(question.app), "endpoints": total, "percent": percent,
        "revoked": counts[State.REVOKED], "seconds": _percentiles(seconds),
    } | shown  # fmt: skip


def straggler(question: Question, targets: Targets, endpoint: Content, servers: Mapping[str, Any]) -> Content | None:
    """The row of an endpoint that has not converged, or None."""
    facts = _asked(question, targets, endpoint, servers)
    if facts is None:
        return None
    state = state_of(facts)
    if state in (State.CONVERGED, State.REVOKED):
        return None
    about = facts.about_target(state.value)
    refused = facts.about_target("refused") or {}
    since = (about or facts.about_target("assigned") or {}).get("at") or facts.seen
    reason = refused.get("reason") or facts.unservable or (about or {}).get("reason")
    return {
        "endpoint": endpoint["ep"], "state": state.value, "code": refused.get("code"), "key": refused.get("key"),
        "reason": reason, "since": since, "online": facts.server is not None,
    }  # fmt: skip


def _asked(question: Question, targets: Targets, endpoint: Content, servers: Mapping[str, Any]) -> Facts | None:
    target = targets.of(endpoint, endpoint.get("groups") or ())
    if question.config is not None and target.id != question.config:
        return None
    return facts_of(endpoint, target.id, target.reason, servers)


def _spent_s(facts: Facts) -> float | None:
    """From assigned to applied; None when the ledger does not say."""
    assigned, applied = facts.about_target("assigned"), facts.about_target("applied")
    if assigned is None or applied is None:
        return None
    begun, ended = assigned.get("at"), applied.get("at")
    if not isinstance(begun, datetime) or not isinstance(ended, datetime):
        return None
    return max(0.0, (ended - begun).total_seconds())


def _percentiles(seconds: Sequence[float]) -> Content:
    """By nearest rank."""
    ranked = sorted(seconds)

    def at(share: float) -> float | None:
        return round(ranked[max(0, ceil(share * len(ranked)) - 1)], 3) if ranked else None

    return {"p50": at(0.5), "p95": at(0.95), "max": at(1.0)}


def _evaluating(app: str) -> bool:
    """Whether the stored groups may still differ from what the filters say."""
    found = members.evaluation(app)
    documents = members.groups_of(app)
    if found is None:
        return bool(documents)
    return bool(found["state"] != "done" or found["filters"] != digest_of(documents))
