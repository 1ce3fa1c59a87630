"""How a Kafka cluster is reached: secrets are read, and MSK is asked for its brokers, when a source is opened."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from pollers.aws.arn import Arn
from pollers.aws.client import Clients
from pollers.aws.errors import CallFailed
from pollers.config.model import Access, KafkaTerms
from pollers.errors import SourceError
from pollers.kafka.connection import KafkaConnection, Sasl, Tls

__all__ = ["connect"]


async def connect(terms: KafkaTerms, clients: Clients) -> KafkaConnection:
    """The connection that a mapping's terms describe. Raises `SourceError`."""
    sasl: Sasl | None = None
    tls: dict[str, str | None] = {}
    for access in terms.access:
        if access.mechanism == "AWS_MSK_IAM":
            sasl = Sasl("AWS_MSK_IAM", region=_region(terms))
            continue
        secret = await _secret(access, clients)
        if access.mechanism is not None:
            sasl = Sasl(access.mechanism, _member(access, secret, "username"), _member(access, secret, "password"))
        elif access.kind == "SERVER_ROOT_CA_CERTIFICATE":
            tls["ca"] = _member(access, secret, "certificate")
        else:
            tls["certificate"] = _member(access, secret, "certificate")
            tls["key"] = _member(access, secret, "privateKey")
            tls["key_password"] = secret.get("privateKeyPassword")
    if terms.arn and not terms.access:
        sasl = Sasl("AWS_MSK_IAM", region=_region(terms))  # AWS: what MSK has without access configurations
    encrypted = bool(tls) or (sasl is not None and terms.tls)
    servers = terms.servers or await _brokers(terms, sasl, clients)
    return KafkaConnection(servers, sasl, Tls(**tls) if encrypted else None)


def _region(terms: KafkaTerms) -> str:
    return Arn.parse(terms.arn).region if terms.arn else os.environ.get("AWS_REGION", "us-east-1")


async def _secret(access: Access, clients: Clients) -> dict[str, Any]:
    """A JSON object, as Secrets Manager keeps it for Lambda."""
    text = await _text(access, clients)
    try:
        secret = json.loads(text)
    except ValueError:
        secret = None
    if not isinstance(secret, dict):
        raise _unusable(access, "it is not a JSON object", 'Write {"username": "...", "password": "..."}')
    return secret


async def _text(access: Access, clients: Clients) -> str:
    scheme, _, rest = access.uri.partition(":")
    if scheme == "env":
        if rest not in os.environ:
            raise _unusable(access, "there is no such environment variable", f"Set {rest}")
        return os.environ[rest]
    if scheme == "file":
        try:
            return await asyncio.to_thread(Path(unquote(urlsplit(access.uri).path)).read_text, encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise _unusable(access, f"it cannot be read ({error})", "Check the path and who may read it") from None
    client = clients.get("secretsmanager", Arn.parse(access.uri).region)
    try:
        answer = await client.call("GetSecretValue", SecretId=access.uri)
    except CallFailed as failure:
        raise failure.about(access.uri) from failure.__cause__
    return str(answer.get("SecretString", ""))


def _member(access: Access, secret: dict[str, Any], name: str) -> str:
    value = secret.get(name)
    if not isinstance(value, str) or not value:
        raise _unusable(access, f"it has no {name}", f"Add {name} to the JSON object")
    return value


def _unusable(access: Access, reason: str, remedy: str) -> SourceError:
    return SourceError(f"the secret {access.uri} of {access.kind}", reason, f"{remedy}.", missing=True)


async def _brokers(terms: KafkaTerms, sasl: Sasl | None, clients: Clients) -> tuple[str, ...]:
    """The bootstrap servers of an MSK cluster that fit the way we log in."""
    client = clients.get("kafka", Arn.parse(terms.arn).region)
    try:
        answer = await client.call("GetBootstrapBrokers", ClusterArn=terms.arn)
    except CallFailed as failure:
        raise failure.about(terms.arn) from failure.__cause__
    names = {"AWS_MSK_IAM": "SaslIam", "SCRAM-SHA-512": "SaslScram", "SCRAM-SHA-256": "SaslScram"}
    way = names.get(sasl.mechanism, "") if sasl is not None else "Tls"
    for name in (f"BootstrapBrokerString{way}", f"BootstrapBrokerStringPublic{way}"):
        if answer.get(name):
            return tuple(str(answer[name]).split(","))
    remedy = "Enable that way of access on the cluster, or use another in source_access_configurations."
    raise SourceError(terms.arn, f"the cluster has no brokers for {way or 'this way of access'}", remedy, missing=True)
