"""The router against the specification's rule, applied to each subscription one by one."""

from hypothesis import given
from hypothesis import strategies as st

from broker.engine import Engine
from broker.hooks import Hooks
from broker.router import Router
from broker.session import Session, Subscription
from broker.settings import BrokerSettings

LEVELS = st.sampled_from(["a", "b", "", "$s", "é"])
TOPICS = st.lists(LEVELS, min_size=1, max_size=5).map("/".join).filter(bool)
FILTERS = st.builds(
    lambda levels, rest: "/".join([*levels, *rest]),
    st.lists(st.one_of(LEVELS, st.just("+")), max_size=4),
    st.sampled_from([["#"], ["a"], ["+"]]),
)
ENGINE = Engine(BrokerSettings(), Hooks(), lambda: None, lambda *_: None, lambda: 0.0)


def taken(topic_filter: list[str], topic: list[str]) -> bool:
    """Section 4.7, read literally."""
    if topic_filter == ["#"]:
        return True
    if not topic_filter or not topic:
        return topic_filter == topic
    return topic_filter[0] in ("+", topic[0]) and taken(topic_filter[1:], topic[1:])


def takes(topic_filter: str, topic: str) -> bool:
    if topic.startswith("$") and topic_filter[0] in "+#":
        return False
    levels = topic_filter.split("/")
    return taken(levels, topic.split("/")) or (levels[-1] == "#" and taken(levels[:-1], topic.split("/")))


@given(
    st.lists(st.tuples(st.integers(0, 3), FILTERS, st.integers(0, 2), st.booleans()), max_size=12), st.lists(TOPICS, max_size=6)
)  # fmt: skip
def test_it_finds_what_the_rule_finds(steps: list[tuple[int, str, int, bool]], topics: list[str]) -> None:
    router = Router()
    sessions = [Session(ENGINE, "", str(n), None) for n in range(4)]
    standing: dict[tuple[int, str], Subscription] = {}
    for number, topic_filter, qos, stays in steps:
        levels = tuple(topic_filter.split("/"))
        subscription = Subscription(sessions[number], topic_filter, levels, qos, None, topic_filter)
        router.add(subscription)
        standing[number, topic_filter] = subscription
        if not stays:
            router.remove(standing.pop((number, topic_filter)))
    assert router.count == len(standing)
    for topic in topics:
        wanted: dict[Session, int] = {}
        for (number, topic_filter), subscription in standing.items():
            if takes(topic_filter, topic):
                wanted[sessions[number]] = max(wanted.get(sessions[number], 0), subscription.qos)
        assert {session: qos for session, qos, _, _ in router.match(topic).sessions} == wanted
        parts = topic.split("/")
        if wanted:
            assert all(router.may_match(*parts[:count]) for count in range(len(parts) + 1))
    for subscription in standing.values():
        router.remove(subscription)
    assert router.count == 0
    assert router._root.empty


def test_what_nobody_can_subscribe_to_is_told_without_a_match() -> None:
    router = Router()
    session = Session(ENGINE, "", "c", None)
    for topic_filter in ("a1/app/e/d/#", "a1/app/f/d/+"):
        router.add(Subscription(session, topic_filter, tuple(topic_filter.split("/")), 0, None, topic_filter))
    assert router.may_match("a1", "app", "e", "d")
    assert not router.may_match("a1", "app", "e", "o")
    watching = Subscription(session, "a1/+/+/o/#", ("a1", "+", "+", "o", "#"), 0, None, "a1/+/+/o/#")
    router.add(watching)
    assert router.may_match("a1", "app", "e", "o")
    router.remove(watching)
    shared = Subscription(session, "$share/g/a1/#", ("a1", "#"), 0, None, "$share/g/a1/#", group="g")
    router.add(shared)
    assert router.may_match("a1", "app", "e", "o")
