"""Idempotency-Key: a request may be sent again without being done again."""

import asyncio

import pytest

from tests.interaction.harness import LIMIT_S, Serve, frames

BODY = {"input": "Hello"}


async def test_the_same_key_and_body_give_the_same_run(serve: Serve) -> None:
    server = await serve("Hello", "Again")
    key = {"Idempotency-Key": "order-7"}
    first = await server.client.post("/v1/runs", json=BODY, headers=key)
    # another spacing of the same JSON is the same body
    again = await server.client.post(
        "/v1/runs",
        content=b'{ "input" : "Hello" }',
        headers={**key, "Content-Type": "application/json"},
    )
    assert first.status_code == again.status_code == 201
    assert again.json()["id"] == first.json()["id"]
    assert "idempotent-replayed" not in first.headers
    assert again.headers["idempotent-replayed"] == "true"
    assert len((await server.client.get("/v1/runs")).json()["data"]) == 1


async def test_another_body_under_the_same_key_is_422(serve: Serve) -> None:
    server = await serve("Hello")
    key = {"Idempotency-Key": "order-7"}
    await server.client.post("/v1/runs", json=BODY, headers=key)
    other = await server.client.post("/v1/runs", json={"input": "Other"}, headers=key)
    assert other.status_code == 422
    assert other.json()["error"]["code"] == "idempotency_key_reused"


async def test_other_keys_are_other_runs(serve: Serve) -> None:
    server = await serve("a", "b", "c")
    made = [
        await server.client.post("/v1/runs", json=BODY, headers=headers)
        for headers in ({"Idempotency-Key": "a"}, {"Idempotency-Key": "b"}, {})
    ]
    assert len({answer.json()["id"] for answer in made}) == 3


async def test_fifty_posts_at_once_make_one_run(serve: Serve) -> None:
    server = await serve("Hello", *["never asked"] * 5)
    key = {"Idempotency-Key": "storm"}
    async with asyncio.timeout(LIMIT_S), asyncio.TaskGroup() as group:
        posts = [
            group.create_task(server.client.post("/v1/runs", json=BODY, headers=key))
            for _ in range(50)
        ]
    answers = [post.result() for post in posts]
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.json()["id"] for answer in answers}) == 1
    replayed = [answer.headers.get("idempotent-replayed") for answer in answers]
    assert sorted(replayed, key=str) == [None, *["true"] * 49]
    async with asyncio.timeout(LIMIT_S):
        await server.runtime.runs.wait(answers[0].json()["id"])
    assert len(server.model.requests) == 1


async def test_a_streamed_post_sent_again_streams_the_same_run_from_its_start(
    serve: Serve,
) -> None:
    server = await serve("Hello")
    body = {**BODY, "stream": True}
    key = {"Idempotency-Key": "stream-1"}
    async with server.stream("POST", "/v1/runs", json=body, headers=key) as stream:
        first = await stream.rest()
    async with server.stream("POST", "/v1/runs", json=body, headers=key) as stream:
        assert stream.response.headers["idempotent-replayed"] == "true"
        assert await stream.rest() == first
    assert frames(first)[0].id == 1


async def test_nothing_is_kept_of_a_request_that_was_refused(serve: Serve) -> None:
    server = await serve("Hello")
    key = {"Idempotency-Key": "order-7"}
    refused = await server.client.post("/v1/runs", json={"input": ""}, headers=key)
    assert refused.status_code == 422
    assert (await server.client.post("/v1/runs", json=BODY, headers=key)).status_code == 201


@pytest.mark.parametrize("key", ["a" * 256, "", "ключ", "a\tb"])
async def test_a_malformed_key_is_400(serve: Serve, key: str) -> None:
    server = await serve("Hello")
    headers = {b"Idempotency-Key": key.encode()}
    answer = await server.client.post("/v1/runs", json=BODY, headers=headers)
    assert answer.status_code == 400
    assert answer.json()["error"]["code"] == "invalid_idempotency_key"


async def test_a_key_of_255_characters_is_fine(serve: Serve) -> None:
    server = await serve("Hello")
    headers = {"Idempotency-Key": "a" * 255}
    assert (await server.client.post("/v1/runs", json=BODY, headers=headers)).status_code == 201
