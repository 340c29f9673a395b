"""The listening socket: loopback only, fails at once on a taken port, frees stuck peers."""

import socket

import pytest

from agent_server.cli.listener import (
    USER_TIMEOUT_MS,
    PortTakenError,
    open_listener,
    require_loopback,
    url_of,
)
from agent_server.errors import ConfigError


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.9.1", "::1", "localhost"])
def test_loopback_addresses_are_accepted(host: str) -> None:
    require_loopback(host)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.4", "example.test", ""])
def test_addresses_that_others_reach_are_refused(host: str) -> None:
    with pytest.raises(ConfigError, match="no API keys"):
        require_loopback(host)


def test_port_zero_takes_a_free_port_and_names_it() -> None:
    with open_listener("127.0.0.1", 0) as listener:
        port = listener.getsockname()[1]
        assert port > 0
        assert url_of(listener) == f"http://127.0.0.1:{port}"


def test_a_taken_port_is_refused_with_exit_code_69() -> None:
    with open_listener("127.0.0.1", 0) as listener:
        port = listener.getsockname()[1]
        with pytest.raises(PortTakenError, match=f"port {port} on 127.0.0.1 is taken") as raised:
            open_listener("127.0.0.1", port)
    assert raised.value.exit_code == 69


def test_an_address_of_another_machine_cannot_be_listened_on() -> None:
    with pytest.raises(ConfigError, match="cannot listen on"):
        open_listener("192.0.2.1", 0)


def test_connections_inherit_keep_alive_and_the_user_timeout() -> None:
    with (
        open_listener("127.0.0.1", 0) as listener,
        socket.create_connection(listener.getsockname()) as _client,
    ):
        listener.setblocking(True)
        accepted, _peer = listener.accept()
        with accepted:
            assert accepted.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
            timeout_ms = accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT)
            assert timeout_ms == USER_TIMEOUT_MS
