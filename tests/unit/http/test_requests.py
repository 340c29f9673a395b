import pytest

from agent_server.errors import InvalidRequest
from agent_server.http.requests import exchange_of, fingerprint, open_exchange, parse_json


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"nul",
        b'{"a": 1,}',
        b"{'a': 1}",
        b'{"a": NaN}',
        b'{"a": Infinity}',
        b'{"a": -Infinity}',
        b'{"a": 1e400}',
        b'{"a": ' + b"9" * 400 + b".0}",
        b'{"a": ' + b"9" * 5_000 + b"}",
        b'{"a": "\\ud800"}',
        b'{"\\udc00": 1}',
        b'"\\u0000"',
        b'{"a\\u0000": 1}',
        b"[" * 5_000 + b"]" * 5_000,
        b'{"a":' * 950 + b"1" + b"}" * 950,
        b"\xff\xfe{\x00}\x00",
        b"\xef\xbb\xbf{}",
        b'{"a": "\xc3\x28"}',
        b'{"a": 01}',
        b'{"a": 0x1}',
        b"{} {}",
        b'"tab\tinside"',
    ],
)
def test_what_is_not_strict_json_is_refused_without_being_quoted(body: bytes) -> None:
    with pytest.raises(InvalidRequest) as caught:
        parse_json(body)
    assert caught.value.status == 400
    assert caught.value.code == "invalid_json"
    assert len(caught.value.message) < 120


@pytest.mark.parametrize(
    ("body", "value"),
    [
        (b'{"a": [1, 2.5, -0.0, 1e300, true, null, "\\ud83d\\ude00"]}', None),
        ('{"ключ": "значение"}'.encode(), {"ключ": "значение"}),
        (b"[" * 150 + b"]" * 150, None),
        (b'"\\\\u0000 as text"', "\\u0000 as text"),
    ],
)
def test_strict_json_is_read(body: bytes, value: object) -> None:
    parsed = parse_json(body)
    assert value is None or parsed == value


def test_a_fingerprint_ignores_spacing_and_the_order_of_keys() -> None:
    first = fingerprint(parse_json(b'{"a": 1, "b": {"c": [1, 2], "d": 2}}'))
    assert first == fingerprint(parse_json(b'{"b":{"d":2,"c":[1,2]},"a":1}'))
    assert first != fingerprint(parse_json(b'{"b":{"d":2,"c":[2,1]},"a":1}'))


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        (b"abc-1.2_3", "abc-1.2_3"),
        (b"a" * 64, "a" * 64),
        (b"a" * 65, None),
        (b"", None),
        (b"a b", None),
        (b"a\x1b[31m", None),
        (b"req\xff", None),
    ],
)
def test_a_client_s_request_id_is_kept_only_where_it_is_harmless(
    sent: bytes, kept: str | None
) -> None:
    scope = {"type": "http", "headers": [(b"x-request-id", sent)]}
    exchange = open_exchange(scope)
    assert exchange.client_id == kept
    assert exchange.request_id.startswith("req_")
    assert exchange_of(scope) is exchange
