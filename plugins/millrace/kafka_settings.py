"""Settings of Kafka's clients: declared once under librdkafka's names, and told to Java's under theirs.

https://github.com/confluentinc/librdkafka/blob/master/CONFIGURATION.md, https://kafka.apache.org/documentation/#security
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from jobs.errors import MillraceError
from millrace.credentials import Login, check_private, masked
from millrace.environment_file import Table

__all__ = ["check_kafka_options", "java_options", "with_login"]

_SECURITY = re.compile(r"(security|sasl|ssl)\.")
_SECRET = re.compile(r"password|secret|\.pem$|jaas", re.IGNORECASE)
_SAME = ("security.protocol", "ssl.endpoint.identification.algorithm", "ssl.key.password")
_OWN = ("sasl.mechanism", "sasl.mechanisms", "sasl.username", "sasl.password")
_KEY = "ssl.key.location"
_FILES = ("ssl.ca.location", "ssl.certificate.location", _KEY)
_MODULES = {
    "PLAIN": "org.apache.kafka.common.security.plain.PlainLoginModule",
    "SCRAM-SHA-256": "org.apache.kafka.common.security.scram.ScramLoginModule",
    "SCRAM-SHA-512": "org.apache.kafka.common.security.scram.ScramLoginModule",
}


def check_kafka_options(table: Table, options: Mapping[str, str]) -> None:
    """Raises MillraceError for a secret in the file, for a security setting that Java's clients cannot be told, and for
    a private key that others may read."""
    for name, value in options.items():
        if _SECRET.search(name):
            raise table.error(
                name, "…", f"secrets do not stand in a file: name an Airflow connection in {table.name}.connection"
            )
        if _SECURITY.match(name) and name not in (*_SAME, *_OWN, *_FILES):
            raise table.error(name, value, f"of these settings drivers know {', '.join((*_SAME, *_OWN, *_FILES))}")
    if _mechanism(options) not in _MODULES:
        raise table.error("sasl.mechanism", _mechanism(options), f"use one of: {', '.join(_MODULES)}")
    key = Path(options.get(_KEY, ""))
    if key.is_file():
        check_private(key)


def with_login(options: Mapping[str, str], login: Login) -> dict[str, str]:
    """What librdkafka needs to log in. A protocol that the file names stays; else it is SASL_SSL."""
    protocol = {"security.protocol": "SASL_SSL", "sasl.mechanism": _mechanism(options)}
    return {**protocol, **options, "sasl.username": login.login, "sasl.password": login.password}


def java_options(options: Mapping[str, str]) -> dict[str, str]:
    """The security settings among librdkafka's, for Java's clients. Certificates go inline: no node needs a file.

    Empty without security settings. Raises MillraceError where a certificate's file is missing.
    """
    found = {name: options[name] for name in _SAME if name in options}
    if options.get("ssl.endpoint.identification.algorithm") == "none":
        found["ssl.endpoint.identification.algorithm"] = ""
    if "sasl.username" in options:
        found["sasl.mechanism"] = _mechanism(options)
        found["sasl.jaas.config"] = _jaas(_mechanism(options), options["sasl.username"], options["sasl.password"])
    if ca := options.get("ssl.ca.location"):
        found |= {"ssl.truststore.type": "PEM", "ssl.truststore.certificates": _text(ca)}
    if key := options.get(_KEY):
        chain = _text(options["ssl.certificate.location"])
        found |= {
            "ssl.keystore.type": "PEM",
            "ssl.keystore.key": masked(_text(key)),
            "ssl.keystore.certificate.chain": chain,
        }
    return found


def _mechanism(options: Mapping[str, str]) -> str:
    return options.get("sasl.mechanism", options.get("sasl.mechanisms", "PLAIN"))


def _jaas(mechanism: str, user: str, password: str) -> str:
    return f"{_MODULES[mechanism]} required username={_quoted(user)} password={masked(_quoted(password))};"


def _quoted(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _text(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8")
    except OSError as error:
        raise MillraceError(f"Kafka: certificate {path} cannot be read ({error.strerror}); correct the path") from error
