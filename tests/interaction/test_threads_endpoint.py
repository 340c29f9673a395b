"""Threads: a conversation over several runs."""

import pytest

from agent_server.model.scripted import call, stall, text
from tests.interaction.harness import Serve


async def test_a_thread_remembers_its_earlier_runs(serve: Serve) -> None:
    server = await serve([call("word_count", {"text": "a b"})], "Two.", "Still two.")
    first = await server.run("Count: a b")
    second = await server.run("And again?", thread_id=first["thread_id"])
    assert second["thread_id"] == first["thread_id"]
    assert second["previous_run_id"] == first["id"]
    asked = server.model.requests[-1].messages[:5]
    assert [message["role"] for message in asked] == [
        "user",
        "assistant",
        "user",
        "assistant",
        "user",
    ]
    assert asked[1]["content"][0]["type"] == "tool_use"
    assert asked[2]["content"][0]["type"] == "tool_result"
    assert asked[4]["content"] == [{"type": "text", "text": "And again?"}]


async def test_a_thread_s_transcript_is_in_the_messages_api_s_shape(serve: Serve) -> None:
    server = await serve("One.", "Two.")
    first = await server.run("1?")
    await server.run("2?", thread_id=first["thread_id"])
    path = f"/v1/threads/{first['thread_id']}/messages"
    messages = (await server.client.get(path)).json()["data"]
    assert messages == [
        {"role": "user", "content": [{"type": "text", "text": "1?"}]},
        {"role": "assistant", "content": [{"type": "text", "text": "One."}]},
        {"role": "user", "content": [{"type": "text", "text": "2?"}]},
        {"role": "assistant", "content": [{"type": "text", "text": "Two."}]},
    ]
    of_first = (await server.client.get(f"/v1/runs/{first['id']}/messages")).json()["data"]
    assert of_first == messages[:2]


async def test_a_thread_can_be_made_first_and_found_by_your_own_id(serve: Serve) -> None:
    server = await serve("Hello")
    made = await server.client.post(
        "/v1/threads", json={"external_id": "chat 42/ä", "metadata": {"user": "u"}}
    )
    assert made.status_code == 201
    thread = made.json()
    assert made.headers["location"] == f"/v1/threads/{thread['id']}"
    assert thread["head_run_id"] is None
    assert thread["created_at"].endswith("Z")
    run = await server.run(thread_id="chat 42/ä")
    assert run["thread_id"] == thread["id"]
    found = (await server.client.get(f"/v1/threads/{thread['id']}")).json()
    assert found["head_run_id"] == run["id"]
    assert found["metadata"] == {"user": "u"}


async def test_an_empty_thread_has_no_messages(serve: Serve) -> None:
    server = await serve()
    thread = (await server.client.post("/v1/threads", json={})).json()
    messages = (await server.client.get(f"/v1/threads/{thread['id']}/messages")).json()
    assert messages == {"data": [], "has_more": False, "next_cursor": None}


async def test_a_taken_external_id_is_409(serve: Serve) -> None:
    server = await serve()
    body = {"external_id": "chat-42"}
    assert (await server.client.post("/v1/threads", json=body)).status_code == 201
    again = await server.client.post("/v1/threads", json=body)
    assert (again.status_code, again.json()["error"]["code"]) == (409, "thread_exists")


async def test_one_run_of_a_thread_is_active_at_a_time(serve: Serve) -> None:
    server = await serve([text("Hm"), stall()])
    run_id = await server.start()
    thread_id = (await server.client.get(f"/v1/runs/{run_id}")).json()["thread_id"]
    body = {"input": "More", "thread_id": thread_id}
    busy = await server.client.post("/v1/runs", json=body)
    assert (busy.status_code, busy.json()["error"]["code"]) == (409, "thread_busy")
    delete = await server.client.delete(f"/v1/threads/{thread_id}")
    assert (delete.status_code, delete.json()["error"]["code"]) == (409, "thread_busy")


async def test_assistant_messages_are_taken_on_a_new_thread_only(serve: Serve) -> None:
    server = await serve("One.", "Two.")
    conversation = [
        {"role": "user", "content": "a"},
        {"role": "assistant", "content": "b"},
        {"role": "user", "content": "c"},
    ]
    first = await server.client.post("/v1/runs", json={"input": conversation, "wait": True})
    assert first.status_code == 201
    body = {"input": conversation, "thread_id": first.json()["thread_id"]}
    second = await server.client.post("/v1/runs", json=body)
    assert (second.status_code, second.json()["error"]["code"]) == (422, "assistant_input")


async def test_a_deleted_thread_is_gone_with_its_runs(serve: Serve) -> None:
    server = await serve("Hello")
    run = await server.run()
    deleted = await server.client.delete(f"/v1/threads/{run['thread_id']}")
    assert (deleted.status_code, deleted.content) == (204, b"")
    for path in (f"/v1/threads/{run['thread_id']}", f"/v1/runs/{run['id']}"):
        assert (await server.client.get(path)).status_code == 404


@pytest.mark.parametrize("count", [5])
async def test_threads_are_listed_newest_first_in_pages(serve: Serve, count: int) -> None:
    server = await serve()
    made = [(await server.client.post("/v1/threads", json={})).json()["id"] for _ in range(count)]
    found: list[str] = []
    cursor: str | None = ""
    while cursor is not None:
        params = {"limit": "2", **({"cursor": cursor} if cursor else {})}
        page = (await server.client.get("/v1/threads", params=params)).json()
        found += [thread["id"] for thread in page["data"]]
        cursor = page["next_cursor"]
        assert page["has_more"] is (cursor is not None)
    assert sorted(found) == sorted(made)
    assert found == sorted(found, reverse=True)
