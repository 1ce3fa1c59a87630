"""Why a cluster cannot be reached, by what servers do to a connection. What a real broker says is with its tests."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import TypeAlias

import pytest

from pollers.errors import SourceError
from pollers.kafka.connection import KafkaConnection, Sasl, Tls
from pollers.kafka.reasons import obstacle

Answer: TypeAlias = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]

ALERT = bytes([0x15, 3, 3, 0, 2, 2, 22])  # a TLS server that does not understand us


async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(4)
    writer.close()


async def reset(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(4)
    writer.transport.abort()


async def alert(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(4)
    writer.write(ALERT)
    writer.close()


async def log_in(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """As far as the token: which versions there are, and that OAUTHBEARER is welcome."""
    for body in (struct.pack(">hihhh", 0, 1, 17, 0, 1), struct.pack(">hih11s", 0, 1, 11, b"OAUTHBEARER")):
        (size,) = struct.unpack(">i", await reader.readexactly(4))
        request = await reader.readexactly(size)
        writer.write(struct.pack(">i", 4 + len(body)) + request[4:8] + body)
    await reader.read()
    writer.close()


async def pretend(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """SCRAM with a nonce that does not continue the client's."""
    proof = b"r=somebody,s=AAAA,i=4096"
    for body in (
        struct.pack(">hihhhhhh", 0, 2, 17, 0, 1, 36, 0, 0),
        struct.pack(">hih13s", 0, 1, 13, b"SCRAM-SHA-256"),
        struct.pack(">hhi", 0, -1, len(proof)) + proof,
    ):
        (size,) = struct.unpack(">i", await reader.readexactly(4))
        request = await reader.readexactly(size)
        writer.write(struct.pack(">i", 4 + len(body)) + request[4:8] + body)
    await reader.read()
    writer.close()


@asynccontextmanager
async def server(answer: Answer) -> AsyncIterator[str]:
    """One at a free port, whose connections have ended when it has."""
    ended: list[asyncio.Event] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        ended.append(end := asyncio.Event())
        await answer(reader, writer)
        with suppress(ConnectionError):
            await writer.wait_closed()
        end.set()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as listening:
        yield f"127.0.0.1:{listening.sockets[0].getsockname()[1]}"
        for one in ended:
            await one.wait()


async def told(answer: Answer, sasl: Sasl | None = None, tls: Tls | None = None) -> SourceError:
    async with server(answer) as address:
        error = await obstacle(KafkaConnection((address,), sasl, tls))
    assert error is not None
    assert error.resource == address
    return error


@pytest.mark.parametrize(
    ("answer", "tls", "words", "missing"),
    [
        (hang_up, None, "closes the connection at our first request", False),
        (alert, None, "its listener wants TLS", True),
        (reset, Tls(), "closes the connection when TLS begins", False),
        (alert, Tls(), "ends the TLS connection", True),
    ],
)
async def test_what_a_server_does_is_what_is_said(answer: Answer, tls: Tls | None, words: str, missing: bool) -> None:
    error = await told(answer, tls=tls)
    assert words in str(error)
    assert error.missing == missing


async def test_a_token_that_cannot_be_made_is_the_reason() -> None:
    async def token() -> str:
        raise ValueError("the vault is closed")

    error = await told(log_in, Sasl("OAUTHBEARER", token=token))
    assert "no token to log in with (the vault is closed)" in str(error)
    assert not error.missing


async def test_a_cluster_that_does_not_know_our_password_either_is_no_cluster_of_ours() -> None:
    error = await told(pretend, Sasl("SCRAM-SHA-256", "orders", "secret"))
    assert "it does not know our password" in str(error)
    assert "secret" not in str(error)
    assert error.missing


async def test_of_several_servers_the_one_counts_whose_reason_is_ours_to_mend() -> None:
    async with server(hang_up) as hung, server(alert) as alerted:
        error = await obstacle(KafkaConnection(("127.0.0.1:1", hung, alerted)))
    assert error is not None
    assert error.resource == alerted


def welcome(*brokers: int) -> Answer:
    """Which versions there are, and a cluster of brokers at these ports."""
    metadata = struct.pack(">i", len(brokers))
    for number, port in enumerate(brokers):
        metadata += struct.pack(">ih9si", number, 9, b"127.0.0.1", port)

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for body in (struct.pack(">hihhh", 0, 1, 3, 0, 0), metadata + struct.pack(">i", 0)):
            (size,) = struct.unpack(">i", await reader.readexactly(4))
            request = await reader.readexactly(size)
            writer.write(struct.pack(">i", 4 + len(body)) + request[4:8] + body)
        await reader.read()
        writer.close()

    return answer


async def test_where_one_server_lets_us_in_and_its_brokers_do_too_nothing_is_in_the_way() -> None:
    async with server(hang_up) as hung, server(welcome()) as broker:
        port = int(broker.rpartition(":")[2])
        async with server(welcome(port)) as bootstrap:
            assert await obstacle(KafkaConnection((hung, bootstrap))) is None


async def test_a_broker_that_is_not_where_the_cluster_has_it_is_said() -> None:
    async with server(welcome(1)) as bootstrap:
        error = await obstacle(KafkaConnection((bootstrap,)))
    assert error is not None
    assert error.resource == "broker 127.0.0.1:1"
    assert f"That is the address {bootstrap} has for it: check its advertised.listeners." in str(error)


async def test_a_port_where_nothing_listens_and_a_host_that_is_none_are_told_apart() -> None:
    assert "cannot be reached" in str(await obstacle(KafkaConnection(("127.0.0.1:1",))))
    assert "no such host" in str(await obstacle(KafkaConnection(("no.such.host.invalid:9092",))))
