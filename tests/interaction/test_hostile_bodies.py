"""Whatever is sent, the answer is a 4xx in the envelope, and nothing of the body comes back."""

import asyncio
from typing import Any

import pytest

from agent_server.config import ServerSettings
from tests.interaction.harness import LIMIT_S, Serve, Server, make_settings

MARK = b"m4rk3r"
JSON = {"Content-Type": "application/json"}

HOSTILE: dict[str, bytes] = {
    "nothing": b"",
    "cut": b'{"input": "' + MARK,
    "not json": MARK,
    "two values": b'{"input": "a"} {"input": "b"}',
    "trailing comma": b'{"input": "a",}',
    "single quotes": b"{'input': 'a'}",
    "comment": b'{"input": "a"} // m4rk3r',
    "nan": b'{"input": "a", "metadata": {"m4rk3r": NaN}}',
    "infinity": b'{"input": "a", "metadata": {"m4rk3r": Infinity}}',
    "minus infinity": b'{"input": "a", "metadata": {"m4rk3r": -Infinity}}',
    "1e400": b'{"input": "a", "metadata": {"m4rk3r": 1e400}}',
    "-1e400": b'{"input": "a", "model_params": {"m4rk3r": -1e400}}',
    "number of 5000 digits": b'{"input": "a", "max_tokens": ' + b"9" * 5_000 + b"}",
    "float of 400 digits": b'{"input": "a", "metadata": {"a": ' + b"9" * 400 + b".5}}",
    "integer over 64 bits": b'{"input": "a", "max_tokens": 99999999999999999999}',
    "negative": b'{"input": "a", "max_tokens": -1}',
    "zero": b'{"input": "a", "max_tokens": 0}',
    "float for integer": b'{"input": "a", "max_tokens": 1.5}',
    "lone surrogate": b'{"input": "m4rk3r \\ud800"}',
    "lone surrogate in a key": b'{"input": "a", "\\udfff": 1}',
    "nul": b'{"input": "m4rk3r \\u0000"}',
    "nul in the agent": b'{"input": "a", "agent": "m4rk3r\\u0000"}',
    "invalid utf-8": b'{"input": "\xff\xfe"}',
    "overlong utf-8": b'{"input": "\xc0\xaf"}',
    "utf-16": '{"input": "a"}'.encode("utf-16"),
    "byte order mark": b'\xef\xbb\xbf{"input": "a"}',
    "deep lists": b'{"input": ' + b"[" * 10_000 + b"]" * 10_000 + b"}",
    "deep objects": b'{"a":' * 10_000 + b"1" + b"}" * 10_000,
    "deep into an integer": b'{"input": "a", "max_tokens": ' + b"[" * 180 + b"]" * 180 + b"}",
    "deep metadata": b'{"input": "a", "metadata": {"a": ' + b"[" * 950 + b"]" * 950 + b"}}",
    "a list": b'[{"input": "a"}]',
    "a string": b'"m4rk3r"',
    "null": b"null",
    "a number": b"1",
    "true": b"true",
    "no input": b"{}",
    "null input": b'{"input": null}',
    "empty input": b'{"input": ""}',
    "blank input": b'{"input": " \\n\\t"}',
    "no messages": b'{"input": []}',
    "object input": b'{"input": {"role": "user", "content": "m4rk3r"}}',
    "unknown field": b'{"input": "a", "m4rk": 1}',
    "unknown role": b'{"input": [{"role": "m4rk3r", "content": "a"}]}',
    "empty content": b'{"input": [{"role": "user", "content": []}]}',
    "content of numbers": b'{"input": [{"role": "user", "content": [1, 2]}]}',
    "block without type": b'{"input": [{"role": "user", "content": [{"text": "m4rk3r"}]}]}',
    "text block without text": b'{"input": [{"role": "user", "content": [{"type": "text"}]}]}',
    "text that is a list": b'{"input": [{"role": "user", "content": '
    b'[{"type": "text", "text": []}]}]}',
    "assistant last": b'{"input": [{"role": "assistant", "content": "m4rk3r"}]}',
    "orphan result": b'{"input": [{"role": "user", "content": [{"type": "tool_result", '
    b'"tool_use_id": "m4rk3r"}]}]}',
    "orphan call": b'{"input": [{"role": "user", "content": "a"}, {"role": "assistant", "content": '
    b'[{"type": "tool_use", "id": "m4rk3r", "name": "x", "input": {}}]}, '
    b'{"role": "user", "content": "b"}]}',
    "call by the user": b'{"input": [{"role": "user", "content": [{"type": "tool_use", '
    b'"id": "m4rk3r", "name": "x", "input": {}}]}]}',
    "stream as a string": b'{"input": "a", "stream": "m4rk3r"}',
    "stream and wait": b'{"input": "a", "stream": true, "wait": true}',
    "tools as a string": b'{"input": "a", "tools": "m4rk3r"}',
    "limits as a list": b'{"input": "a", "limits": []}',
    "unknown limit": b'{"input": "a", "limits": {"max_m4rk3r": 1}}',
    "limit as a string": b'{"input": "a", "limits": {"max_turns": "m4rk3r"}}',
    "negative limit": b'{"input": "a", "limits": {"max_turns": -5}}',
    "metadata as a list": b'{"input": "a", "metadata": []}',
    "metadata too large": b'{"input": "a", "metadata": {"a": "' + MARK * 3_000 + b'"}}',
    "on_busy for later": b'{"input": "a", "on_busy": "queue"}',
    "on_disconnect unknown": b'{"input": "a", "on_disconnect": "m4rk3r"}',
    "unknown model parameter": b'{"input": "a", "model_params": {"m4rk3r": 1}}',
    "agent too long": b'{"input": "a", "agent": "' + MARK * 100 + b'"}',
}


def assert_refused(status: int, body: bytes, *, ok: frozenset[int]) -> None:
    assert status in ok, (status, body)
    assert b'"type":"error"' in body
    assert b'"request_id":"req_' in body
    for leak in (b"Traceback", b'File "', b"site-packages", b"sqlite"):
        assert leak not in body


@pytest.mark.parametrize("name", HOSTILE)
async def test_a_hostile_body_is_refused(shared: Server, name: str) -> None:
    answer = await shared.client.post("/v1/runs", content=HOSTILE[name], headers=JSON)
    assert_refused(answer.status_code, answer.content, ok=frozenset({400, 422}))
    if name not in {"unknown limit", "unknown model parameter"}:  # names are told, values not
        assert MARK not in answer.content
    assert shared.model.requests == []
    assert (await shared.client.get("/v1/runs")).json()["data"] == []


@pytest.mark.parametrize("path", ["/v1/threads", "/chat", "/v1/tools/word_count/calls"])
async def test_hostile_bodies_are_refused_everywhere(shared: Server, path: str) -> None:
    for body in HOSTILE.values():
        if (path, body) == ("/v1/threads", b"{}"):
            continue  # there it says all that is needed
        answer = await shared.client.post(path, content=body, headers=JSON)
        assert_refused(answer.status_code, answer.content, ok=frozenset({400, 422}))


@pytest.mark.parametrize(
    "content_type",
    [
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data",
        "",
        "json",
        "x" * 500,
    ],
)
async def test_a_body_that_is_not_declared_as_json_is_415(
    shared: Server, content_type: str
) -> None:
    headers = {"Content-Type": content_type} if content_type else {}
    answer = await shared.client.post("/v1/runs", content=b'{"input": "a"}', headers=headers)
    assert answer.status_code == 415
    assert answer.json()["error"]["code"] == "unsupported_media_type"


@pytest.mark.parametrize(
    "content_type",
    ["application/json; charset=utf-8", "Application/JSON", "application/vnd.x+json"],
)
async def test_json_by_any_of_its_names_is_taken(serve: Serve, content_type: str) -> None:
    server = await serve("Hello")
    answer = await server.client.post(
        "/v1/runs", content=b'{"input": "a"}', headers={"Content-Type": content_type}
    )
    assert answer.status_code == 201


async def chunked(server: Server, size: int) -> Any:
    async def body() -> Any:
        for _ in range(size // 1024):
            yield b"x" * 1024

    return await server.client.post("/v1/runs", content=body(), headers=JSON)


async def test_a_body_over_the_limit_is_413_whether_declared_or_not(serve: Serve) -> None:
    server = await serve(settings=make_settings(server=ServerSettings(drain_s=0, max_body_kb=8)))
    declared = await server.client.post("/v1/runs", content=b"x" * 9_000, headers=JSON)
    assert_refused(declared.status_code, declared.content, ok=frozenset({413}))
    undeclared = await chunked(server, 9 * 1024)
    assert_refused(undeclared.status_code, undeclared.content, ok=frozenset({413}))
    assert (await chunked(server, 7 * 1024)).status_code == 400


async def test_a_large_body_within_the_limit_is_taken(serve: Serve) -> None:
    server = await serve("Hello")
    assert await server.start("word " * 100_000)


async def test_a_client_that_goes_while_it_sends_does_no_harm(serve: Serve) -> None:
    server = await serve("Hello")
    host, _, port = server.url.removeprefix("http://").partition(":")
    async with asyncio.timeout(LIMIT_S):
        _, writer = await asyncio.open_connection(host, int(port))
        head = f"POST /v1/runs HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n"
        writer.write(head.encode() + b'Content-Length: 500\r\n\r\n{"input": "a')
        await writer.drain()
        writer.close()
        await writer.wait_closed()
    assert (await server.run())["status"] == "completed"


@pytest.mark.parametrize("depth", [150, 180, 190, 195, 198, 200, 210])
async def test_nesting_up_to_the_limit_is_taken_or_refused_but_never_a_fault(
    serve: Serve, depth: int
) -> None:
    server = await serve("Hello", "Hello")
    nested = "[" * depth + "]" * depth
    block = f'{{"type": "x", "a": {nested}}}'
    bodies = (
        f'{{"wait": true, "input": "a", "metadata": {{"a": {nested}}}}}',
        f'{{"wait": true, "input": [{{"role": "user", "content": [{block}]}}]}}',
    )
    for body in bodies:
        answer = await server.client.post("/v1/runs", content=body.encode(), headers=JSON)
        assert answer.status_code in {201, 400}, answer.text
        if answer.status_code == 201:
            run_id = answer.json()["id"]
            for path in ("", "/events", "/messages"):
                await server.read(f"/v1/runs/{run_id}{path}")
            assert answer.json()["status"] == "completed"


@pytest.mark.parametrize(
    "path",
    [
        "/v1/runs/%00",
        "/v1/runs/%ff%fe/events",
        "/v1/runs/..%2f..%2fetc%2fpasswd",
        "/v1/threads/%ED%A0%80",
        "/v1/threads/" + "%00" * 50,
        "/v1/tools/%f0%28%8c%28",
        "/v1/runs?q=%00",
        "/v1/runs?q=%ED%A0%80&agent=%ff",
        "/v1/runs?thread_id=%00&tool=%00",
        "/v1/runs?limit=99999999999999999999999",
        "/v1/runs?cursor=run_%00",
        "/v1/runs?" + "q=a&" * 2_000,
        "/v1/runs/run_x/turns/99999999999999999999/attempts/1",
        "/v1/runs/x/events?after=%00",
        "/%00",
        "//v1//runs",
    ],
)
async def test_hostile_addresses_are_no_fault_of_ours(shared: Server, path: str) -> None:
    answer = await shared.client.get(path)
    assert answer.status_code < 500, answer.text
    assert answer.headers["request-id"].startswith("req_")
