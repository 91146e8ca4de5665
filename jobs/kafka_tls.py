"""Whether a broker's TLS is as Kafka's clients want it: its certificate's issuer, and its name. No Spark import here.

https://kafka.apache.org/documentation/#security_ssl, https://docs.python.org/3/library/ssl.html
"""

from __future__ import annotations

import socket
import ssl
from dataclasses import dataclass
from typing import Mapping, Optional

from jobs.reach import TIMEOUT_S

__all__ = ["Tls", "tls_of", "why_no_tls"]


@dataclass(frozen=True)
class Tls:
    """What a client asks of a broker. Nothing of it is a secret: a client's own certificate stays where it is.

    `trusted`: certificates as PEM, None for those that Python trusts by itself. `names_host`: the broker's certificate
    has to name the host. `is_asked`: the broker may ask for the client's certificate, and refuse who shows none.
    """

    trusted: Optional[str]
    names_host: bool
    is_asked: bool


def tls_of(options: Mapping[str, str]) -> Optional[Tls]:
    """By the settings of Kafka's Java clients; None where they do not encrypt."""
    if options.get("security.protocol", "PLAINTEXT").upper() not in ("SSL", "SASL_SSL"):
        return None
    names_host = options.get("ssl.endpoint.identification.algorithm", "https") != ""
    return Tls(options.get("ssl.truststore.certificates"), names_host, "ssl.keystore.key" in options)


def why_no_tls(host: str, port: int, tls: Tls, timeout_s: float = TIMEOUT_S) -> Optional[str]:
    """None where the handshake succeeds with what listens there; else what goes wrong, and the remedy."""
    try:
        context = _context(tls)
    except ssl.SSLError as error:
        return f"the certificates to trust are none ({error.reason}); correct the file that ssl.ca.location names"
    try:
        plain = socket.create_connection((host, port), timeout_s)
        context.wrap_socket(plain, server_hostname=host).close()  # which closes `plain` too, as a failure does
    except ssl.SSLCertVerificationError as error:
        return f"TLS: its certificate is refused: {error.verify_message}; {_remedy(tls)}"
    except ssl.SSLError as error:
        # TLS 1.2 tells of a missing certificate in the handshake, once the broker's own has been checked.
        is_refusal = tls.is_asked and "ALERT" in (error.reason or "")
        return None if is_refusal else f"TLS: {error.reason or error}; is that the port of the listener with TLS?"
    except OSError as error:
        return f"TLS: {error.strerror or error}; is that the port of the listener with TLS?"
    return None


def _context(tls: Tls) -> ssl.SSLContext:
    context = ssl.create_default_context(cadata=tls.trusted)
    context.check_hostname = tls.names_host
    return context


def _remedy(tls: Tls) -> str:
    issuer = "the CA that ssl.ca.location names" if tls.trusted else "a CA that this machine trusts (or name its file"
    ending = "" if tls.trusted else " as ssl.ca.location)"
    return f"it has to be issued by {issuer}{ending}, and to name this host"
