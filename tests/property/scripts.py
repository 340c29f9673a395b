"""Random scripts: what the model says, what the tools do, what people do to the run meanwhile."""

from dataclasses import dataclass
from typing import Literal

from hypothesis import strategies as st

from agent_server.errors import ModelError
from agent_server.model.scripted import Part, Turn, call, error, stall, text, thinking
from tests.fakes.wayward_store import Step


@dataclass(frozen=True, slots=True)
class Interference:
    """Once the run's event ``at`` is out, something is done to it."""

    at: int
    what: Literal["cancel", "join", "join and leave", "open the gate"]
    after: int
    """Where a follower joins."""


@dataclass(frozen=True, slots=True)
class RunScript:
    """One run: what is done to it, and when it must be done, whether it needs a reader."""

    interferences: list[Interference]
    deadline_s: float
    on_disconnect: Literal["cancel", "continue"]


@dataclass(frozen=True, slots=True)
class Script:
    """Some runs of one thread, and the turns the model plays to them, one after the other."""

    turns: list[Turn]
    runs: list[RunScript]
    commits: list[Step]


PIECES = st.lists(st.sampled_from(["a", "Hello ", "é👩", "x" * 600, "\n"]), min_size=1, max_size=4)


OVERLOADED = ModelError("Overloaded", code="upstream_overloaded", retryable=True)
REFUSED = ModelError("No.", code="upstream_invalid_request", retryable=False)

calls: st.SearchStrategy[Part] = st.one_of(
    st.builds(
        call,
        st.sampled_from(["word_count", "word_count", "broken", "guarded", "unknown", "gate"]),
        st.sampled_from([{"text": "one two"}, {}, {"text": 7}, '{"text": ', "[1]", ""]),
        call_id=st.sampled_from([None, None, None, None, "toolu_again"]),
    ),
    st.builds(lambda words: call("word_count", {"text": words}), st.sampled_from(["one", "two"])),
)
parts: st.SearchStrategy[Part] = st.one_of(
    st.builds(lambda pieces: text(*pieces), PIECES),
    st.builds(lambda pieces: thinking(*pieces), PIECES),
    calls,
    calls,
)
sound = st.builds(lambda found: Turn(tuple(found)), st.lists(parts, min_size=1, max_size=4))
stopped = st.builds(
    lambda found, reason: Turn(tuple(found), stop_reason=reason),
    st.lists(parts, max_size=3),
    st.sampled_from(
        [
            "max_tokens",
            "refusal",
            "pause_turn",
            "stop_sequence",
            "model_context_window_exceeded",
            "something_new",
            "end_turn",
            "tool_use",
        ]
    ),
)
spoiled = st.one_of(
    st.builds(
        lambda found, at: Turn(tuple(found), cut_at=at),
        st.lists(parts, min_size=1, max_size=3),
        st.integers(0, 1_500),
    ),
    st.builds(lambda found: Turn(tuple(found), ends=False), st.lists(parts, max_size=3)),
    st.builds(lambda found: Turn((*found, error())), st.lists(parts, max_size=3)),
    st.builds(lambda failure: Turn(failure=failure), st.sampled_from([OVERLOADED, REFUSED])),
)
stalled = st.builds(lambda found: Turn((*found, stall())), st.lists(parts, max_size=3))
turns = st.lists(
    st.one_of(sound, sound, sound, sound, stopped, spoiled, stalled), min_size=1, max_size=8
)
interferences = st.lists(
    st.builds(
        Interference,
        at=st.integers(1, 25),
        what=st.sampled_from(["cancel", "join", "join", "join and leave", "open the gate"]),
        after=st.integers(0, 12),
    ),
    max_size=5,
)
runs = st.lists(
    st.builds(
        RunScript,
        interferences=interferences,
        deadline_s=st.sampled_from([0.02, 0.1]),
        on_disconnect=st.sampled_from(["cancel", "continue", "continue"]),
    ),
    min_size=1,
    max_size=3,
)
commits = st.lists(st.builds(Step, turns=st.integers(0, 6)), max_size=30)
scripts = st.builds(Script, turns=turns, runs=runs, commits=commits)
