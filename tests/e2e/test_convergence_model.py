"""Whatever operators, endpoints and crashes do, and in whatever order: at rest each endpoint holds what a slow model computes.

Hypothesis makes up sequences of acts on real processes and shortens one that fails. `AKELA_MODEL_EXAMPLES=200` tries other and
more sequences than `make test` does.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Final

import pytest
from hypothesis import HealthCheck, Phase, note, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule, run_state_machine_as_test

from tests.cluster import Cluster
from tests.convergence.acts import ACTS, Act
from tests.convergence.world import ENDPOINTS, World

MORE: Final = os.environ.get("AKELA_MODEL_EXAMPLES")
EXAMPLES: Final = int(MORE or 5)
STEPS: Final = 40
# A failure takes as long to tell as everything at rest is waited for, so shortening one is for whoever looks for it.
PHASES: Final = (Phase.generate, Phase.shrink) if MORE else (Phase.generate,)

chances: Final = st.randoms(use_true_random=False)


@contextmanager
def fleet(directory: Path) -> Iterator[Callable[[], World]]:
    """A cluster on which one application after the other is made."""
    with Cluster(directory, None, controls=1, operations=2) as cluster:
        client = cluster.signed_in()
        yield lambda: World(cluster, client)


class Convergence(RuleBasedStateMachine):
    """One application's life."""

    new: Callable[[], World]

    def __init__(self) -> None:
        super().__init__()
        self.world = self.new()

    def teardown(self) -> None:
        try:
            assert self.world.wrong_at_rest() == []
        finally:
            self.world.close()

    # One rule: of several, Hypothesis leaves out some in each sequence, and most sequences would be short of acts.
    @rule(what=st.sampled_from([*ACTS, *ACTS, "kill", "rest", "rest"]), chance=chances)
    def act(self, what: str, chance: Random) -> None:
        more: dict[str, Act] = {"kill": self._kill, "rest": self._rest}
        note(str({**ACTS, **more}[what](self.world, chance)))

    def _kill(self, world: World, chance: Random) -> str:
        """kill -9; it starts again at once, and whoever needs it waits."""
        server = chance.choice([*world.cluster.operations, *world.cluster.controls])
        world.restart(server, wait=False)
        return f"kill {server.name}"

    def _rest(self, world: World, chance: Random) -> str:
        """And at rest, whoever leaves and comes back is sent nothing."""
        assert world.wrong_at_rest() == []
        attached = [ep for ep in ENDPOINTS if world.devices[ep].attached]
        for ep in attached[:1]:
            world.in_sync_again(ep, chance.randrange(2))
        return "at rest"


@pytest.mark.timeout(600)
def test_at_rest_every_endpoint_holds_what_the_model_computes(tmp_path: Path) -> None:
    with fleet(tmp_path) as new:

        class OnThisCluster(Convergence):
            pass

        OnThisCluster.new = staticmethod(new)
        run_state_machine_as_test(
            OnThisCluster,
            settings=settings(
                max_examples=EXAMPLES,
                stateful_step_count=STEPS,
                deadline=None,
                phases=PHASES,
                derandomize=MORE is None,
                database=None,
                suppress_health_check=list(HealthCheck),
            ),
        )
