"""Every process test runs without the developer's key, configuration and proxies."""

import pytest


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ANTHROPIC_API_KEY", "ANTHROPIC_BASE_URL", "AGENT_SERVER_DEBUG"):
        monkeypatch.delenv(name, raising=False)
