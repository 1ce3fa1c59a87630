"""The MD5s of bodies and attributes, and SHA-256 for content-based deduplication, as AWS computes them."""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Mapping
from hashlib import md5, sha256
from struct import pack

__all__ = ["attributes_md5", "content_id", "text_md5"]


def text_md5(encoded: bytes) -> str:
    """Of a message body in UTF-8, as hexadecimal digits."""
    return md5(encoded, usedforsecurity=False).hexdigest()


def content_id(encoded: bytes) -> str:
    """The deduplication id of a body. AWS: SHA-256 of the body, not of the attributes."""
    return sha256(encoded).hexdigest()


def attributes_md5(attributes: Mapping[str, Mapping[str, str]]) -> str:
    """Of message attributes, or system attributes, by name.

    AWS, "Calculating the MD5 message digest for message attributes": sorted by name; name, data type and value each
    behind their length in four bytes, big-endian; one byte before the value: 1 for text, 2 for binary.
    """
    digest = md5(usedforsecurity=False)
    for name in sorted(attributes):
        attribute = attributes[name]
        digest.update(_measured(name.encode()) + _measured(attribute["DataType"].encode()))
        if attribute["DataType"].startswith("Binary"):
            digest.update(b"\x02" + _measured(b64decode(attribute["BinaryValue"])))
        else:
            digest.update(b"\x01" + _measured(attribute["StringValue"].encode()))
    return digest.hexdigest()


def _measured(part: bytes) -> bytes:
    return pack(">I", len(part)) + part
