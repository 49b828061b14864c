"""Keeps every attached endpoint in its groups and its cohort, and brings those whom a change concerns what they now lack.

Whatever changed, the same three questions follow: which groups is the endpoint in, which cohort does that make, does it hold what the
cohort should have. The first is answered from what is in memory, never from the stored `groups`, which are an index for queries and
written only where they differ. The last is `ConfigurationPlane.bring`, which alone decides what is sent.

Work for many endpoints is done in slices of the loop, so that a large fleet never stops the others' messages.
"""

import asyncio
import time
from collections.abc import Iterator, Mapping
from typing import Any, Final, Protocol

from akela.membership import Membership
from operations.attached import Attached
from operations.catalog import Catalog
from operations.cohorts import EVERYBODY, Cohort, Cohorts
from operations.downlink import Downlink
from operations.effective import Configurations, Unservable
from operations.endpoint_writer import EndpointWriter
from operations.principals import NOTHING, Endpoint

SLICE_S: Final = 0.005  # of the loop's time, then the others have their turn


class Bringer(Protocol):
    """Who sends configurations: `operations.plugins.configuration`."""

    def bring(self, endpoint: Endpoint) -> None:
        """Send the endpoint its configuration if it lacks it."""
        ...

    def again(self, endpoint: Endpoint) -> None:
        """The same, also if it was refused or held before."""
        ...


class Convergence:
    """Hears of endpoints (`operations.attached`), of changes (`operations.applied_changes`), and of what endpoints say of themselves."""

    def __init__(
        self,
        catalog: Catalog,
        configurations: Configurations,
        attached: Attached,
        writer: EndpointWriter,
        downlink: Downlink,
        bringer: Bringer,
    ) -> None:
        self._catalog = catalog
        self._configurations = configurations
        self._attached = attached
        self._writer = writer
        self._downlink = downlink
        self._bring = bringer.bring
        self.again = bringer.again  # an operator asks to try again
        self.cohorts = Cohorts(catalog)
        self._apps: dict[str, None] = {}  # whose endpoints' groups are to be looked at anew
        self._dirty: dict[Cohort, None] = {}  # whose configuration may have changed
        self._worker: asyncio.Task[None] | None = None

    def on_attached(self, endpoint: Endpoint) -> None:
        """Find the endpoint's groups and cohort; what is stored of the groups is corrected where it is not true."""
        if not endpoint.limited:
            self._store(endpoint, self.judge(endpoint))

    def on_detached(self, endpoint: Endpoint) -> None:
        """Nothing concerns it any more."""
        self.cohorts.remove(endpoint)

    def on_reachable(self, endpoint: Endpoint) -> None:
        """Send the endpoint's configuration if it lacks it."""
        self._bring(endpoint)

    def judge(self, endpoint: Endpoint) -> Mapping[str, Any]:
        """Find the endpoint's groups and cohort from what is known of it now; gives the fields that are to be stored, if any."""
        if endpoint.limited or endpoint.session is None:
            return NOTHING
        found = self._membership(endpoint)
        same = found.groups == endpoint.groups and found.errors == endpoint.group_errors
        endpoint.groups, endpoint.group_errors = found.groups, found.errors
        self.cohorts.put(endpoint)
        if same:
            return NOTHING
        told = {"groups": list(found.groups), "errors": dict(found.errors)}
        self._downlink.observe(endpoint.app, endpoint.ep, "groups", told)
        return {"groups": told["groups"], "group_errors": told["errors"]}

    def said(self, endpoint: Endpoint) -> None:
        """What is known of the endpoint has changed: judge anew, store, and bring it what it lacks."""
        self._store(endpoint, self.judge(endpoint))
        self._bring(endpoint)

    def layer_changed(self, app: str, place: str) -> None:
        """The layer at `place` (`{scope}:{target}`) has come, changed or gone."""
        scope, _, target = place.partition(":")
        if scope == "endpoint":
            endpoint = self._attached.find(app, target)
            if endpoint is not None:
                self.said(endpoint)
        self._touch(app, place)

    def schema_changed(self, app: str) -> None:
        """The application's configuration schema has a new version."""
        self._touch(app, EVERYBODY)

    def group_changed(self, app: str, name: str, *, filter_changed: bool) -> None:
        """A group has come, changed or gone."""
        self._touch(app, f"group:{name}")
        if filter_changed:
            self._apps[app] = None
            self._work()

    def reloaded(self) -> None:
        """Everything may have changed."""
        for app in self._attached.applications():
            self._apps[app] = None
            self._touch(app, EVERYBODY)

    def _membership(self, endpoint: Endpoint) -> Membership:
        entry = self._catalog.entry(endpoint.app)
        if entry is None:
            return Membership((), NOTHING)
        return entry.groups.of(
            {
                "profile": endpoint.profile,
                "server": endpoint.server_profile,
                "ep": endpoint.ep,
                "owner": endpoint.owner,
                "versions": endpoint.versions,
            }
        )

    def _store(self, endpoint: Endpoint, fields: Mapping[str, Any]) -> None:
        if fields:
            self._writer.set(endpoint.key, fields)

    def _touch(self, app: str, place: str) -> None:
        for cohort in self.cohorts.concerned(app, place):
            self._dirty[cohort] = None
        self._work()

    def _work(self) -> None:
        if self._worker is None and (self._dirty or self._apps):
            self._worker = asyncio.create_task(self._run())

    async def _run(self) -> None:
        began_s = time.perf_counter()
        for _ in self._steps():
            if time.perf_counter() - began_s > SLICE_S:
                await asyncio.sleep(0)
                began_s = time.perf_counter()
        self._worker = None

    def _steps(self) -> Iterator[None]:
        while self._apps or self._dirty:
            if self._apps:
                app, _ = self._apps.popitem()
                yield from self._regroup(app)
            else:
                cohort = next(iter(self._dirty))
                del self._dirty[cohort]
                yield from self._bring_cohort(cohort)

    def _regroup(self, app: str) -> Iterator[None]:
        for endpoint in self._attached.of(app):
            before = endpoint.cohort
            self._store(endpoint, self.judge(endpoint))
            if endpoint.cohort is not before:
                self._bring(endpoint)
            yield

    def _bring_cohort(self, cohort: Cohort) -> Iterator[None]:
        target = self._configurations.of(cohort)
        owns = bool(cohort.device)  # the same id may hide that a value which a device set stands no more
        if target is not None and (owns or isinstance(target, Unservable) or target.id != cohort.brought):
            cohort.brought = None if isinstance(target, Unservable) else target.id
            for endpoint in tuple(cohort.members):
                self._bring(endpoint)
                yield
        yield
