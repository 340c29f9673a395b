from agent_server.budgets import Price, RunLimits
from agent_server.config import AgentSettings
from agent_server.model.scripted import Turn, call, text
from tests.interaction.harness import Serve, make_settings


async def test_a_model_that_never_stops_calling_is_stopped_at_the_turn_limit(
    serve: Serve,
) -> None:
    server = await serve(*[[call("word_count", {"text": "a"})]] * 9)
    record = await server.run(limits={"max_turns": 3})
    assert record["status"] == "incomplete"
    assert (await server.events(record["id"]))[-1]["reason"] == "max_turns"
    assert len(server.model.requests) == 3


async def test_calls_beyond_the_limit_are_not_run_but_answered(serve: Serve) -> None:
    two = [call("word_count", {"text": "a"}), call("word_count", {"text": "b"})]
    server = await serve(two, two, "again")
    record = await server.run(limits={"max_tool_calls": 3})
    assert (await server.events(record["id"]))[-1]["reason"] == "max_tool_calls"
    assert len(server.sandbox.calls) == 2
    await server.run("go on", thread_id=record["thread_id"])
    assert len(server.model.requests[-1].messages[-1]["content"]) == 3


async def test_tokens_and_money_are_counted_and_end_the_run(serve: Serve) -> None:
    usage = {"input_tokens": 1000, "output_tokens": 500}
    turn = Turn((text("hm"), call("word_count", {"text": "a"})), usage=usage)
    settings = make_settings(
        agent=AgentSettings(model="m", limits=RunLimits(max_cost_usd=0.01)),
        prices={"m": Price(input=4, output=8)},
    )
    server = await serve(turn, turn, turn, settings=settings)
    record = await server.run()
    assert (record["status"], record["cost_usd"]) == ("incomplete", 0.016)
    assert record["usage"]["input_tokens"] == 2000


async def test_a_money_limit_without_a_price_is_refused(serve: Serve) -> None:
    server = await serve("never")
    answer = await server.client.post(
        "/v1/runs", json={"input": "x", "limits": {"max_cost_usd": 1}}
    )
    assert answer.status_code == 422
    assert answer.json()["error"]["code"] == "price_unknown"


async def test_the_deadline_ends_a_run_whose_tool_still_works(serve: Serve) -> None:
    server = await serve([text("one moment"), call("gate", call_id="c1")])
    record = await server.run(limits={"deadline_s": 0.2})
    events = await server.events(record["id"])
    assert events[-1]["reason"] == "deadline"
    assert events[-2]["type"] == "tool_result.failed"
    assert server.sandbox.cancelled == 1
