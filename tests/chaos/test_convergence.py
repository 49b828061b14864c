"""A long random life of a fleet in which Operations servers, Control servers and the database are killed: at rest everybody is right.

`AKELA_CHAOS_STEPS=1000` is the whole, `AKELA_CHAOS_SEED` another life. A failure is told with all that came before it.
"""

import os
from pathlib import Path
from random import Random
from typing import Final

import pytest

from tests.cluster import Cluster
from tests.convergence.acts import ACTS
from tests.convergence.world import World

STEPS: Final = int(os.environ.get("AKELA_CHAOS_STEPS", "60"))
SEED: Final = int(os.environ.get("AKELA_CHAOS_SEED", "4"))
KILL_EVERY: Final = 10  # steps; who is killed starts again at once, and the steps go on meanwhile
REST_EVERY: Final = 20

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(240 + 5 * STEPS)]


def test_everybody_is_right_at_rest_whoever_was_killed(tmp_path: Path) -> None:
    chance = Random(SEED)
    with Cluster(tmp_path, None, controls=2, operations=2) as cluster:
        world = World(cluster, cluster.signed_in())
        try:
            for number in range(1, STEPS + 1):
                print(f"{number}:", ACTS[chance.choice(list(ACTS))](world, chance))  # noqa: T201  shown when it fails
                if number % KILL_EVERY == 0:
                    print("killed:", kill(world, chance))  # noqa: T201
                if number % REST_EVERY == 0:
                    assert world.wrong_at_rest() == []
            assert world.wrong_at_rest() == []
        finally:
            world.close()


def kill(world: World, chance: Random) -> str:
    """kill -9 a server or the database, and start it again; gives whom."""
    servers = [*world.cluster.operations, *world.cluster.controls]
    which = chance.randrange(len(servers) + 1)
    if which == len(servers):
        world.restart_database()
        return "the database"
    world.restart(servers[which], wait=False)
    return servers[which].name
