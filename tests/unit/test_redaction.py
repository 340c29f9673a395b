import base64
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent_server.redaction import Redactor, StreamRedactor

SECRET = "sk-ant-very/secret+value="
REDACTOR = Redactor({"KEY": SECRET, "PIN": "12"})


@pytest.mark.parametrize(
    "form",
    [
        SECRET,
        SECRET.encode().hex(),
        base64.b64encode(SECRET.encode()).decode(),
        base64.urlsafe_b64encode(SECRET.encode()).decode().rstrip("="),
        "sk-ant-very%2Fsecret%2Bvalue%3D",
    ],
)
def test_every_common_encoding_of_a_secret_is_replaced(form: str) -> None:
    assert REDACTOR.text(f"a {form} b") == "a [redacted KEY] b"


def test_values_too_short_to_be_secrets_are_left_alone() -> None:
    assert REDACTOR.text("12 apples") == "12 apples"


def test_secrets_inside_json_values_and_keys_are_replaced() -> None:
    value = {"a": [SECRET, 1, None], SECRET: True}
    assert REDACTOR.json(value) == {"a": ["[redacted KEY]", 1, None], "[redacted KEY]": True}


@given(st.lists(st.integers(0, 60), max_size=6), st.text(max_size=20), st.text(max_size=20))
def test_a_secret_cut_at_any_place_never_gets_through(
    cuts: list[int], before: str, after: str
) -> None:
    text = before + SECRET + after
    places = sorted({0, len(text), *(cut for cut in cuts if cut <= len(text))})
    stream = StreamRedactor(REDACTOR)
    shown = "".join(stream.feed(text[start:end]) for start, end in itertools.pairwise(places))
    assert shown + stream.finish() == REDACTOR.text(text)
    assert SECRET not in shown


def test_ordinary_text_is_not_held_back() -> None:
    assert StreamRedactor(REDACTOR).feed("hello there") == "hello there"
