"""From a request to a run that can begin: its agent, spec, thread and transcript."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Literal

from agent_server.agents import Agent, Overrides, RunSpec, apply_overrides, find_agent
from agent_server.attempt import ToolUse
from agent_server.budgets import Budget, Price
from agent_server.errors import Conflict, InvalidRequest
from agent_server.events import RunCreated
from agent_server.ids import new_id
from agent_server.messages import JsonObject, Message
from agent_server.model.request import check_params
from agent_server.redaction import Redactor
from agent_server.run_state import RunState
from agent_server.store import NewRun, Store, ThreadRow
from agent_server.tooling.registry import ToolRegistry
from agent_server.transcript import Transcript, add_message, read_transcript


@dataclass(frozen=True, slots=True)
class RunRequest:
    """What a caller asks for. ``thread_id`` may be a thread's id or its external id.

    ``disconnect_grace_s`` is how long a run with ``on_disconnect="cancel"`` goes on with nobody
    following it; None: as configured.
    """

    input: list[Message]
    tenant: str = "default"
    agent: str = "default"
    overrides: Overrides = field(default_factory=Overrides)
    thread_id: str | None = None
    trigger: Literal["api", "chat", "ui"] = "api"
    on_disconnect: Literal["cancel", "continue"] = "continue"
    disconnect_grace_s: float | None = None
    metadata: JsonObject = field(default_factory=dict)
    idempotency_key: str | None = None
    request_sha256: str | None = None


@dataclass(frozen=True, slots=True)
class Prepared:
    """A run ready to be put on disk and begun; ``call`` makes it a direct tool call."""

    new: NewRun
    created: RunCreated
    run: RunState
    call: ToolUse | None = None


class Admission:
    """Decides what a request becomes. Holds configuration only; one instance serves all."""

    def __init__(
        self,
        *,
        store: Store,
        registry: ToolRegistry,
        agents: Mapping[str, Agent],
        prices: Mapping[str, Price],
        redactor: Redactor,
        max_tokens_cap: int,
    ) -> None:
        self._store = store
        self._registry = registry
        self._agents = agents
        self.prices = prices
        self._redactor = redactor
        self._max_tokens_cap = max_tokens_cap
        self._offer = lru_cache(maxsize=64)(self._select_tools)

    async def prepare(self, request: RunRequest) -> Prepared:
        """Build the run that ``request`` asks for.

        Raises:
            NotFound: code ``agent_not_found`` or ``thread_not_found``.
            InvalidRequest: an override, tool, parameter or message is refused.
        """
        agent = apply_overrides(
            find_agent(self._agents, request.agent),
            request.overrides,
            max_tokens_cap=self._max_tokens_cap,
        )
        spec = self._spec(agent)
        messages: list[Message] = self._redactor.json(request.input)
        thread, transcript = await self._thread(request, messages)
        created = RunCreated(
            agent=agent.name,
            model=spec.model,
            input=messages,
            limits=spec.limits.model_dump(),
            trigger=request.trigger,
            previous_run_id=thread.head_run_id if thread else None,
        )
        new = _new_run(request, spec=spec, thread=thread, kind="agent")
        return Prepared(new, created, self._state(new, spec, transcript))

    def prepare_tool_call(self, *, tenant: str, name: str, arguments: JsonObject) -> Prepared:
        """Build a run that is one direct tool call.

        Raises:
            NotFound: code ``tool_not_found``.
            InvalidRequest: code ``invalid_tool_input``, with the paths in ``details``.
            Conflict: code ``approval_required``.
        """
        tool = self._registry.get(name)
        problems = self._registry.validate(name, arguments)
        if problems:
            raise InvalidRequest(
                f"The input does not fit the schema of {name!r}.",
                code="invalid_tool_input",
                param="input",
                details=[
                    {"loc": ["body", "input"], "path": p.path, "message": p.message}
                    for p in problems
                ],
            )
        if tool.approval != "never":
            raise Conflict(f"The tool {name!r} needs approval.", code="approval_required")
        spec = self._spec(Agent(name="tool", model="none", tools=(name,)))
        new = _new_run(RunRequest(input=[], tenant=tenant), spec=spec, thread=None, kind="tool")
        created = RunCreated(
            agent="tool", model="none", input=[], limits={}, kind="tool", trigger="tool"
        )
        call = ToolUse(new_id("call"), name, self._redactor.json(arguments), raw="")
        return Prepared(new, created, self._state(new, spec, Transcript()), call)

    def _state(self, new: NewRun, spec: RunSpec, transcript: Transcript) -> RunState:
        return RunState(
            run_id=new.id,
            tenant=new.tenant,
            spec=spec,
            transcript=transcript,
            budget=Budget(limits=spec.limits, price=self.prices.get(spec.model)),
        )

    def _spec(self, agent: Agent) -> RunSpec:
        check_params(agent.model_params)
        if agent.limits.max_cost_usd is not None and agent.model not in self.prices:
            raise InvalidRequest(
                f"max_cost_usd needs a price, and none is configured for {agent.model!r}.",
                code="price_unknown",
                param="limits.max_cost_usd",
            )
        tools, versions = self._offer(agent.tools)
        return RunSpec(
            agent=agent.name,
            model=agent.model,
            system=agent.system,
            max_tokens=agent.max_tokens,
            tools=tools,
            versions=versions,
            params=agent.model_params,
            limits=agent.limits,
        )

    def _select_tools(self, patterns: tuple[str, ...]) -> tuple[list[JsonObject], dict[str, str]]:
        """Return the tools as the provider is told of them, and their versions by name."""
        tools = self._registry.select(patterns)
        versions = {tool.name: tool.version for tool in tools}
        return [tool.as_param() for tool in tools], versions

    async def _thread(
        self, request: RunRequest, messages: list[Message]
    ) -> tuple[ThreadRow | None, Transcript]:
        """Return the thread to add to (None: a new one) and the transcript with the new input."""
        thread = None
        transcript = Transcript()
        if request.thread_id is not None:
            thread = await self._store.get_thread(request.tenant, request.thread_id)
        if thread is not None and thread.head_run_id is not None:
            if any(message["role"] == "assistant" for message in messages):
                raise InvalidRequest(
                    "Assistant messages are accepted only on a new thread.",
                    code="assistant_input",
                    param="input",
                )
            transcript = read_transcript(await self._store.history(thread.head_run_id))
            transcript.open_calls, transcript.turns = [], 0
        for message in messages:
            add_message(transcript, message)
        return thread, transcript


def _new_run(
    request: RunRequest, *, spec: RunSpec, thread: ThreadRow | None, kind: Literal["agent", "tool"]
) -> NewRun:
    now = time.time_ns() // 1000
    deadline_s = spec.limits.deadline_s
    head = thread.head_run_id if thread else None
    return NewRun(
        id=new_id("run"),
        tenant=request.tenant,
        thread_id=thread.id if thread else new_id("thread"),
        kind=kind,
        agent=spec.agent,
        model=spec.model,
        trigger=request.trigger if kind == "agent" else "tool",
        spec=spec.model_dump(),
        limits=spec.limits.model_dump(),
        metadata=request.metadata,
        created_at=now,
        deadline_at=None if deadline_s is None else now + int(deadline_s * 1_000_000),
        new_thread=thread is None,
        expected_head=head,
        previous_run_id=head,
        idempotency_key=request.idempotency_key,
        request_sha256=request.request_sha256,
        on_disconnect=request.on_disconnect,
    )
