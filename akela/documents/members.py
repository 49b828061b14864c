"""Stored endpoints as the evaluation of groups reads and writes them: in batches by id, only what filters look at, only what differs."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

from pymongo.errors import DuplicateKeyError

from akela.documents.base import Content
from akela.documents.definitions import Group
from akela.documents.fleet import Endpoint, Evaluation

STORED_AS: Final = {
    "profile": "profile",
    "server": "server_profile",
    "ep": "ep",
    "owner": "owner",
    "versions": "versions",
}

BATCH: Final = 1000
ANY: Final[Mapping[str, Any]] = {}
Stages = list[Mapping[str, Any]]


def groups_of(app: str) -> list[Content]:
    """An application's groups by name: name, weight, filter."""
    found = Group.collection().find({"app": app}, {"name": 1, "weight": 1, "filter": 1})
    return sorted(found, key=lambda group: str(group["name"]))


def filters() -> Iterator[Content]:
    """The groups of all applications: app, name, filter."""
    yield from Group.collection().find({}, {"app": 1, "name": 1, "filter": 1})


def members_of(group: str | None) -> Content:
    """The condition that stored endpoints are in `group`; of nobody in particular for None and `all`.

    `$in` because the embedded database compares an indexed array as a whole (docs/decisions/0065).
    """
    return {} if group in (None, "all") else {"groups": {"$in": [group]}}


def projection(variables: Iterable[str]) -> Mapping[str, int]:
    """What to read of an endpoint for filters that speak of `variables`."""
    return dict.fromkeys(("ep", "groups", "group_errors", *(STORED_AS[name] for name in variables)), 1)


def batch(
    app: str, after: str | None, limit: int, wanted: Mapping[str, int], where: Mapping[str, Any] = ANY
) -> list[Content]:
    """Up to `limit` endpoints of an application that fit `where`, behind `after`, by id: the fields `wanted`.

    As an aggregation, which the embedded database reads three times as fast as the same `find` (docs/decisions/0065).
    """
    bound = {} if after is None else {"ep": {"$gt": after}}
    stages: Stages = [
        {"$match": {"app": app, **where, **bound}},
        {"$sort": {"ep": 1}},
        {"$limit": limit},
        {"$project": dict(wanted)},
    ]
    return _aggregated(stages, limit)


def batches(
    app: str, size: int, wanted: Mapping[str, int], where: Mapping[str, Any] = ANY, *, after: str | None = None
) -> Iterator[list[Content]]:
    """All endpoints of an application that fit, by id, behind `after`; the next batch is read while the caller works on one."""
    with ThreadPoolExecutor(1) as reader:
        ahead = reader.submit(batch, app, after, size, wanted, where)
        while rows := ahead.result():
            if len(rows) < size:
                yield rows
                return
            ahead = reader.submit(batch, app, rows[-1]["ep"], size, wanted, where)
            yield rows


def sample(app: str, size: int, wanted: Mapping[str, int]) -> list[Content]:
    """`size` of an application's endpoints by chance, each at most once."""
    stages: Stages = [{"$match": {"app": app}}, {"$sample": {"size": size}}, {"$project": dict(wanted)}]
    return _aggregated(stages, size)


def failing(app: str, after: str | None, limit: int) -> list[Content]:
    """Up to `limit` endpoints behind `after` for which filters failed, or had failed: `ep`, `group_errors`."""
    bound = {} if after is None else {"ep": {"$gt": after}}
    condition = {"app": app, "group_errors": {"$exists": True}} | bound
    return list(Endpoint.collection().find(condition, {"ep": 1, "group_errors": 1}).sort("ep", 1).limit(limit))


def these(app: str, eps: Sequence[str], wanted: Mapping[str, int]) -> list[Content]:
    """The endpoints among `eps` that are there."""
    keys = [f"{app}/{ep}" for ep in eps]
    return list(Endpoint.collection().find({"_id": {"$in": keys}}, dict(wanted)).batch_size(max(1, len(eps))))


def count(app: str) -> int:
    """How many endpoints an application has."""
    found = _aggregated([{"$match": {"app": app}}, {"$group": {"_id": None, "n": {"$sum": 1}}}], 1)
    return next((int(row["n"]) for row in found), 0)


def occurring(app: str) -> list[tuple[str, ...]]:
    """The different `groups` of an application's endpoints."""
    found = _aggregated([{"$match": {"app": app}}, {"$group": {"_id": "$groups", "n": {"$sum": 1}}}], BATCH)
    return [_names(row["_id"]) for row in found]


def _names(stored: Any) -> tuple[str, ...]:
    """An array as a group's key: the embedded database gives its text."""
    value = json.loads(stored) if isinstance(stored, str) else stored
    return tuple(map(str, value or ()))


def write(app: str, eps: Sequence[str], groups: Sequence[str], errors: Mapping[str, str] | None) -> None:
    """Store a membership for the endpoints `eps`. `errors` None: what is stored of them stays."""
    fields: Content = {"groups": list(groups)} | ({} if errors is None else {"group_errors": dict(errors)})
    Endpoint.collection().update_many({"_id": {"$in": [f"{app}/{ep}" for ep in eps]}}, {"$set": fields})


def evaluation(app: str) -> Content | None:
    """How far the evaluation of an application is, or None when there never was one."""
    return Evaluation.collection().find_one({"_id": app})


def evaluations() -> Iterator[Content]:
    """The evaluations of all applications."""
    yield from Evaluation.collection().find({})


def save_evaluation(state: Content) -> bool:
    """Keep how far an evaluation is; returns False when a newer leader has written."""
    collection = Evaluation.collection()
    condition = {"_id": state["_id"], "epoch": {"$lte": state["epoch"]}}
    if collection.replace_one(condition, state).matched_count:
        return True
    try:
        collection.insert_one(dict(state))
    except DuplicateKeyError:
        return False
    return True


def forget_evaluations(apps: Iterable[str]) -> None:
    """These applications are no more."""
    for app in apps:
        Evaluation.collection().delete_one({"_id": app})


def _aggregated(stages: Stages, size: int) -> list[Content]:
    return list(Endpoint.collection().aggregate(stages, batchSize=size))
