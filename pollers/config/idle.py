"""Fields of AWS that are accepted and do nothing here, each with its reason: the one table of them.

A file that was written for Lambda, or printed by its API, stays valid; the reader is told once what has no effect.
"""

from __future__ import annotations

from typing import Final

from pollers.config.scalars import Choice, Text
from pollers.config.tables import Field, Table
from pollers.config.values import Open, Several, Value

__all__ = ["IDLE_FUNCTION_FIELDS", "IDLE_MAPPING_FIELDS"]

_METRICS = Table(
    "MetricsConfig", Field("Metrics", Several(Choice(("EventCount", "ErrorCount", "KafkaMetrics")), 0, 3), "Kinds.")
)
_LOGGING = Table("LoggingConfig", Field("SystemLogLevel", Choice(("DEBUG", "INFO", "WARN")), "The level."))

_NOWHERE = "the function runs where pollers runs"
_MAPPING: Final[dict[str, tuple[Value, str]]] = {
    "KMSKeyArn": (Text(0, 10_000), "filters are read from this file as they are"),
    "Tags": (Open(), "there is no Lambda resource to tag; give the mapping a name"),
    "MetricsConfig": (_METRICS, "every metric is always exposed"),
    "LoggingConfig": (_LOGGING, "logs go to the output of pollers"),
}
_MAPPING_READ_ONLY: Final = (
    "EventSourceMappingArn",
    "LastModified",
    "LastProcessingResult",
    "State",
    "StateTransitionReason",
)

_FUNCTION: Final = {
    "Architectures": _NOWHERE,
    "CapacityProviderConfig": _NOWHERE,
    "Code": "the handler is imported from --app-dir",
    "CodeSigningConfigArn": "the handler is imported from --app-dir",
    "DeadLetterConfig": "it is for asynchronous invocations, which mappings do not make",
    "Description": "nobody reads it",
    "DurableConfig": "executions are not durable here",
    "EphemeralStorage": "the handler uses the disk of the machine",
    "FileSystemConfigs": "the handler uses the disk of the machine",
    "ImageConfig": _NOWHERE,
    "KMSKeyArn": "the environment is read from this file as it is",
    "Layers": "the handler imports what is installed beside pollers",
    "LoggingConfig": "logs go to the output of pollers",
    "PackageType": "the handler is imported from --app-dir",
    "Publish": "there are no versions here",
    "Role": "the handler has the credentials of the process",
    "Runtime": "the handler runs in this Python",
    "SnapStart": "workers are kept warm",
    "Tags": "there is no Lambda resource to tag",
    "TenancyConfig": _NOWHERE,
    "TracingConfig": "no trace is recorded",
    "VpcConfig": "the handler uses the network of the machine",
}
_FUNCTION_READ_ONLY: Final = (
    "CodeSha256",
    "CodeSize",
    "ConfigSha256",
    "FunctionArn",
    "ImageConfigResponse",
    "LastModified",
    "LastUpdateStatus",
    "LastUpdateStatusReason",
    "LastUpdateStatusReasonCode",
    "MasterArn",
    "RevisionId",
    "RuntimeVersionConfig",
    "SigningJobArn",
    "SigningProfileVersionArn",
    "State",
    "StateReason",
    "StateReasonCode",
    "Version",
)


def _read_only(names: tuple[str, ...]) -> tuple[Field, ...]:
    return tuple(Field(name, Open(), "Reported by AWS; not used here.", read_only=True) for name in names)


IDLE_MAPPING_FIELDS: Final = (
    *(Field(name, value, f"Does nothing here: {why}.", idle=why) for name, (value, why) in _MAPPING.items()),
    *_read_only(_MAPPING_READ_ONLY),
)
IDLE_FUNCTION_FIELDS: Final = (
    *(Field(name, Open(), f"Does nothing here: {why}.", idle=why) for name, why in _FUNCTION.items()),
    *_read_only(_FUNCTION_READ_ONLY),
)
