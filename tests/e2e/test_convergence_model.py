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
from tests.convergence.acts import ACTS
from tests.convergence.world import ENDPOINTS, World

MORE: Final = os.environ.get("AKELA_MODEL_EXAMPLES")
EXAMPLES: Final = int(MORE or 8)
STEPS: Final = 40
# A failure takes as long to tell as everything at rest is waited for, so shortening one is for whoever looks for it.
PHASES: Final = (Phase.generate, Phase.shrink) if MORE else (Phase.generate,)

chances: Final = st.randoms(use_true_random=False)
endpoints: Final = st.sampled_from(ENDPOINTS)
servers: Final = st.integers(0, 1)


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
            self.world.at_rest()
        finally:
            self.world.close()

    @rule(what=st.sampled_from(list(ACTS)), chance=chances)
    def act(self, what: str, chance: Random) -> None:
        note(str(ACTS[what](self.world, chance)))

    @rule(which=st.sampled_from((*[None] * 9, 0, 1, 2)))
    def kill_a_server(self, which: int | None) -> None:
        """kill -9; it starts again at once, and whoever needs it waits."""
        if which is not None:
            cluster = self.world.cluster
            self.world.restart([*cluster.operations, *cluster.controls][which], wait=False)

    @rule(ep=st.none() | endpoints, server=servers)
    def rest(self, ep: str | None, server: int) -> None:
        """And at rest, whoever leaves and comes back is sent nothing."""
        self.world.at_rest()
        if ep is not None and self.world.devices[ep].attached:
            self.world.in_sync_again(ep, server)


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
