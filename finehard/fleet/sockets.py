"""Sockets that notice within seconds that a server is gone without a word.

A request that waits for a long answer sends and receives nothing, so only probes of the kernel tell
a server that works from a machine that lost its power or its link: a server's kernel answers them
however busy its processes are. They do not run while data is on its way; there, retransmissions
that nobody acknowledges tell. TCP_USER_TIMEOUT would cover both, but it also breaks off a request
whose body a busy server is slow to read.
"""

from __future__ import annotations

import contextlib
import socket
import weakref
from typing import Any

WATCH_S = 1.0
"""Seconds between two looks at retransmissions."""

_PROBES = {"TCP_KEEPIDLE": 1, "TCP_KEEPINTVL": 1, "TCP_KEEPCNT": 3}
"""A connection is dead after 4 s without a packet: seconds of silence before the first probe,
seconds between two, unanswered ones."""

_RETRANSMITTED = 4
"""Unacknowledged retransmissions after which a connection is dead. The kernel doubles the time
between them, from 0.2 s: 3 s."""


class Sockets:
    """The sockets of a fleet's connections."""

    def __init__(self) -> None:
        self._open: weakref.WeakSet[socket.socket] = weakref.WeakSet()

    def make(self, address: tuple[Any, ...]) -> socket.socket:
        """Returns a socket for an `address` as `socket.getaddrinfo` gives it."""
        family, kind, protocol, *_ = address
        made = socket.socket(family, kind, protocol)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name, value in _PROBES.items():
            if hasattr(socket, name):
                made.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
        self._open.add(made)
        return made

    def break_dead(self) -> None:
        """Breaks connections whose data nobody acknowledges."""
        for each in list(self._open):
            with contextlib.suppress(OSError):  # closed, or not yet connected
                if _retransmissions(each) >= _RETRANSMITTED:
                    each.shutdown(socket.SHUT_RDWR)


def _retransmissions(connection: socket.socket) -> int:
    """Returns how often the kernel has repeated the oldest data that is not acknowledged."""
    if not hasattr(socket, "TCP_INFO"):  # Linux only
        return 0
    return connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 3)[2]  # tcpi_retransmits
