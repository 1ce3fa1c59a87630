"""Why a cluster cannot be reached. The client says only that it cannot; what a server said goes to its log.

So a connection is made once more, by the client's own means, for what comes of it.
"""

from __future__ import annotations

import ssl
from asyncio import IncompleteReadError
from socket import gaierror
from typing import Any, Final

from aiokafka.conn import collect_hosts, create_conn
from aiokafka.errors import (
    AuthenticationFailedError,
    IllegalSaslStateError,
    KafkaError,
    SaslAuthenticationFailed,
    UnsupportedSaslMechanismError,
)
from aiokafka.protocol.metadata import MetadataRequest

from pollers.errors import SourceError
from pollers.kafka.connection import KafkaConnection, client_settings

__all__ = ["obstacle", "unreachable"]

PATIENCE: Final = 5.0  # seconds for one server
ALERT: Final = 0x1503  # how a TLS alert begins: the client takes it for the length of an answer

_ACCESS: Final = "Check the user name, the secret and the mechanism in source_access_configurations."
_PORT: Final = "Check the port: each listener of a cluster has its own."


async def unreachable(connection: KafkaConnection) -> SourceError:
    """Why the client could not connect a moment ago."""
    servers = ", ".join(connection.servers)
    gone = SourceError(servers, "the cluster could not be reached a moment ago, and answers now", "Try again.")
    return await obstacle(connection) or gone


async def obstacle(connection: KafkaConnection) -> SourceError | None:
    """What the servers have against us, of several the first whose reason is ours to mend; None: one lets us in."""
    settings = client_settings(connection)
    told: list[SourceError] = []
    for host, port, _ in collect_hosts(settings.pop("bootstrap_servers")):
        error = await _try(host, port, settings)
        if error is None:
            return None
        told.append(SourceError(f"{host}:{port}", *_meaning(error, connection), missing=_ours(error)))
    return next((one for one in told if one.missing), told[0])


async def _try(host: str, port: int, settings: dict[str, Any]) -> Exception | None:
    """Connect, log in and ask one question, as the client does when it starts."""
    try:
        made = await create_conn(host, port, client_id="pollers", request_timeout_ms=int(PATIENCE * 1_000), **settings)
        try:
            await made.send(MetadataRequest([]))
        finally:
            await made.close()
    except (OSError, KafkaError, TimeoutError) as error:
        # A connection that the server closed has its reason behind it.
        return error.__cause__ if isinstance(error.__cause__, OSError | EOFError) else error
    return None


def _ours(error: Exception) -> bool:
    """Whether the configuration is to blame, so that nothing changes by itself."""
    return not isinstance(error, TimeoutError | gaierror | ConnectionError | AuthenticationFailedError) and (
        not isinstance(error, IncompleteReadError) or _alerted(error)
    )


def _meaning(error: Exception, connection: KafkaConnection) -> tuple[str, str]:
    """What is wrong, and what to do about it."""
    match error:
        case KafkaError():
            return _of_login(error, connection)
        case ssl.SSLError() | EOFError() | ConnectionResetError():
            return _of_encryption(error, connection)
        case gaierror():
            return f"there is no such host ({error.strerror})", "Check the address."
        case TimeoutError():
            return f"it does not answer within {PATIENCE:g} s", "Check the address, and what lies between."
        case _:
            return f"it cannot be reached ({getattr(error, 'strerror', error)})", "Check the address and the port."


def _of_login(error: KafkaError, connection: KafkaConnection) -> tuple[str, str]:
    match error:
        case SaslAuthenticationFailed():
            return f"the cluster does not accept who we are ({_said(error)})", _ACCESS
        case AuthenticationFailedError():
            return f"there is no token to log in with ({_said(error)})", "See to it that one can be made."
        case UnsupportedSaslMechanismError():
            mechanism = connection.sasl.mechanism if connection.sasl else "SASL"
            return f"its listener does not take {mechanism}", f"{_PORT} Or use another mechanism."
        case IllegalSaslStateError():
            return "its listener has no SASL", _PORT
        case _:
            return f"{type(error).__name__}: {_said(error)}", _PORT


def _of_encryption(error: Exception, connection: KafkaConnection) -> tuple[str, str]:
    match error:
        case ssl.SSLCertVerificationError():
            remedy = "Give the certificate of its authority as SERVER_ROOT_CA_CERTIFICATE, and the name that it is for."
            return f"its certificate cannot be trusted ({error.verify_message})", remedy
        case ssl.SSLError():
            return f"it ends the TLS connection ({error.reason})", _certificate(connection)
        case IncompleteReadError() if _alerted(error):
            return "its listener wants TLS", f"{_PORT} Or add SERVER_ROOT_CA_CERTIFICATE."
        case ConnectionResetError() if connection.tls is not None:
            return "it closes the connection when TLS begins", f"{_PORT} Its listener may have no TLS."
        case _:
            return "it closes the connection at our first request", f"{_PORT} Its listener may want SASL or TLS."


def _said(error: Exception) -> str:
    """The message alone, without the client's number and name of the error."""
    return str(error.args[0]) if error.args else type(error).__name__


def _alerted(error: IncompleteReadError) -> bool:
    return error.expected is not None and error.expected >> 16 == ALERT


def _certificate(connection: KafkaConnection) -> str:
    if connection.tls is not None and connection.tls.certificate is not None:
        return "It may not trust our certificate: check CLIENT_CERTIFICATE_TLS_AUTH."
    return f"Give the certificate that it may want as CLIENT_CERTIFICATE_TLS_AUTH. {_PORT}"
