"""What the active server remembers is what is stored, whoever reads while somebody writes."""

from collections.abc import Callable
from typing import Any

import pytest

from akela.documents import model
from control.remembered import Remembered


class Stored:
    """Documents that can be written while somebody reads them."""

    def __init__(self) -> None:
        self.documents: dict[str, dict[str, Any]] = {"a": {"_id": "a", "n": 1}}
        self.reads = 0
        self.meanwhile: Callable[[], None] = lambda: None

    def find(self, kind: str, target: str) -> dict[str, Any] | None:
        self.reads += 1
        found = self.documents.get(target)
        self.meanwhile()
        return found


@pytest.fixture
def stored(monkeypatch: pytest.MonkeyPatch) -> Stored:
    made = Stored()
    monkeypatch.setattr(model, "find", made.find)
    return made


def test_a_document_is_read_once_and_again_after_a_write(stored: Stored) -> None:
    remembered = Remembered(lambda: True)
    assert [remembered.find("token", "a") for _ in range(3)] == [{"_id": "a", "n": 1}] * 3
    assert stored.reads == 1
    remembered.forget("token", "a")
    stored.documents["a"] = {"_id": "a", "n": 2}
    remembered.forget("token", "a")
    assert remembered.find("token", "a") == {"_id": "a", "n": 2}


def test_what_is_not_there_is_asked_for_each_time(stored: Stored) -> None:
    remembered = Remembered(lambda: True)
    assert [remembered.find("token", "b") for _ in range(2)] == [None, None]
    stored.documents["b"] = {"_id": "b"}
    assert remembered.find("token", "b") == {"_id": "b"}


def test_a_read_that_a_write_overlapped_is_not_remembered(stored: Stored) -> None:
    remembered = Remembered(lambda: True)

    def write() -> None:
        stored.documents["a"] = {"_id": "a", "n": 2}
        remembered.forget("token", "a")

    stored.meanwhile = write
    assert remembered.find("token", "a") == {"_id": "a", "n": 1}
    stored.meanwhile = lambda: None
    assert remembered.find("token", "a") == {"_id": "a", "n": 2}


def test_who_is_not_sure_to_be_active_remembers_nothing(stored: Stored) -> None:
    sure = True
    remembered = Remembered(lambda: sure)
    remembered.find("token", "a")
    sure = False
    stored.documents["a"] = {"_id": "a", "n": 2}
    assert remembered.find("token", "a") == {"_id": "a", "n": 2}
    sure = True
    remembered.forget_all()  # as a server does that becomes active
    assert remembered.find("token", "a") == {"_id": "a", "n": 2}


def test_an_answer_is_the_caller_s_own(stored: Stored) -> None:
    remembered = Remembered(lambda: True)
    first = remembered.find("token", "a")
    assert first is not None
    first["n"] = 99
    assert remembered.find("token", "a") == {"_id": "a", "n": 1}
