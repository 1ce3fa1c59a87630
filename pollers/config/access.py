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
from pollers.kafka.connection import KafkaConnection, Renewed, Sasl, Tls

__all__ = ["connect"]


async def connect(terms: KafkaTerms, clients: Clients) -> KafkaConnection:
    """The connection that a mapping's terms describe. Raises `SourceError`."""
    sasl, tls = await _sasl(terms, clients), await _tls(terms, clients)
    if tls is None and sasl is not None and terms.tls:
        tls = Tls()
    return KafkaConnection(terms.servers or await _brokers(terms, sasl, clients), sasl, tls)


async def _sasl(terms: KafkaTerms, clients: Clients) -> Sasl | None:
    for access in terms.access:
        match access.mechanism:
            case None:
                continue
            case "AWS_MSK_IAM":
                return Sasl("AWS_MSK_IAM", region=await _region(terms, clients))
            case "OAUTHBEARER":
                return Sasl("OAUTHBEARER", token=_identity(terms, await _region(terms, clients), clients))
            case mechanism:
                secret = await _secret(access, clients)
                return Sasl(mechanism, _member(access, secret, "username"), _member(access, secret, "password"))
    if terms.arn and not terms.access:  # AWS: what MSK has without access configurations
        return Sasl("AWS_MSK_IAM", region=await _region(terms, clients))
    return None


async def _tls(terms: KafkaTerms, clients: Clients) -> Tls | None:
    given: dict[str, str | None] = {}
    for access in terms.access:
        if access.kind == "SERVER_ROOT_CA_CERTIFICATE":
            given["ca"] = _member(access, await _secret(access, clients), "certificate")
        elif access.kind == "CLIENT_CERTIFICATE_TLS_AUTH":
            secret = await _secret(access, clients)
            given["certificate"] = _member(access, secret, "certificate")
            given["key"] = _member(access, secret, "privateKey")
            if "privateKeyPassword" in secret:
                given["key_password"] = _member(access, secret, "privateKeyPassword")
    return Tls(**given) if given else None


async def _region(terms: KafkaTerms, clients: Clients) -> str:
    """The cluster's, or the one that botocore finds."""
    if terms.arn:
        return Arn.parse(terms.arn).region
    client = clients.get("kafka")
    try:
        await client.open()
    except CallFailed as failure:
        raise failure.about(", ".join(terms.servers)) from failure.__cause__
    return client.region


def _identity(terms: KafkaTerms, region: str, clients: Clients) -> Renewed:
    """Tokens of the role that the process has, for the audience of the cluster. AWS: IAM_OAUTHBEARER_AUTH."""
    audience = [access.uri for access in terms.access if access.kind == "OAUTHBEARER_AUDIENCE"]
    client = clients.get("sts", region)

    async def make() -> tuple[str, float]:
        answer = await client.call("GetWebIdentityToken", Audience=audience, SigningAlgorithm="RS256")
        return answer["WebIdentityToken"], answer["Expiration"].timestamp()

    return Renewed(make)


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
    way = "Tls" if sasl is None else names.get(sasl.mechanism, sasl.mechanism)
    for name in (f"BootstrapBrokerString{way}", f"BootstrapBrokerStringPublic{way}"):
        if answer.get(name):
            return tuple(str(answer[name]).split(","))
    remedy = "Enable that way of access on the cluster, or use another in source_access_configurations."
    raise SourceError(terms.arn, f"the cluster has no brokers for {way}", remedy, missing=True)
