"""The listening socket: opened before anything heavy, so that a taken port fails at once."""

import errno
import ipaddress
import socket
from contextlib import suppress
from typing import Final

from agent_server.errors import AgentServerError, ConfigError

BACKLOG: Final = 2048
USER_TIMEOUT_MS: Final = 60_000
"""A peer that acknowledges nothing for this long is gone: frees the streams of stuck readers."""


class PortTakenError(AgentServerError):
    """Another program listens on the address."""

    code = "port_taken"
    exit_code = 69


def require_loopback(host: str) -> None:
    """Refuse an address that other machines can reach.

    Raises:
        ConfigError: the host is not a loopback address.
    """
    if host == "localhost":
        return
    with suppress(ValueError):
        if ipaddress.ip_address(host).is_loopback:
            return
    raise ConfigError(
        f"server.host: {host} can be reached by other machines, and this server has no API keys "
        "yet: use 127.0.0.1 and a tunnel or an authenticating proxy"
    )


def open_listener(host: str, port: int) -> socket.socket:
    """Bind and listen; ``port`` 0 takes any free one.

    Connections inherit keep-alive and the user timeout.

    Raises:
        PortTakenError: another program listens there.
        ConfigError: the address cannot be used.
    """
    listener: socket.socket | None = None
    try:
        family, kind, protocol, _name, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        if hasattr(socket, "TCP_USER_TIMEOUT"):
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, USER_TIMEOUT_MS)
        listener.bind(address)
        listener.listen(BACKLOG)
    except OSError as error:
        if listener is not None:
            listener.close()
        if error.errno == errno.EADDRINUSE:
            raise PortTakenError(
                f"port {port} on {host} is taken by another program: give --port N, or 0 for "
                "any free one"
            ) from error
        raise ConfigError(f"cannot listen on {host} port {port}: {error.strerror}") from error
    listener.setblocking(False)
    return listener


def url_of(listener: socket.socket) -> str:
    """Return the URL that clients on this machine use."""
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
