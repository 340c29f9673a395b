"""What a run may still spend: turns, tool calls, tokens, money, time. Checked before each call."""

import time
from dataclasses import dataclass, field

from pydantic import BaseModel, ConfigDict, Field

from agent_server.events import IncompleteReason, Usage
from agent_server.messages import JsonObject


class RunLimits(BaseModel):
    """The most a run may use. None means no limit of that kind."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    max_turns: int | None = Field(default=50, ge=1)
    max_tool_calls: int | None = Field(default=200, ge=0)
    max_input_tokens: int | None = Field(default=None, ge=1)
    max_output_tokens: int | None = Field(default=None, ge=1)
    max_cost_usd: float | None = Field(default=None, gt=0)
    deadline_s: float | None = Field(default=3600, gt=0)


class Price(BaseModel):
    """What a model costs, in USD per million tokens. There are no built-in prices."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    input: float = Field(ge=0)
    output: float = Field(ge=0)
    cache_read: float | None = Field(default=None, ge=0)
    cache_write: float | None = Field(default=None, ge=0)

    def cost_usd(self, usage: Usage) -> float:
        """Price ``usage``; cache tokens without a price of their own count as input."""
        cache_read = self.input if self.cache_read is None else self.cache_read
        cache_write = self.input if self.cache_write is None else self.cache_write
        micro_usd = (
            usage.input_tokens * self.input
            + usage.output_tokens * self.output
            + usage.cache_read_input_tokens * cache_read
            + usage.cache_creation_input_tokens * cache_write
        )
        return micro_usd / 1_000_000


@dataclass(slots=True)
class Budget:
    """One run's spending against its limits. Times are of the monotonic clock, in seconds.

    Attempts that failed count too: their tokens were paid for.
    """

    limits: RunLimits
    price: Price | None
    turns: int = 0
    usage: Usage = field(default_factory=Usage)
    started_s: float = field(default_factory=time.monotonic)
    waited_s: float = 0.0

    @property
    def elapsed_s(self) -> float:
        """Seconds the run has worked; time spent waiting for people does not count."""
        return time.monotonic() - self.started_s - self.waited_s

    @property
    def remaining_s(self) -> float | None:
        """Seconds left until the deadline, None without one."""
        deadline_s = self.limits.deadline_s
        return None if deadline_s is None else max(0.0, deadline_s - self.elapsed_s)

    @property
    def cost_usd(self) -> float | None:
        """What the run has cost, None where the model's price is unknown."""
        return None if self.price is None else round(self.price.cost_usd(self.usage), 9)

    def exhausted(self) -> IncompleteReason | None:
        """Say which limit forbids another model call, None if none does."""
        limits, usage = self.limits, self.usage
        if limits.deadline_s is not None and self.elapsed_s >= limits.deadline_s:
            return "deadline"
        if limits.max_turns is not None and self.turns >= limits.max_turns:
            return "max_turns"
        spent = (
            (usage.input_tokens, limits.max_input_tokens),
            (usage.output_tokens, limits.max_output_tokens),
            (self.cost_usd or 0.0, limits.max_cost_usd),
        )
        if any(limit is not None and used >= limit for used, limit in spent):
            return "budget"
        return None

    def allows_calls(self, count: int) -> bool:
        """Whether ``count`` more tool calls stay within the limit."""
        limit = self.limits.max_tool_calls
        return limit is None or self.usage.tool_calls + count <= limit

    def clamp_max_tokens(self, wanted: int) -> int:
        """Reserve output before the call: never ask for more than the budget still holds."""
        limit = self.limits.max_output_tokens
        if limit is not None:
            wanted = min(wanted, limit - self.usage.output_tokens)
        affordable = self._affordable_output()
        return max(1, wanted if affordable is None else min(wanted, affordable))

    def _affordable_output(self) -> int | None:
        limit, price, cost = self.limits.max_cost_usd, self.price, self.cost_usd
        if limit is None or price is None or cost is None or not price.output:
            return None
        return int((limit - cost) * 1_000_000 / price.output)

    def add(self, provider_usage: JsonObject) -> Usage:
        """Count one model call by the provider's usage object; return that call's own usage."""
        call = Usage(
            input_tokens=_count(provider_usage, "input_tokens"),
            output_tokens=_count(provider_usage, "output_tokens"),
            cache_read_input_tokens=_count(provider_usage, "cache_read_input_tokens"),
            cache_creation_input_tokens=_count(provider_usage, "cache_creation_input_tokens"),
            model_calls=1,
        )
        self.usage = add_usage(self.usage, call)
        return call

    def add_calls(self, count: int) -> None:
        """Count tool calls."""
        self.usage = add_usage(self.usage, Usage(tool_calls=count))


def add_usage(first: Usage, second: Usage) -> Usage:
    """Sum two usages, field by field."""
    return Usage(
        **{name: getattr(first, name) + getattr(second, name) for name in Usage.model_fields}
    )


def _count(usage: JsonObject, name: str) -> int:
    """Read a token count; the provider may send null, or leave it out."""
    value = usage.get(name)
    return value if isinstance(value, int) and value >= 0 else 0
