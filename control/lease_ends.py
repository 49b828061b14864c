"""Ends leases: the active Control server takes values out of their layers when their time is over."""

import logging
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

from akela.contract.device_values import parts_of
from akela.documents import model
from akela.documents.changelog import StaleError
from akela.documents.model import Content
from control import layers
from control.core import Caller, Core
from control.leases import without
from control.problems import Problem

log = logging.getLogger(__name__)

AT_ONCE: Final = 200  # layers in one look
BY: Final = "control"


def end_due(core: Core, moment: datetime) -> int:
    """Take out of their layers the values whose time is over; returns in how many layers."""
    due = list(model.query("configuration", {"lease_end": {"$lte": moment}}, sort=None, limit=AT_ONCE))
    return sum(_end(core, layer, moment) for layer in due)


def look(core: Core) -> None:
    """`end_due` now."""
    ended = end_due(core, datetime.now(UTC))
    if ended:
        log.info("leases are over", extra={"layers": ended})


def _end(core: Core, layer: Content, moment: datetime) -> bool:
    body: Mapping[str, Any] = layer["body"]
    for lease in layer["leases"]:
        if lease["until"] <= moment:
            body = without(body, parts_of(lease["path"]))
    caller = Caller(BY, layer["tenant"], frozenset(), "lease")
    try:
        if body:
            layers.set_active(core, caller, layer["app"], layer["key"], dict(body), layer)
        else:
            layers.deactivate(core, caller, layer)
    except StaleError:
        return False  # somebody else changes the layer right now: the next look finds it as it is then
    except Problem as problem:  # the rest alone is no layer any more: the value stays until somebody sets another
        log.warning("a lease cannot end", extra={"layer": layer["_id"], "why": problem.detail})
        return False
    return True
