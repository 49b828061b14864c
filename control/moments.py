"""Times in queries: written out with their zone (RFC 3339), not the numbers of seconds that pydantic would take, too."""

import re
from typing import Annotated, Final

from pydantic import AwareDatetime, BeforeValidator

_WRITTEN: Final = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)", re.IGNORECASE)


def _written_out(value: object) -> object:
    if isinstance(value, str) and not _WRITTEN.fullmatch(value):
        raise ValueError("a time is written out with its zone: 2026-01-31T12:00:00Z")
    return value


Moment = Annotated[AwareDatetime | None, BeforeValidator(_written_out)]
