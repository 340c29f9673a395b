import itertools

from hypothesis import given
from hypothesis import strategies as st

from agent_server.messages import JsonObject, Message, repair_history, text_message


def use(call_id: str) -> JsonObject:
    return {"type": "tool_use", "id": call_id, "name": "add", "input": {}}


def result(call_id: str) -> JsonObject:
    return {"type": "tool_result", "tool_use_id": call_id, "content": "ok"}


def test_a_valid_history_is_left_alone() -> None:
    history: list[Message] = [
        text_message("user", "hi"),
        {"role": "assistant", "content": [use("a"), use("b")]},
        {"role": "user", "content": [result("a"), result("b"), {"type": "text", "text": "and"}]},
    ]
    assert repair_history(history) == (history, [])


def test_an_orphan_call_is_answered_as_interrupted_before_the_users_text() -> None:
    repaired, repairs = repair_history(
        [
            {"role": "assistant", "content": [use("a"), use("b")]},
            {"role": "user", "content": [result("b"), {"type": "text", "text": "go on"}]},
        ]
    )
    answers = repaired[1]["content"]
    assert [block["type"] for block in answers] == ["tool_result", "tool_result", "text"]
    assert [block.get("tool_use_id") for block in answers[:2]] == ["a", "b"]
    assert answers[0]["is_error"] is True
    assert repairs == [{"kind": "answered_orphan", "call_id": "a"}]


def test_an_orphan_at_the_very_end_is_answered_in_a_message_of_its_own() -> None:
    repaired, repairs = repair_history([{"role": "assistant", "content": [use("a")]}])
    assert [message["role"] for message in repaired] == ["assistant", "user"]
    assert len(repairs) == 1


def test_results_that_answer_nothing_are_dropped_and_so_are_messages_left_empty() -> None:
    repaired, repairs = repair_history(
        [text_message("assistant", "hm"), {"role": "user", "content": [result("x")]}]
    )
    assert repaired == [text_message("assistant", "hm")]
    assert [repair["kind"] for repair in repairs] == [
        "dropped_stray_result",
        "dropped_empty_message",
    ]


def test_a_text_block_without_text_is_left_out() -> None:
    empty: JsonObject = {"type": "text", "text": ""}
    repaired, repairs = repair_history(
        [{"role": "assistant", "content": [empty, {"type": "text", "text": "so"}]}]
    )
    assert repaired == [text_message("assistant", "so")]
    assert repairs == [{"kind": "dropped_empty_text", "call_id": None}]


BLOCKS = st.one_of(
    st.sampled_from("abc").map(use),
    st.sampled_from("abc").map(result),
    st.sampled_from(["t", ""]).map(lambda text: {"type": "text", "text": text}),
)


@given(
    st.lists(
        st.builds(
            lambda role, content: Message(role=role, content=content),
            st.sampled_from(["user", "assistant"]),
            st.lists(BLOCKS, max_size=4, unique_by=str),
        ),
        max_size=8,
    )
)
def test_a_repaired_history_answers_every_call_exactly_once_and_stays_so(
    history: list[Message],
) -> None:
    repaired, _ = repair_history(history)
    for message, following in itertools.zip_longest(repaired, repaired[1:]):
        if message["role"] != "assistant":
            continue
        asked = [b["id"] for b in message["content"] if b["type"] == "tool_use"]
        answered = (
            [b["tool_use_id"] for b in following["content"] if b["type"] == "tool_result"]
            if following is not None and following["role"] == "user"
            else []
        )
        assert asked == answered
    assert repair_history(repaired) == (repaired, [])
