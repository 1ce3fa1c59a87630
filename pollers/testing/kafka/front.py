"""What clients talk to in place of the mock cluster: it has the groups coordinated here, and passes on all else."""

from __future__ import annotations

import asyncio
import struct
from asyncio import StreamReader, StreamWriter
from collections.abc import Callable, Iterable
from functools import partial
from typing import Final

from pollers.testing.kafka.coordinator import LAST, Coordinator

__all__ = ["HOST", "Front"]

HOST: Final = "127.0.0.1"
_METADATA, _COORDINATOR, _VERSIONS = 3, 10, 18  # keys of APIs
_KNOWN: Final = 2  # the last version of ApiVersions that the mock has


class Front:
    """A port of 127.0.0.1 for each broker. All of it belongs to one event loop."""

    def __init__(self, ports: Iterable[int]) -> None:
        """`ports`: where the mock's brokers listen, in the order of their numbers."""
        self.coordinator = Coordinator()
        self._ports = tuple(ports)
        self._addresses: dict[bytes, bytes] = {}  # the mock's -> ours, as answers have them
        self._servers: list[asyncio.Server] = []
        self._connections: dict[_Connection, asyncio.Task[None]] = {}

    async def start(self) -> tuple[int, ...]:
        """Listen; returns the ports, in the order of the brokers."""
        for number, port in enumerate(self._ports, 1):
            server = await asyncio.start_server(partial(self._serve, number, port), HOST, 0)
            self._servers.append(server)
            self._addresses[_address(port)] = _address(_port(server))
        return tuple(map(_port, self._servers))

    async def close(self) -> None:
        """Cut all connections, and take none."""
        for server in self._servers:
            server.close()
        tasks = list(self._connections.values())
        for connection in self._connections:
            connection.cut()
        await asyncio.gather(*tasks)
        self.coordinator.close()

    async def _serve(self, number: int, port: int, reader: StreamReader, writer: StreamWriter) -> None:
        """One connection, until either side ends it."""
        task = asyncio.current_task()
        assert task is not None
        try:
            mock = await asyncio.open_connection(HOST, port)
        except OSError:  # the broker is down, and so are we
            writer.close()
            return
        connection = _Connection(self.coordinator, number, self._addresses, (reader, writer), mock)
        self._connections[connection] = task
        await connection.run()
        del self._connections[connection]


class _Connection:
    """One client's connection to one broker, and the one to the mock behind it."""

    def __init__(
        self,
        coordinator: Coordinator,
        broker: int,
        addresses: dict[bytes, bytes],
        client: tuple[StreamReader, StreamWriter],
        mock: tuple[StreamReader, StreamWriter],
    ) -> None:
        self._coordinator = coordinator
        self._broker = broker
        self._addresses = addresses
        self._from_client, self._to_client = client
        self._from_mock, self._to_mock = mock
        self._changed: dict[int, Callable[[bytes], bytes]] = {}  # what is to be made of answers, by request

    def cut(self) -> None:
        """End it."""
        self._to_client.close()
        self._to_mock.close()

    async def run(self) -> None:
        """Until either side ends it."""
        sides = [asyncio.create_task(self._requests()), asyncio.create_task(self._answers())]
        await asyncio.wait(sides, return_when=asyncio.FIRST_COMPLETED)
        for side in sides:
            side.cancel()
        await asyncio.gather(*sides, return_exceptions=True)
        self.cut()

    async def _requests(self) -> None:
        """One after the other, as brokers take them."""
        while True:
            frame = await _read(self._from_client)
            api, version, number, length = struct.unpack_from(">hhih", frame)
            if api in (_METADATA, _COORDINATOR):
                self._changed[number] = self._with_our_addresses
            elif api == _VERSIONS and version <= _KNOWN:  # newer ones are refused, and asked again
                self._changed[number] = _with_our_versions
            body = frame[10 + max(length, 0) :]  # behind the client's id
            answer = await self._coordinator.answer(self._broker, api, version, body)
            if answer is None:
                await _write(self._to_mock, frame)
            else:
                await _write(self._to_client, struct.pack(">i", number) + answer)

    async def _answers(self) -> None:
        while True:
            frame = await _read(self._from_mock)
            (number,) = struct.unpack_from(">i", frame)
            change = self._changed.pop(number, None)
            await _write(self._to_client, frame if change is None else change(frame))

    def _with_our_addresses(self, frame: bytes) -> bytes:
        for theirs, ours in self._addresses.items():
            frame = frame.replace(theirs, ours)
        return frame


def _with_our_versions(frame: bytes) -> bytes:
    """Kafka: ApiVersions, 0 to 2: the request's number, an error, and key, first and last version of each API."""
    answer = bytearray(frame)
    _, _, count = struct.unpack_from(">ihi", frame)
    for at in range(10, 10 + 6 * count, 6):
        api, _, last = struct.unpack_from(">hhh", frame, at)
        struct.pack_into(">h", answer, at + 4, min(last, LAST.get(api, last)))
    return bytes(answer)


async def _read(reader: StreamReader) -> bytes:
    (size,) = struct.unpack(">i", await reader.readexactly(4))
    return await reader.readexactly(size)


async def _write(writer: StreamWriter, frame: bytes) -> None:
    writer.write(struct.pack(">i", len(frame)) + frame)
    await writer.drain()


def _port(server: asyncio.Server) -> int:
    return int(server.sockets[0].getsockname()[1])


def _address(port: int) -> bytes:
    """As answers have a broker's address, whatever their version: the text of the host, and the port."""
    return HOST.encode() + struct.pack(">i", port)
