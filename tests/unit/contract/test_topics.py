"""The topic grammar: every topic of topics.md parses to its request and back, everything else is refused with a reason."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from akela.contract import topics
from akela.contract.codes import Code
from akela.contract.errors import TopicError

APP, EP = topics.AppToken("abc2"), topics.EndpointId("dev-1")
APPS = st.from_regex(r"[a-z2-7]{4,12}", fullmatch=True).filter(lambda app: app != "boot").map(topics.AppToken)
ENDPOINTS = st.from_regex(r"[A-Za-z0-9._-]{1,64}", fullmatch=True).map(topics.EndpointId)
LEVELS = st.lists(st.text(st.characters(exclude_characters="/"), max_size=6), min_size=1, max_size=4)

REQUESTS = [
    ("hello", topics.Hello()),
    ("hello/r1", topics.Hello("r1")),
    ("reg/r1", topics.Register("r1")),
    ("profile", topics.Profile()),
    ("profile/r1", topics.Profile("r1")),
    ("profile/patch", topics.Profile(patch=True)),
    ("config/get/r1", topics.ConfigGet("r1")),
    ("config/applied", topics.ConfigApplied()),
    ("config/report", topics.ConfigReport()),
    ("config/report/r1", topics.ConfigReport("r1")),
    ("notify/sub/r1", topics.NotifySubscribe("r1")),
    ("notify/unsub/r1", topics.NotifyUnsubscribe("r1")),
    ("notify/list/r1", topics.NotifyList("r1")),
    ("log/readings", topics.LogRecords("readings")),
    ("log/readings/r1", topics.LogRecords("readings", "r1")),
    ("value/temperature", topics.Value("temperature")),
    ("cmd/c1/200", topics.CommandResult("c1", 200)),
    ("cmd/list/r1", topics.CommandList("r1")),
    ("event/door", topics.EventUp("door")),
    ("owner/attach/r1", topics.OwnerAttach("r1")),
    ("owner/detach/r1", topics.OwnerDetach("r1")),
]


@pytest.mark.parametrize(("leaf", "request_"), REQUESTS)
def test_each_topic_is_a_request(leaf: str, request_: topics.Up) -> None:
    own = topics.parse_own(f"a1/me/u/{leaf}", APP, EP)
    assert topics.parse_own(f"a1/abc2/dev-1/u/{leaf}", APP, EP) == own
    assert topics.parse_up(own.rest) == request_


@pytest.mark.parametrize(
    ("leaf", "code"),
    [
        ("nothing", Code.NOT_FOUND),
        ("config", Code.NOT_FOUND),
        ("config/get", Code.NOT_FOUND),
        ("reg", Code.NOT_FOUND),
        ("hello/a/b", Code.NOT_FOUND),
        ("hello/", Code.BAD_REQUEST),
        ("hello/" + "x" * 33, Code.BAD_REQUEST),
        ("hello/a b", Code.BAD_REQUEST),
        ("log/a b", Code.BAD_REQUEST),
        ("cmd/c1/done", Code.NOT_FOUND),
    ],
)
def test_other_leaves_are_refused(leaf: str, code: Code) -> None:
    with pytest.raises(TopicError) as caught:
        topics.parse_up(tuple(leaf.split("/")))
    assert caught.value.code is code


@pytest.mark.parametrize(
    "text",
    ["a1/abc2/dev-2/u/hello", "a1/zzzz/dev-1/u/hello", "a1/me", "a1/me/u", "a2/me/u/hello", "#", "", "$SYS/x", "a1/abc2/dev-1"],
)  # fmt: skip
def test_an_endpoint_names_its_own_topics_only(text: str) -> None:
    with pytest.raises(TopicError):
        topics.parse_own(text, APP, EP)


@pytest.mark.parametrize(
    "text", ["a1/me/u/#", "a1/me/#", "a1/+/+/d/#", "a1/abc2/dev-2/d/#", "#", "a1/me/o/#", "a1/me/d"]
)
def test_an_endpoint_subscribes_below_its_own_d_only(text: str) -> None:
    with pytest.raises(TopicError) as caught:
        topics.down_filter(text, APP, EP)
    assert caught.value.code is Code.FORBIDDEN


@given(APPS, ENDPOINTS, st.sampled_from(topics.Side), LEVELS)
def test_text_and_value_are_one(
    app: topics.AppToken, ep: topics.EndpointId, side: topics.Side, rest: list[str]
) -> None:
    topic = topics.EndpointTopic(app, ep, side, tuple(rest))
    assert topics.EndpointTopic.parse(str(topic)) == topic


@given(st.text(max_size=40))
def test_no_text_is_taken_for_another_s_topic(text: str) -> None:
    try:
        topic = topics.parse_own(text, APP, EP)
    except TopicError:
        return
    assert (topic.app, topic.ep) == (APP, EP)


@pytest.mark.parametrize("bad", ["", "ABC2", "abc", "a" * 13, "boot", "abc/", "ab1c"])
def test_app_tokens(bad: str) -> None:
    with pytest.raises(TopicError, match="4 to 12 of a-z and 2-7"):
        topics.app_token(bad)


@pytest.mark.parametrize("bad", ["", "a/b", "a b", "ä", "x" * 65, "+", "#", "a\n"])
def test_endpoint_ids(bad: str) -> None:
    with pytest.raises(TopicError, match="1 to 64 of"):
        topics.endpoint_id(bad)


@pytest.mark.parametrize("text", ["a1/#", "a1/+/x", "#", "a1/me/d/#", "a2/abc2/#", "a1/abc2"])
def test_an_operator_observes_one_application_at_a_time(text: str) -> None:
    assert topics.observed_app("a1/abc2/#") == "abc2"
    with pytest.raises(TopicError):
        topics.observed_app(text)


def test_a_nonce_comes_back() -> None:
    assert topics.boot_nonce(topics.boot_request("n-1")) == "n-1"
    assert topics.boot_answer("n-1") == "a1/boot/n-1/re"
