"""Functions: from the fields of a file to typed values, with the rules that span several fields."""

from __future__ import annotations

import ipaddress
from typing import Any, Final
from urllib.parse import unquote, urlsplit

from pollers.config.model import FunctionConfig
from pollers.config.place import Place
from pollers.config.tables import Given

__all__ = ["read_function"]

_RUNS: Final = ("handler", "url", "arn")
_SCHEMES: Final = ("http", "https")
_SOCKET: Final = "http+unix"
_CREDENTIALS: Final = ipaddress.ip_address("fd00:ec2::254"), ipaddress.ip_address("fd00:ec2::23")  # AWS: EC2, EKS


def read_function(name: str, given: Given) -> FunctionConfig:
    """The function, its faults reported; meaningful only if there were none."""
    _check_what_runs(given)
    _check_name(name, given)
    options = given.inner("pollers")
    environment = given.inner("environment").get("variables")
    for one in ("url", "readiness"):
        where = given if one == "url" else options
        if where.get(one) is not None:
            _check_url(where.get(one), where.at(one))
    _check_readiness(given, options)
    _check_handler_only(given, options, environment)
    return FunctionConfig(
        name=name,
        handler=given.get("handler"),
        url=given.get("url"),
        arn=given.get("arn"),
        timeout=given.get("timeout"),
        memory_size=given.get("memory_size"),
        reserved_concurrent_executions=given.get("reserved_concurrent_executions"),
        environment=environment or None,
        isolation=options.get("isolation"),
        readiness=options.get("readiness"),
    )


def _check_what_runs(given: Given) -> None:
    named = [one for one in _RUNS if given.has(one)]
    if not named:
        given.place.fault(
            "does not say what to call.",
            'Add handler = "module.function", url = "http://…" or arn = "arn:aws:lambda:…".',
        )
    elif len(named) > 1:
        given.place.fault(f"names {' and '.join(named)}, but is one function.", "Keep one of them.")


def _check_name(name: str, given: Given) -> None:
    told = given.get("function_name")
    if told is not None and told != name:
        given.at("function_name").fault(
            f"'{told}' is not the name it stands under.", f"Write '{name}', or leave it out."
        )


def _check_handler_only(given: Given, options: Given, environment: dict[str, Any] | None) -> None:
    remote = given.get("url") is not None or given.get("arn") is not None
    if remote and options.has("isolation"):
        options.at("isolation").fault("is for handlers: this function runs elsewhere.", "Leave it out.")
    if remote and environment:
        given.at("environment").fault(
            "is for handlers: this function runs elsewhere.", "Set it where the function runs."
        )
    if environment and options.get("isolation") in ("inline", "thread"):
        given.at("environment").fault(
            f"needs a process of its own, and isolation is '{options.get('isolation')}'.",
            "Set pollers.isolation to 'process', or leave one of them out.",
        )


def _check_readiness(given: Given, options: Given) -> None:
    if not options.has("readiness"):
        return
    if not given.has("url"):
        options.at("readiness").fault("is for functions with a url.", "Leave it out.")
    elif _socket(given.get("url")) != _socket(options.get("readiness")):
        options.at("readiness").fault(
            "is not asked for where the url is.", "Name the same unix socket in both, or in neither."
        )


def _socket(url: str | None) -> str | None:
    """The unix socket of a URL that names one."""
    scheme, _, rest = (url or "").partition("://")
    return rest.partition("/")[0] if scheme == _SOCKET else None


def _check_url(url: str, place: Place) -> None:
    """A URL that may be posted to. Link-local addresses hold a machine's credentials: never a function."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        parts, host, port = urlsplit(""), None, None
    if parts.scheme == _SOCKET:
        if not unquote(parts.netloc).startswith("/"):
            place.fault("names no unix socket.", "Write it as http+unix://%2Frun%2Fapp.sock/path.")
    elif parts.scheme not in _SCHEMES or not host or port == 0:
        place.fault("is not a URL that can be called.", "Write it as http://host:port/path or https://host/path.")
    elif parts.username is not None or parts.password is not None:
        place.fault("carries a user or a password.", "Keep secrets out of URLs: they end up in logs.")
    elif _forbidden(host):
        place.fault(
            f"{host} is a link-local, multicast or unspecified address, where no function can be.",
            "Use a loopback, private or public address.",
        )


def _forbidden(host: str) -> bool:
    """Whether a literal address must not be called. Names are checked once they are resolved, by the target."""
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return address.is_link_local or address.is_multicast or address.is_unspecified or address in _CREDENTIALS
