"""Who may ask: a peer on this machine, by a name of this machine, from this page.

A loopback peer with a loopback `Host` and no forwarding header is the owner: that is the tunnel,
or the person at the keyboard. Everybody else is refused. What a browser marks about where a
request comes from is believed, so that no other site can drive the stream.
"""

from __future__ import annotations

import ipaddress

from werkzeug.datastructures import Headers

FORWARDING_HEADERS = ("Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Real-Ip", "Via")


def is_loopback(address: str) -> bool:
    """True for 127.0.0.0/8 and ::1, also written as an IPv4 address inside IPv6."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    mapped = getattr(parsed, "ipv4_mapped", None)
    return bool((mapped or parsed).is_loopback)


def is_loopback_host(host: str) -> bool:
    """True if a `Host` header names this machine; a name that merely resolves here does not
    (DNS rebinding)."""
    name = host.strip().lower()
    if name.startswith("["):
        name = name[1:].partition("]")[0]
    elif name.count(":") == 1:
        name = name.partition(":")[0]
    return name == "localhost" or is_loopback(name)


def is_owner(peer: str, headers: Headers) -> bool:
    """True for whoever sits at this machine or at the near end of the tunnel."""
    return (
        is_loopback(peer)
        and is_loopback_host(headers.get("Host", ""))
        and not any(name in headers for name in FORWARDING_HEADERS)
    )


def crosses_sites(method: str, path: str, headers: Headers) -> bool:
    """True if a browser says that another site (or another port of this one) is asking.

    The one exception is a link to the page itself, opened at the top level.
    """
    site = headers.get("Sec-Fetch-Site")
    if site in (None, "none", "same-origin"):
        origin = headers.get("Origin")
        host = headers.get("Host", "")
        return (
            site is None
            and method not in ("GET", "HEAD")
            and origin is not None
            and origin.partition("://")[2] != host
        )
    return not (
        method == "GET"
        and path == "/"
        and headers.get("Sec-Fetch-Mode") == "navigate"
        and headers.get("Sec-Fetch-Dest") == "document"
    )
