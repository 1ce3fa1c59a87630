"""The coordinator of the embedded Kafka on the wire: requests of consumer groups in, their answers out.

It speaks the versions that aiokafka does.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Mapping, Sequence
from typing import Any, Final

from aiokafka.protocol.commit import OffsetCommitRequest_v2, OffsetCommitRequest_v3
from aiokafka.protocol.group import (
    HeartbeatRequest_v0,
    HeartbeatRequest_v1,
    JoinGroupRequest_v0,
    JoinGroupRequest_v1,
    JoinGroupRequest_v2,
    JoinGroupRequest_v5,
    LeaveGroupRequest_v0,
    LeaveGroupRequest_v1,
    SyncGroupRequest_v0,
    SyncGroupRequest_v1,
    SyncGroupRequest_v3,
)

from pollers.testing.kafka.groups import NOT_COORDINATOR, Group, Refused, Wish

__all__ = ["APIS", "LAST", "Coordinator"]

COMMIT, JOIN, BEAT, LEAVE, SYNC = 8, 11, 12, 13, 14  # keys of APIs
APIS: Final = frozenset({JOIN, BEAT, LEAVE, SYNC})  # which are answered here and never by the mock

_REQUESTS: Final[Mapping[tuple[int, int], Any]] = {
    (kind.API_KEY, kind.API_VERSION): kind
    for kind in (
        OffsetCommitRequest_v2,
        OffsetCommitRequest_v3,
        JoinGroupRequest_v0,
        JoinGroupRequest_v1,
        JoinGroupRequest_v2,
        JoinGroupRequest_v5,
        HeartbeatRequest_v0,
        HeartbeatRequest_v1,
        LeaveGroupRequest_v0,
        LeaveGroupRequest_v1,
        SyncGroupRequest_v0,
        SyncGroupRequest_v1,
        SyncGroupRequest_v3,
    )
}
LAST: Final = dict(sorted(_REQUESTS))  # versions that may be offered to clients


class Coordinator:
    """All groups of a cluster. All calls come from one event loop."""

    def __init__(self) -> None:
        self._groups: defaultdict[str, Group] = defaultdict(Group)
        self._places: dict[str, int] = {}  # brokers that coordinate a group; without one, whoever is asked
        self._errors: defaultdict[int, deque[int]] = defaultdict(deque)

    def fail(self, api: int, errors: Sequence[int]) -> None:
        """Answer the next requests of one of `APIS` with these errors."""
        self._errors[api].extend(errors)

    def move(self, group: str, broker: int) -> None:
        """Let one broker alone coordinate a group."""
        self._places[group] = broker

    async def answer(self, broker: int, api: int, version: int, body: bytes) -> bytes | None:
        """The answer to a request of a group; None: the mock is to give it. Raises `ConnectionError` where one is due.

        A JoinGroup and a SyncGroup wait for other members.
        """
        kind = _REQUESTS.get((api, version))
        if kind is None:
            return None
        request = kind.decode(body)
        try:
            self._refuse(broker, api, getattr(request, "group", ""))
            values = await self._do(api, request)
        except Refused as refusal:
            values = _refusal(api, request, refusal.code)
        return None if values is None else _encode(kind.RESPONSE_TYPE, values)

    def close(self) -> None:
        """End all timers."""
        for group in self._groups.values():
            group.close()

    def _refuse(self, broker: int, api: int, group: str) -> None:
        if self._errors[api]:
            code = self._errors[api].popleft()
            if code < 0:  # a code of the client's own: the network fails
                raise ConnectionError
            raise Refused(code)
        if self._places.get(group, broker) != broker:
            raise Refused(NOT_COORDINATOR)

    async def _do(self, api: int, request: Any) -> dict[str, Any] | None:
        if api == COMMIT:
            group = self._groups[request.consumer_group]
            group.commits(request.consumer_group_generation_id, request.consumer_id)
            return None  # the mock keeps the offsets
        group = self._groups[request.group]
        if api == JOIN:
            return await _join(group, request)
        if api == SYNC:
            assignments = {member: bytes(data) for member, data in request.group_assignment}
            data = await group.sync(request.generation_id, request.member_id, assignments)
            return {"member_assignment": data}
        if api == LEAVE:
            group.leave(request.member_id)
        else:
            group.beat(request.generation_id, request.member_id)
        return {}


async def _join(group: Group, request: Any) -> dict[str, Any]:
    wish = Wish(
        member=request.member_id,
        instance=getattr(request, "group_instance_id", None),
        session=request.session_timeout / 1_000,
        rebalance=getattr(request, "rebalance_timeout", request.session_timeout) / 1_000,
        protocols=[(name, bytes(data)) for name, data in request.group_protocols],
    )
    joined = await group.join(wish)
    names_instance = isinstance(request, JoinGroupRequest_v5)
    return {
        "generation_id": joined.generation,
        "group_protocol": joined.protocol,
        "leader_id": joined.leader,
        "member_id": joined.member,
        "members": [one if names_instance else (one[0], one[2]) for one in joined.members],
    }


def _refusal(api: int, request: Any, code: int) -> dict[str, Any]:
    if api == COMMIT:
        topics = [(topic, [(one[0], code) for one in partitions]) for topic, partitions in request.topics]
        return {"topics": topics}
    if api == JOIN:
        nothing = {"generation_id": -1, "group_protocol": "", "leader_id": "", "members": []}
        return {"error_code": code, "member_id": request.member_id, **nothing}
    return {"error_code": code, "member_assignment": b""}


def _encode(kind: Any, values: Mapping[str, Any]) -> bytes:
    """A version's answer: it has some of the fields, in its own order."""
    full = {"throttle_time_ms": 0, "error_code": 0, **values}
    encoded: bytes = kind(**{name: full[name] for name in kind.SCHEMA.names}).encode()
    return encoded
