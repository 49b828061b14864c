"""A group changes, and Control brings the stored groups of endpoints that are not attached to its new filter."""

import asyncio
import time
from typing import Any, Final

from akela.client import ApiError
from bench.convergence.fleet import PATIENCE_S
from bench.convergence.rig import Rig
from bench.errors import NoResult

LOOK_S: Final = 0.02


async def evaluated(rig: Rig, digit: int) -> float:
    """Endpoints evaluated a second, from Control's answer to a new group until all are done. Raises: NoResult."""
    group = f"ends-with-{digit}"
    body = {"name": group, "weight": 1 + digit, "filter": f'ep.endsWith("{digit}")'}
    await asyncio.to_thread(rig.client.create, f"{rig.path}/groups", body)
    began_s = time.perf_counter()
    while (found := await _evaluation(rig, group))["state"] != "done":
        if time.perf_counter() - began_s > PATIENCE_S:
            raise NoResult(f"{found['done']} of {found['total']} endpoints were evaluated after {PATIENCE_S:.0f} s")
        await asyncio.sleep(LOOK_S)
    took_s = time.perf_counter() - began_s
    if found["matched"] * 10 != found["total"]:
        raise NoResult(f"a filter for one in ten matched {found['matched']} of {found['total']}")
    return float(found["total"] / took_s)


async def _evaluation(rig: Rig, group: str) -> Any:
    try:
        return await asyncio.to_thread(rig.client.get, f"{rig.path}/groups/{group}/evaluation")
    except ApiError as error:
        raise NoResult(f"Control tells nothing of the evaluation: {error}") from error
