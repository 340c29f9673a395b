"""GET /v1/runs/{id}/events with Accept: application/json: the same events, page by page."""

from typing import Any

from agent_server.model.scripted import text
from tests.interaction.harness import Serve, Server, frames

JSON = {"Accept": "application/json"}


async def page(server: Server, run_id: str, **params: Any) -> dict[str, Any]:
    answer = await server.client.get(f"/v1/runs/{run_id}/events", headers=JSON, params=params)
    assert answer.status_code == 200
    found: dict[str, Any] = answer.json()
    return found


async def test_a_page_holds_the_events_and_where_to_go_on(serve: Serve) -> None:
    server = await serve([text("a", "b")])
    run_id = (await server.run())["id"]
    events = await server.events(run_id)
    whole = await page(server, run_id)
    assert whole == {"data": events, "last_seq": len(events), "has_more": False}


async def test_pages_follow_each_other_without_gap_or_double(serve: Serve) -> None:
    server = await serve([text("a", "b")])
    run_id = (await server.run())["id"]
    found: list[Any] = []
    after, has_more = 0, True
    while has_more:
        part = await page(server, run_id, after=after, limit=2)
        assert len(part["data"]) <= 2
        found += part["data"]
        after, has_more = part["last_seq"], part["has_more"]
    assert found == await server.events(run_id)


async def test_an_event_s_bytes_are_those_of_the_stream(serve: Serve) -> None:
    server = await serve("Hello")
    run_id = (await server.run())["id"]
    streamed = frames(await server.read(f"/v1/runs/{run_id}/events"))
    answer = await server.client.get(f"/v1/runs/{run_id}/events", headers=JSON)
    assert answer.text.startswith('{"data":[' + ",".join(f.data for f in streamed) + "]")


async def test_a_page_can_be_filtered_and_bounded(serve: Serve) -> None:
    server = await serve([text("a", "b")])
    run_id = (await server.run())["id"]
    ends = await page(server, run_id, types="run.created,run.completed", limit=1)
    assert [event["type"] for event in ends["data"]] == ["run.created"]
    assert ends["has_more"]
    bounded = await page(server, run_id, until=2)
    assert [event["seq"] for event in bounded["data"]] == [1, 2]
    assert not bounded["has_more"]


async def test_a_page_past_the_end_is_empty(serve: Serve) -> None:
    server = await serve("Hello")
    record = await server.run()
    past = await page(server, record["id"], after=record["last_seq"])
    assert past == {"data": [], "last_seq": record["last_seq"], "has_more": False}


async def test_the_schema_of_every_event_is_served(serve: Serve) -> None:
    server = await serve()
    schema = (await server.client.get("/v1/events/schema")).json()
    assert "text.delta" in schema["discriminator"]["mapping"]
