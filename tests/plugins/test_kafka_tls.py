"""What a client says of a broker's TLS: real handshakes with servers of Python's own, without Kafka and Spark.

Not in tests/jobs, which Python 3.8 collects too: it has nothing that makes certificates.
"""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from jobs.kafka_tls import Tls, tls_of, why_no_tls
from tests.conformance.certificates import Certificates, make_certificates


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return make_certificates(tmp_path_factory.mktemp("tls"))


@contextmanager
def server(certificates: Certificates, host: str = "127.0.0.1", asks: bool = False) -> Iterator[int]:
    """The port of a server with TLS, for one client; it `asks` for the client's certificate, or not."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates.certificate, certificates.key)
    if asks:
        context.maximum_version = ssl.TLSVersion.TLSv1_2  # as Kafka on Java 8: a missing certificate ends the handshake
        context.load_verify_locations(certificates.ca)
        context.verify_mode = ssl.CERT_REQUIRED
    with socket.create_server((host, 0)) as listening:
        thread = threading.Thread(target=_shake_hands, args=(listening, context))
        thread.start()
        yield listening.getsockname()[1]
        thread.join(30)


def _shake_hands(listening: socket.socket, context: ssl.SSLContext) -> None:
    listening.settimeout(30)
    connection, _ = listening.accept()
    try:
        with context.wrap_socket(connection, server_side=True) as client:
            client.recv(1)
    except OSError:
        connection.close()


def tls(certificates: Certificates, names_host: bool = True, is_asked: bool = False) -> Tls:
    return Tls(certificates.ca.read_text(), names_host, is_asked)


def test_a_certificate_of_the_trusted_authority_that_names_the_host_passes(certificates: Certificates) -> None:
    for host in ("127.0.0.1", "localhost"):
        with server(certificates, host) as port:
            assert why_no_tls(host, port, tls(certificates)) is None


def test_one_that_names_another_host_is_refused_unless_names_are_not_looked_at(certificates: Certificates) -> None:
    unnamed = "127.0.0.2"  # of this machine too
    with server(certificates, unnamed) as port:
        why = why_no_tls(unnamed, port, tls(certificates))
    assert why is not None
    assert "IP address mismatch" in why
    assert "to name this host" in why
    with server(certificates, unnamed) as port:
        assert why_no_tls(unnamed, port, tls(certificates, names_host=False)) is None


def test_one_of_another_authority_is_refused_also_where_names_are_not_looked_at(
    certificates: Certificates, tmp_path: Path
) -> None:
    stranger = make_certificates(tmp_path)
    for trusted, remedy in (
        (tls(stranger, names_host=False), "the CA that ssl.ca.location names"),
        (Tls(None, True, False), "or name its file as ssl.ca.location"),
    ):
        with server(certificates) as port:
            why = why_no_tls("127.0.0.1", port, trusted)
        assert why is not None
        assert why.startswith("TLS: its certificate is refused: ")
        assert remedy in why


def test_a_server_that_asks_for_a_certificate_has_passed_where_the_client_has_one_elsewhere(
    certificates: Certificates,
) -> None:
    """Its key is a secret, and in no task: that the broker takes it is left to Kafka's own client."""
    with server(certificates, asks=True) as port:
        assert why_no_tls("127.0.0.1", port, tls(certificates, is_asked=True)) is None
    with server(certificates, asks=True) as port:
        why = why_no_tls("127.0.0.1", port, tls(certificates))
    assert why is not None
    assert "ALERT" in why


def test_a_port_without_tls_and_certificates_that_are_none_are_told(certificates: Certificates) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        why = why_no_tls("127.0.0.1", port, tls(certificates), timeout_s=0.2)
        assert why is not None
        assert why.endswith("is that the port of the listener with TLS?")
        nothing = why_no_tls("127.0.0.1", port, Tls("no certificate", True, False))
        assert nothing is not None
        assert "ssl.ca.location" in nothing


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, None),
        ({"security.protocol": "SASL_PLAINTEXT", "ssl.truststore.certificates": "pem"}, None),
        ({"security.protocol": "sasl_ssl"}, Tls(None, True, False)),
        (
            {
                "security.protocol": "SSL",
                "ssl.endpoint.identification.algorithm": "",
                "ssl.truststore.certificates": "pem",
                "ssl.keystore.key": "secret",
            },
            Tls("pem", False, True),
        ),
    ],
)
def test_settings_of_kafkas_java_clients_say_what_is_asked_of_a_broker(
    options: dict[str, str], expected: Tls | None
) -> None:
    assert tls_of(options) == expected
