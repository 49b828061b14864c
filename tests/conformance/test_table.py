"""docs/conformance.md is complete and up to date."""

import pytest

from tests.conformance.statements import PAGE, WITHOUT_TEST, page, shown, statements


@pytest.mark.parametrize("version", ["311", "5"])
def test_every_statement_has_a_test_or_a_reason(version: str) -> None:
    known = set(statements(version))
    assert known - set(shown(version)) - set(WITHOUT_TEST[version]) == set()
    assert set(shown(version)) <= known
    assert not set(WITHOUT_TEST[version]) & set(shown(version))


def test_the_page_is_up_to_date() -> None:
    assert PAGE.read_text() == page(), "write it anew with: python -m tests.conformance.statements"
