from collections.abc import Iterable

import pytest
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from agent_server.http.middleware import Surround, is_local


async def refuse(_request: Request, error: Exception) -> Response:
    return PlainTextResponse(str(error), getattr(error, "status", 500))


async def serve(_scope: Scope, _receive: Receive, send: Send) -> None:
    await PlainTextResponse("served")(_scope, _receive, send)


async def ask(
    app: ASGIApp,
    *,
    local_only: bool = True,
    method: str = "GET",
    headers: Iterable[tuple[bytes, bytes]] = ((b"host", b"localhost"),),
) -> tuple[int, dict[str, str], bytes]:
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    async def receive() -> Message:
        return {"type": "http.disconnect"}

    scope = {"type": "http", "method": method, "path": "/", "headers": list(headers)}
    surround = Surround(app, local_only=local_only, answer_error=refuse, answer_fault=refuse)
    await surround(scope, receive, send)
    answer = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
    return sent[0]["status"], answer, b"".join(m.get("body", b"") for m in sent[1:])


@pytest.mark.parametrize(
    ("host", "local"),
    [
        ("localhost", True),
        ("app.localhost", True),
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("[::1]", True),
        ("::1", True),
        ("0.0.0.0", False),
        ("192.168.1.1", False),
        ("localhost.evil.test", False),
        ("2130706433", False),
        ("", False),
    ],
)
def test_which_names_mean_this_machine(host: str, *, local: bool) -> None:
    assert is_local(host) is local


async def test_a_request_without_host_is_400() -> None:
    status, _, body = await ask(serve, headers=[])
    assert (status, body) == (400, b"A Host header is needed.")


async def test_a_server_for_others_checks_neither_host_nor_origin() -> None:
    headers = [(b"host", b"api.example.com"), (b"origin", b"https://example.com")]
    status, answer, body = await ask(serve, local_only=False, method="POST", headers=headers)
    assert (status, body) == (200, b"served")
    assert "access-control-allow-origin" not in answer


async def test_a_route_s_own_headers_win() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        response = PlainTextResponse("x", headers={"Cache-Control": "max-age=60"})
        await response(scope, receive, send)

    _, answer, _ = await ask(app)
    assert answer["cache-control"] == "max-age=60"


async def test_a_fault_before_the_answer_is_answered_and_after_it_is_not() -> None:
    async def before(_scope: Scope, _receive: Receive, _send: Send) -> None:
        raise RuntimeError("boom")

    async def after(_scope: Scope, _receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"half", "more_body": True})
        raise RuntimeError("boom")

    status, answer, _ = await ask(before)
    assert status == 500
    assert answer["x-content-type-options"] == "nosniff"
    status, _, body = await ask(after)
    assert (status, body) == (200, b"half")


async def test_what_is_no_http_passes_through() -> None:
    seen: list[str] = []

    async def app(scope: Scope, _receive: Receive, _send: Send) -> None:
        seen.append(scope["type"])

    async def nothing(*_: object) -> Message:
        return {"type": "none"}

    surround = Surround(app, local_only=True, answer_error=refuse, answer_fault=refuse)
    await surround({"type": "lifespan"}, nothing, nothing)  # type: ignore[arg-type]
    assert seen == ["lifespan"]
