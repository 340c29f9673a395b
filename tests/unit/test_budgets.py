import pytest

from agent_server.budgets import Budget, Price, RunLimits
from agent_server.events import Usage


def test_each_limit_is_named_when_it_is_used_up() -> None:
    turns = Budget(RunLimits(max_turns=2), None, turns=2)
    assert turns.exhausted() == "max_turns"
    tokens = Budget(RunLimits(max_output_tokens=10), None, usage=Usage(output_tokens=10))
    assert tokens.exhausted() == "budget"
    money = Budget(RunLimits(max_cost_usd=0.001), Price(input=1, output=1))
    money.add({"input_tokens": 500, "output_tokens": 500})
    assert money.exhausted() == "budget"
    late = Budget(RunLimits(deadline_s=5), None)
    late.started_s -= 6
    assert late.exhausted() == "deadline"
    assert Budget(RunLimits(), None).exhausted() is None


def test_time_spent_waiting_does_not_count_against_the_deadline() -> None:
    budget = Budget(RunLimits(deadline_s=5), None)
    budget.started_s -= 100
    budget.waited_s = 99
    assert budget.exhausted() is None


def test_output_is_reserved_so_that_a_call_cannot_overrun_the_budget() -> None:
    budget = Budget(RunLimits(max_output_tokens=100), None, usage=Usage(output_tokens=70))
    assert budget.clamp_max_tokens(8192) == 30
    money = Budget(RunLimits(max_cost_usd=0.001), Price(input=0, output=10))
    assert money.clamp_max_tokens(8192) == 100


def test_a_price_counts_cache_tokens_at_their_own_rate_or_as_input() -> None:
    usage = Usage(input_tokens=1_000_000, cache_read_input_tokens=1_000_000)
    assert Price(input=3, output=15, cache_read=0.3).cost_usd(usage) == pytest.approx(3.3)
    assert Price(input=3, output=15).cost_usd(usage) == pytest.approx(6)


def test_without_a_price_the_cost_is_unknown() -> None:
    budget = Budget(RunLimits(), None)
    budget.add({"input_tokens": 5, "output_tokens": None})
    assert budget.cost_usd is None
    assert budget.usage == Usage(input_tokens=5, model_calls=1)


def test_tool_calls_are_counted_before_they_run() -> None:
    budget = Budget(RunLimits(max_tool_calls=3), None)
    budget.add_calls(2)
    assert budget.allows_calls(1)
    assert not budget.allows_calls(2)
