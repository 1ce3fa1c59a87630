"""Mappings of Kafka topics, on Amazon MSK and elsewhere: AWS's rules for them (semantics 1.1 to 1.3)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final, Literal

from pollers.config.kinds import KAFKA
from pollers.config.logs import failure_destination, limit, max_age, starting_position
from pollers.config.model import Access, KafkaTerms, Mechanism
from pollers.config.tables import Given

__all__ = ["kafka_name", "read_kafka"]

WINDOW: Final = 0.5  # seconds that a batch waits where nothing is written. AWS: 3.1-3
RETRIES: Final = 10  # AWS: with a destination, without provisioned pollers and without a limit (5.7-1, 13-7)
PER_POLLER: Final = 5  # invocations at once. AWS: what one provisioned poller of Kafka can do (9-7)
POLLERS: Final = 2_000  # AWS: MaximumPollers of Kafka (1.2)

_CLUSTER: Final = re.compile(r"arn:[a-z-]+:kafka:[a-z0-9-]+:\d{12}:cluster/[^/]+/[^/]+", re.ASCII)
_SASL: Final[dict[str, Mechanism]] = {
    "BASIC_AUTH": "PLAIN",
    "SASL_SCRAM_256_AUTH": "SCRAM-SHA-256",
    "SASL_SCRAM_512_AUTH": "SCRAM-SHA-512",
    "IAM_AUTH": "AWS_MSK_IAM",
    "IAM_OAUTHBEARER_AUTH": "OAUTHBEARER",
}
_SECRETLESS: Final = frozenset({"IAM_AUTH", "IAM_OAUTHBEARER_AUTH"})  # AWS: by the role that the process has
_AUDIENCE: Final = "OAUTHBEARER_AUDIENCE"
_TLS: Final = frozenset({"CLIENT_CERTIFICATE_TLS_AUTH", "SERVER_ROOT_CA_CERTIFICATE"})
_IDLE: Final = frozenset({"VPC_SUBNET", "VPC_SECURITY_GROUP"})  # Lambda's own network; here it is the process's
_SECRET: Final = re.compile(r"arn:[a-z-]+:secretsmanager:[a-z0-9-]+:\d{12}:secret:.+|file:/.+|env:.+", re.ASCII)


def kafka_name(given: Given) -> str:
    """What stands for the source where it has no ARN: its servers and its topic."""
    topics = given.get("topics") or ("",)
    return f"kafka://{','.join(_servers(given))}/{topics[0]}"


def read_kafka(given: Given) -> KafkaTerms | None:
    """What only Kafka has, its faults reported; None where the source is no cluster."""
    arn: str = given.get("event_source_arn") or ""
    if arn and not _CLUSTER.fullmatch(arn):
        form = "Write it as arn:aws:kafka:region:account:cluster/name/uuid."
        given.at("event_source_arn").fault(f"'{arn}' is not the ARN of an MSK cluster.", form)
        return None
    _refuse_what_cannot_be_run(given)
    options = given.inner("pollers")
    lanes: Literal["shard", "key", "none"] = options.get("lanes")
    topic = _topic(given)
    destination = failure_destination(given, KAFKA)
    if topic and destination == f"kafka://{topic}":
        what = f"The failure destination cannot be the source topic {topic}."  # AWS: records would go round for ever
        place = given.inner("destination_config").inner("on_failure")
        place.at("destination").fault(what, "Name another topic of its cluster.")
    return KafkaTerms(
        topic=topic,
        servers=_servers(given),
        arn=arn,
        group=_settings(given).get("consumer_group_id"),
        starting_position=starting_position(given, KAFKA),
        lanes="partition" if lanes == "shard" else lanes,
        out_of_range=options.get("out_of_range"),
        instance=options.get("instance"),
        access=_access(given),
        tls=options.get("tls"),
        maximum_concurrency=_concurrency(given),
        maximum_retry_attempts=_retries(given, destination),
        maximum_record_age_in_seconds=max_age(given),
        bisect_batch_on_function_error=given.get("bisect_batch_on_function_error"),
        destination=destination,
        drop_undelivered=options.get("on_destination_failure") == "drop",
        backoff=options.get("backoff"),
    )


def _servers(given: Given) -> tuple[str, ...]:
    endpoints = given.inner("self_managed_event_source").get("endpoints") or {}
    servers: tuple[str, ...] = endpoints.get("KAFKA_BOOTSTRAP_SERVERS") or ()
    return servers


def _settings(given: Given) -> Given:
    """The group's settings: AWS has two names for them, by where the cluster is."""
    name = "self_managed" if given.has("self_managed_event_source") else "amazon_managed"
    return given.inner(f"{name}_kafka_event_source_config")


def _topic(given: Given) -> str:
    if not given.has("topics") or given.blank("topics"):
        given.at("topics").fault("Required 'topics' parameter is missing.", 'Name one: topics = ["orders"].')
        return ""
    topics = given.get("topics") or ("",)
    return str(topics[0])


def _is_provisioned(given: Given) -> bool:
    return given.has("provisioned_poller_config") and not given.blank("provisioned_poller_config")


def _concurrency(given: Given) -> int | None:
    """Invocations at once: what the provisioned pollers could do."""
    if not _is_provisioned(given):
        return None
    provisioned = given.inner("provisioned_poller_config")
    pollers: int = provisioned.get("maximum_pollers")
    if pollers > POLLERS:
        what = f"{pollers} is not between 1 and {POLLERS}, what a topic can have."
        provisioned.at("maximum_pollers").fault(what, f"Give 1 to {POLLERS}.")
    return PER_POLLER * pollers


def _retries(given: Given, destination: str | None) -> int | None:
    retries = limit(given.get("maximum_retry_attempts"))
    return RETRIES if retries is None and destination and not _is_provisioned(given) else retries


def _refuse_what_cannot_be_run(given: Given) -> None:
    if given.has("event_source_arn") and given.has("self_managed_event_source"):
        what = "a mapping has one source: an MSK cluster by its ARN, or one elsewhere by its addresses."
        given.at("self_managed_event_source").fault(what, "Keep one of the two.")
    for name in ("self_managed_kafka_event_source_config", "amazon_managed_kafka_event_source_config"):
        settings = given.inner(name)
        if settings.has("schema_registry_config") and not settings.blank("schema_registry_config"):
            what = "schema registries are not read by this version of pollers yet."
            settings.at("schema_registry_config").fault(what, "Leave it out: the function gets the bytes as they are.")
        if settings.has("consumption_mode") and settings.get("consumption_mode") == "Queue":
            what = "share groups are not read by this version of pollers yet."
            settings.at("consumption_mode").fault(what, "Write Stream, or leave it out.")


def _access(given: Given) -> tuple[Access, ...]:
    """How to log in: at most one way, and certificates."""
    found: list[Access] = []
    for one in given.get("source_access_configurations") or ():
        kind, uri = one.get("type"), one.get("uri")
        if kind is None or kind in _IDLE:
            continue
        if kind not in {*_SASL, *_TLS, _AUDIENCE}:
            what = f"{kind} cannot be used by this version of pollers yet."
            one.at("type").fault(what, f"Use one of {', '.join(sorted([*_SASL, *_TLS]))}.")
            continue
        if kind not in {*_SECRETLESS, _AUDIENCE} and not _SECRET.fullmatch(uri or ""):
            what = f"'{uri}' does not say where the secret is." if uri else "a secret is needed."
            one.at("uri").fault(what, "Write a Secrets Manager ARN, file:/run/secrets/kafka.json or env:NAME.")
        found.append(Access(kind, _SASL.get(kind), uri or ""))
    _check_ways(given, found)
    return tuple(found)


def _check_ways(given: Given, found: Sequence[Access]) -> None:
    """AWS: an audience goes with an identity, which needs one."""
    ways = [one.kind for one in found if one.mechanism is not None]
    place = given.at("source_access_configurations")
    if len(ways) > 1:
        place.fault(f"{' and '.join(ways)} are two ways to log in.", "Keep one of them.")
    elif "IAM_OAUTHBEARER_AUTH" in ways and not any(one.kind == _AUDIENCE and one.uri for one in found):
        place.fault("IAM_OAUTHBEARER_AUTH needs an OAUTHBEARER_AUDIENCE.", "Add one, with the audience as its URI.")
    elif "IAM_OAUTHBEARER_AUTH" not in ways and any(one.kind == _AUDIENCE for one in found):
        place.fault("OAUTHBEARER_AUDIENCE is for IAM_OAUTHBEARER_AUTH only.", "Leave it out.")
