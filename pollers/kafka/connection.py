"""How a cluster is reached: servers, encryption, and who we are to it. Secrets are never shown."""

from __future__ import annotations

import asyncio
import os
import ssl
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final, Literal, TypeAlias

from aiokafka.abc import AbstractTokenProvider
from aiokafka.errors import AuthenticationFailedError

from pollers.errors import SourceError

__all__ = ["KafkaConnection", "Mechanism", "Renewed", "Sasl", "Tls", "client_settings"]

Mechanism: TypeAlias = Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER", "AWS_MSK_IAM"]

_EARLY: Final = 60.0  # seconds before its end that a token is made anew


@dataclass(frozen=True, slots=True)
class Sasl:
    """Who we are. PLAIN and SCRAM have a name and a password, OAUTHBEARER a token, AWS_MSK_IAM a region."""

    mechanism: Mechanism
    username: str = ""
    password: str = field(default="", repr=False)
    token: Callable[[], Awaitable[str]] | None = field(default=None, repr=False)  # asked whenever we log in
    region: str = ""


@dataclass(frozen=True, slots=True)
class Tls:
    """Encryption, with the server's certificate checked. All of it PEM."""

    ca: str | None = None  # who signs the servers' certificates; None: whom the system trusts
    certificate: str | None = None  # our own, where the servers want one
    key: str | None = field(default=None, repr=False)
    key_password: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class KafkaConnection:
    """A cluster. Without `sasl` and `tls` everything is in the open."""

    servers: tuple[str, ...]  # host:port, of which one must answer
    sasl: Sasl | None = None
    tls: Tls | None = None


def client_settings(connection: KafkaConnection) -> dict[str, Any]:
    """The arguments of aiokafka's clients. Raises `SourceError` for certificates that cannot be used."""
    sasl, tls = connection.sasl, connection.tls
    settings: dict[str, Any] = {"bootstrap_servers": list(connection.servers)}
    settings["security_protocol"] = ("SASL_" if sasl else "") + ("SSL" if tls else "PLAINTEXT")
    if tls is not None:
        settings["ssl_context"] = _context(tls, connection.servers[0])
    if sasl is None:
        return settings
    if sasl.mechanism == "AWS_MSK_IAM":
        settings["sasl_mechanism"] = "OAUTHBEARER"
        settings["sasl_oauth_token_provider"] = _Tokens(_iam(sasl.region))
    elif sasl.mechanism == "OAUTHBEARER":
        assert sasl.token is not None, "OAUTHBEARER has a token"
        settings["sasl_mechanism"] = "OAUTHBEARER"
        settings["sasl_oauth_token_provider"] = _Tokens(sasl.token)
    else:
        settings["sasl_mechanism"] = sasl.mechanism
        settings["sasl_plain_username"] = sasl.username
        settings["sasl_plain_password"] = sasl.password
    return settings


def _context(tls: Tls, server: str) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cadata=tls.ca)
        if tls.certificate is not None:
            with _file(tls.certificate + "\n" + (tls.key or "")) as path:
                context.load_cert_chain(path, password=tls.key_password or "")
    except (ssl.SSLError, ValueError) as error:
        remedy = "Give whole PEM texts: the certificate, and the private key that belongs to it."
        raise SourceError(server, f"a certificate or its key cannot be used ({error})", remedy, missing=True) from None
    return context


@contextmanager
def _file(text: str) -> Iterator[str]:
    """A file that only we can read, for as long as it takes: the ssl module reads certificates from nowhere else."""
    descriptor, path = tempfile.mkstemp()
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(text)
        yield path
    finally:
        os.unlink(path)


class _Tokens(AbstractTokenProvider):  # type: ignore[misc]  # the client has no types
    """Asked by the client for each connection that it logs in."""

    def __init__(self, token: Callable[[], Awaitable[str]]) -> None:
        self._token = token

    async def token(self) -> str:
        try:
            return await self._token()
        except Exception as error:  # the client must see a fault of its own kind, or it never connects again
            raise AuthenticationFailedError(str(error)) from error


class Renewed:
    """A token that is used until shortly before its end, and then made anew."""

    def __init__(self, make: Callable[[], Awaitable[tuple[str, float]]]) -> None:
        """`make`: a token, and the moment of its end in seconds since the epoch."""
        self._make = make
        self._token = ""
        self._until = 0.0  # wall

    async def __call__(self) -> str:
        if time.time() >= self._until:
            self._token, end = await self._make()
            self._until = end - _EARLY
        return self._token


def _iam(region: str) -> Renewed:
    """Tokens of Amazon MSK's IAM access."""

    async def make() -> tuple[str, float]:
        return await asyncio.to_thread(_sign, region)

    return Renewed(make)


def _sign(region: str) -> tuple[str, float]:
    """Signs with the credentials that botocore finds, which may ask the network for them."""
    try:
        from aws_msk_iam_sasl_signer import MSKAuthTokenProvider
    except ModuleNotFoundError:
        remedy = 'Install it with: pip install "pollers[msk]"'
        raise SourceError("Amazon MSK", "IAM access needs a signer", remedy, missing=True) from None
    token, milliseconds = MSKAuthTokenProvider.generate_auth_token(region)
    return str(token), milliseconds / 1_000
