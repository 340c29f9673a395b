import io
import json
from collections.abc import Iterator

import pytest
import structlog

from agent_server.cli.logs import configure_logs


@pytest.fixture(autouse=True)
def restore_logs() -> Iterator[None]:
    yield
    structlog.reset_defaults()


def test_a_traceback_in_the_log_shows_no_local_variable() -> None:
    out = io.StringIO()
    configure_logs(stream=out)

    def fail() -> None:
        secret = "sk-ant-do-not-show"
        raise ValueError(len(secret))

    try:
        fail()
    except ValueError:
        structlog.get_logger().exception("it.failed")
    (line,) = out.getvalue().splitlines()
    assert json.loads(line)["exception"][0]["exc_type"] == "ValueError"
    assert "sk-ant-do-not-show" not in line
