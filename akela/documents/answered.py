"""Records of requests with an Idempotency-Key: taken before the work, completed after it, gone after a day."""

from datetime import UTC, datetime, timedelta
from typing import Final

from pymongo.errors import DuplicateKeyError

from akela.documents.accounts import Answered
from akela.documents.base import Content

KEPT: Final = timedelta(hours=24)


def take(number: str, request: str, epoch: int) -> Content | None:
    """Begin a record, and give None; or the record that is there.

    One that has expired, or was begun under an older epoch and never completed, is begun anew: nobody works on it any more.
    """
    fresh = {"_id": number, "request": request, "epoch": epoch, "answer": None, "expires": datetime.now(UTC) + KEPT}
    collection = Answered.collection()
    try:
        collection.insert_one(dict(fresh))
    except DuplicateKeyError:
        found = collection.find_one({"_id": number})
        if found is None:
            return take(number, request, epoch)
        dead = found["answer"] is None and found["epoch"] < epoch and found["request"] == request
        if not (dead or found["expires"] <= datetime.now(UTC)):
            return found
        condition = {"_id": number, "epoch": found["epoch"], "request": found["request"]}
        return None if collection.replace_one(condition, fresh).matched_count else take(number, request, epoch)
    return None


def complete(number: str, answer: str) -> None:
    """Keep the answer."""
    Answered.collection().update_one({"_id": number}, {"$set": {"answer": answer}})


def forget(number: str) -> None:
    """The request was refused: its key is free again."""
    Answered.collection().delete_one({"_id": number, "answer": None})
