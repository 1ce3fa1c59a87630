"""Why a cluster cannot be reached. The client says only that it cannot; what a server said goes to its log.

So a connection is made once more, by the client's own means, for what comes of it.
"""

from __future__ import annotations

import ssl
from asyncio import IncompleteReadError
from collections.abc import Sequence
from socket import gaierror
from typing import Any, Final, TypeAlias

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

__all__ = ["obstacle"]

Address: TypeAlias = tuple[str, int]

FAULTS: Final = (OSError, KafkaError, TimeoutError, ValueError)  # a ValueError: SCRAM with an impostor
OURS: Final = (
    SaslAuthenticationFailed,
    UnsupportedSaslMechanismError,
    IllegalSaslStateError,
    ssl.SSLError,
    ValueError,
)
PATIENCE: Final = 5.0  # seconds for one server
ALERT: Final = 0x1503  # how a TLS alert begins: the client takes it for the length of an answer

_ACCESS: Final = "Check the user name, the secret and the mechanism in source_access_configurations."
_PORT: Final = "Check the port: each listener of a cluster has its own."


async def obstacle(connection: KafkaConnection) -> SourceError | None:
    """What is in the way to the cluster; None: nothing.

    Of several servers one must let us in, and else the first counts whose reason is ours to mend. The brokers that it
    names must be where it says that they are.
    """
    settings = client_settings(connection)
    told: list[SourceError] = []
    for host, port, _ in collect_hosts(settings.pop("bootstrap_servers")):
        try:
            brokers = await _brokers(host, port, settings)
        except FAULTS as error:
            told.append(_fault(host, port, error, connection))
        else:
            return await _astray(brokers, f"{host}:{port}", settings, connection)
    return next((one for one in told if one.missing), told[0])


async def _astray(
    brokers: Sequence[Address], server: str, settings: dict[str, Any], connection: KafkaConnection
) -> SourceError | None:
    """The first broker that cannot be reached by the address that the cluster has for it."""
    for host, port in brokers:
        try:
            await _brokers(host, port, settings)
        except FAULTS as error:
            reason, _ = _meaning(_cause(error), connection)
            remedy = f"That is the address {server} has for it: check its advertised.listeners."
            return SourceError(f"broker {host}:{port}", reason, remedy)
    return None


async def _brokers(host: str, port: int, settings: dict[str, Any]) -> Sequence[Address]:
    """Connect, log in and ask where the brokers are, as the client does when it starts."""
    made = await create_conn(host, port, client_id="pollers", request_timeout_ms=int(PATIENCE * 1_000), **settings)
    try:
        answer = await made.send(MetadataRequest([]))
    finally:
        await made.close()
    return [(broker[1], broker[2]) for broker in answer.brokers]


def _fault(host: str, port: int, error: Exception, connection: KafkaConnection) -> SourceError:
    cause = _cause(error)
    return SourceError(f"{host}:{port}", *_meaning(cause, connection), missing=_ours(cause))


def _cause(error: Exception) -> Exception:
    """A connection that the server closed has its reason behind it."""
    return error.__cause__ if isinstance(error.__cause__, OSError | EOFError) else error


def _ours(error: Exception) -> bool:
    """Whether the configuration is to blame, so that nothing changes by itself."""
    if isinstance(error, IncompleteReadError):
        return _alerted(error)
    return isinstance(error, OURS) and not isinstance(error, ssl.SSLEOFError)


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
        case ValueError():
            remedy = "It may not be the cluster that it says it is: check the address, and let TLS tell who it is."
            return "it does not know our password, though it takes our proof of it", remedy
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
