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
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule, run_state_machine_as_test

from tests.cluster import Cluster
from tests.convergence import choose
from tests.convergence.world import ENDPOINTS, Place, World

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

    @precondition(lambda self: len(self.world.fleet.groups) < len(choose.GROUPS))
    @rule(chance=chances)
    def make_group(self, chance: Random) -> None:
        name = chance.choice([name for name in choose.GROUPS if name not in self.world.fleet.groups])
        self.world.make_group(name, self._free_weight(chance), choose.a_filter(chance, ENDPOINTS))

    @precondition(lambda self: self.world.fleet.groups)
    @rule(chance=chances, weight=st.booleans(), filter_=st.booleans())
    def change_group(self, chance: Random, weight: bool, filter_: bool) -> None:
        self.world.change_group(
            chance.choice(sorted(self.world.fleet.groups)),
            self._free_weight(chance) if weight else None,
            choose.a_filter(chance, ENDPOINTS) if filter_ else None,
        )

    @precondition(lambda self: self.world.fleet.groups)
    @rule(chance=chances)
    def delete_group(self, chance: Random) -> None:
        self.world.delete_group(chance.choice(sorted(self.world.fleet.groups)))

    @rule(chance=chances)
    def set_layer(self, chance: Random) -> None:
        self.world.set_layer(self._place(chance), choose.a_layer(chance))

    @rule(chance=chances)
    def save_draft(self, chance: Random) -> None:
        self.world.save_draft(self._place(chance), choose.a_layer(chance))

    @precondition(lambda self: self._changeable())
    @rule(chance=chances)
    def activate(self, chance: Random) -> None:
        """A draft, or an old version again."""
        self.world.activate(*chance.choice(self._changeable()))

    @precondition(lambda self: self._active())
    @rule(chance=chances)
    def deactivate(self, chance: Random) -> None:
        self.world.deactivate(chance.choice(self._active()))

    @precondition(lambda self: self.world.fleet.layers)
    @rule(chance=chances)
    def delete_layer(self, chance: Random) -> None:
        self.world.delete_layer(chance.choice(sorted(self.world.fleet.layers)))

    @rule(ep=endpoints, chance=chances)
    def set_server_profile(self, ep: str, chance: Random) -> None:
        self.world.set_server_profile(ep, choose.a_server_profile(chance))

    @rule(ep=endpoints, chance=chances)
    def set_owner(self, ep: str, chance: Random) -> None:
        self.world.set_owner(ep, choose.an_owner(chance))

    @rule(ep=endpoints, server=servers, lost=st.sampled_from((None, None, "nothing", "wrong")), chance=chances)
    def attach(self, ep: str, server: int, lost: str | None, chance: Random) -> None:
        versions = chance.choice((None, *({"config": version} for version in choose.VERSIONS)))
        self.world.attach(ep, server, lost=lost, versions=versions)

    @rule(ep=endpoints, server=servers, chance=chances)
    def set_profile(self, ep: str, server: int, chance: Random) -> None:
        self.world.set_profile(ep, choose.a_profile(chance), server)

    @rule(ep=endpoints)
    def listen(self, ep: str) -> None:
        self.world.listen(ep)

    @rule(ep=endpoints)
    def drop(self, ep: str) -> None:
        self.world.drop(ep)

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

    def _free_weight(self, chance: Random) -> int:
        taken = {weight for weight, _ in self.world.fleet.groups.values()}
        return chance.choice([weight for weight in range(1, choose.MAX_WEIGHT) if weight not in taken])

    def _place(self, chance: Random) -> Place:
        groups = [("group", name) for name in sorted(self.world.fleet.groups)]
        others = [("owner", chance.choice(choose.OWNERS)), ("endpoint", chance.choice(ENDPOINTS))]
        return chance.choice([("all", "-"), *groups, *others])

    def _changeable(self) -> list[tuple[Place, int]]:
        layers = self.world.fleet.layers.items()
        return sorted((place, number) for place, layer in layers for number in layer.versions if number != layer.active)

    def _active(self) -> list[Place]:
        return sorted(place for place, layer in self.world.fleet.layers.items() if layer.active is not None)


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
