"""Whether Kafka's brokers are reached by the names that they advertise. No Spark import here: both sides ask the same.

https://kafka.apache.org/documentation/#brokerconfigs_advertised.listeners
"""

from __future__ import annotations

import socket
from typing import Optional, Tuple

__all__ = ["TIMEOUT_S", "host_and_port", "why_unreached"]

TIMEOUT_S = 10.0


def host_and_port(server: str) -> Tuple[str, int]:
    """The parts of `host:port`; an IPv6 address stands in brackets. Raises ValueError for anything else."""
    host, colon, port = server.strip().rpartition(":")
    if not (host and colon and port.isdigit()):
        raise ValueError(f"{server!r} is not host:port")
    return host.strip("[]"), int(port)


def why_unreached(host: str, port: int, timeout_s: float = TIMEOUT_S) -> Optional[str]:
    """None where a connection to one of the name's addresses is accepted; else what goes wrong, with the addresses."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        return f"the name does not resolve here ({getattr(error, 'strerror', None) or error})"
    addresses = sorted({str(each[4][0]) for each in found})
    try:
        socket.create_connection((host, port), timeout=timeout_s).close()
    except socket.timeout:
        reason = f"no answer within {timeout_s:g} s"
    except OSError as error:
        reason = error.strerror or str(error)
    else:
        return None
    return f"{', '.join(addresses)} port {port}: {reason}"
