"""Where a request comes from: this machine, another site, a browser or a program.

Pure functions of a request's peer and headers. What a browser says about where a request comes from
is trusted, so that no other site can drive the stream.
"""

from __future__ import annotations

import ipaddress

from werkzeug.datastructures import Headers

FORWARDING_HEADERS = (
    "Forwarded",
    "X-Forwarded-For",
    "X-Forwarded-Host",
    "X-Forwarded-Proto",
    "X-Real-Ip",
    "Via",
)
READING = ("GET", "HEAD", "OPTIONS")


def is_browser(headers: Headers) -> bool:
    """True for a browser: it marks what it fetches (Sec-Fetch-*, on https and localhost), or calls
    itself Mozilla, as all browsers do."""
    return (
        "Sec-Fetch-Dest" in headers
        or "Sec-Fetch-Mode" in headers
        or headers.get("User-Agent", "").startswith("Mozilla/")
    )


def is_loopback(address: str) -> bool:
    """True for 127.0.0.0/8 and ::1, also written as an IPv4 address inside IPv6."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    mapped = getattr(parsed, "ipv4_mapped", None)
    return bool((mapped or parsed).is_loopback)


def is_loopback_host(host: str) -> bool:
    """True if a `Host` header names this machine; a name that only resolves to it does not count
    (DNS rebinding)."""
    name = host.strip().lower()
    if name.startswith("["):
        name = name[1:].partition("]")[0]
    elif name.count(":") == 1:
        name = name.partition(":")[0]
    return name == "localhost" or is_loopback(name)


def is_local(peer: str, headers: Headers) -> bool:
    """True for a client on this machine, or at the far end of the tunnel."""
    return (
        is_loopback(peer)
        and is_loopback_host(headers.get("Host", ""))
        and not any(name in headers for name in FORWARDING_HEADERS)
    )


def may_change(method: str, headers: Headers) -> bool:
    """True if the request may change something. The handshake of a WebSocket may, although it is a
    GET; browsers send it to other sites, with the cookie and without asking first."""
    return method not in READING or "Sec-WebSocket-Key" in headers


def is_cross_site(method: str, path: str, headers: Headers, allowed: frozenset[str]) -> bool:
    """True if a browser says that another site, or another port of this host, sends the request.

    Exceptions: a link to the page itself, opened at the top level, and the origins in `allowed`.
    """
    site = headers.get("Sec-Fetch-Site")
    origin = headers.get("Origin")
    if origin is not None and origin.lower() in allowed:
        return False
    if site is None:
        return may_change(method, headers) and origin is not None and not is_own(origin, headers)
    if site in ("none", "same-origin"):
        return False
    return not (
        method == "GET"
        and path == "/"
        and headers.get("Sec-Fetch-Mode") == "navigate"
        and headers.get("Sec-Fetch-Dest") == "document"
    )


def is_own(origin: str, headers: Headers) -> bool:
    """True if an `Origin` is that of the address that was requested."""
    return origin.partition("://")[2] == headers.get("Host", "")
