"""What a filter would match: asked of all endpoints of an application, or of a sample when they are many."""

import time
from collections import Counter
from typing import Final

from akela.documents import members
from akela.documents.base import Content
from akela.membership import Group, Groups, subject

SAMPLE: Final = 20_000  # endpoints looked at; of more than these, so many by chance
BATCH: Final = 1000
EXAMPLES: Final = 10
MAX_S: Final = 3.0
NAME: Final = "preview"


def preview(app: str, text: str) -> Content:
    """How many of the stored endpoints the filter matches, some of them, and why it fails for others."""
    groups = Groups([Group.of({"name": NAME, "weight": 1, "filter": text})])
    wanted = members.projection(groups.uses)
    total = members.count(app)
    sampled = members.sample(app, SAMPLE, wanted) if total > SAMPLE else None
    matched, looked_at = 0, 0
    examples: list[str] = []
    reasons: Counter[str] = Counter()
    failing: dict[str, str] = {}
    deadline_s = time.monotonic() + MAX_S
    for batch in [sampled] if sampled is not None else members.batches(app, BATCH, wanted):
        for endpoint in batch:
            found = groups.of(subject(endpoint))
            if found.groups:
                matched += 1
                if len(examples) < EXAMPLES:
                    examples.append(endpoint["ep"])
            elif found.errors:
                reasons[found.errors[NAME]] += 1
                failing.setdefault(found.errors[NAME], endpoint["ep"])
        looked_at += len(batch)
        if time.monotonic() > deadline_s:
            break
    rows = [{"reason": reason, "endpoints": n, "example": failing[reason]} for reason, n in reasons.most_common(10)]
    return {
        "matched": matched, "looked_at": looked_at, "total": total, "sampled": looked_at < total,
        "examples": sorted(examples), "errors": rows,
    }  # fmt: skip
