"""What mappings and functions are called: identities under which positions are kept, ARNs that functions would have."""

from __future__ import annotations

import hashlib
import re

__all__ = ["default_identity", "function_arn"]

_REGION_AND_ACCOUNT = re.compile(r"^arn:[^:]*:[^:]*:(?P<region>[^:]*):(?P<account>\d*)")


def default_identity(source: str, function: str) -> str:
    """Twelve hexadecimal digits that stay the same while the source's ARN and the function's name do."""
    return hashlib.sha256(f"{source}\0{function}".encode()).hexdigest()[:12]


def function_arn(name: str, source: str) -> str:
    """The ARN that a function outside Lambda would have. Ours: semantics 12-20."""
    found = _REGION_AND_ACCOUNT.match(source)
    region = (found and found["region"]) or "us-east-1"
    account = (found and found["account"]) or "000000000000"
    return f"arn:aws:lambda:{region}:{account}:function:{name}"
