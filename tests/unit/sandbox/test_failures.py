"""What exceptions say to the model, however ill-behaved they are."""

import pytest

from agent_server.errors import ToolError
from agent_server.sandbox.failures import describe


class UnprintableError(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")


class StrangeError(Exception):
    def __str__(self) -> str:
        return "a\x00b\ud800c"


def raised(error: BaseException) -> BaseException:
    with pytest.raises(type(error)) as caught:
        raise error
    return caught.value


def test_an_exception_without_text_is_told_by_its_type() -> None:
    frame = describe(raised(KeyError()))
    assert frame.message == "KeyError"


def test_an_exception_whose_text_cannot_be_had_is_told_all_the_same() -> None:
    frame = describe(raised(UnprintableError()))
    assert frame.message == "UnprintableError: (its text cannot be had: RuntimeError)"
    assert frame.detail


def test_text_that_is_no_unicode_is_made_so() -> None:
    frame = describe(raised(StrangeError()))
    assert frame.message == "StrangeError: a\ufffdb\ufffdc"
    assert frame.detail is not None
    frame.detail.encode()


def test_the_detail_is_bounded_and_keeps_the_end() -> None:
    frame = describe(raised(ValueError("x" * 100_000 + " the end")))
    assert frame.detail is not None
    assert len(frame.detail) <= 16_384
    assert frame.detail.endswith("the end\n")


def test_memory_says_nothing_of_where() -> None:
    frame = describe(raised(MemoryError()))
    assert (frame.kind, frame.detail) == ("memory", None)


@pytest.mark.parametrize("code", [None, 0, 3, "a word"])
def test_an_exit_is_a_crash(code: int | str | None) -> None:
    assert describe(raised(SystemExit(code))).kind == "crashed"


def test_a_tool_errors_message_is_bounded_all_the_same() -> None:
    frame = describe(raised(ToolError("x" * 1_000_000)))
    assert len(frame.message) == 65_536


def test_a_group_of_exceptions_is_told_by_its_own_text() -> None:
    frame = describe(raised(ExceptionGroup("two tries", [ValueError("1"), ValueError("2")])))
    assert frame.message == "ExceptionGroup: two tries (2 sub-exceptions)"
