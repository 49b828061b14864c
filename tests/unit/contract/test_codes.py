"""One table of codes for every surface."""

from akela.contract.codes import Code


def test_every_code_has_its_meaning_everywhere() -> None:
    for code in Code:
        assert code.meaning.phrase
        assert (code.meaning.reason < 0x80) == code.ok
        assert not (code.ok and code.meaning.retry)
