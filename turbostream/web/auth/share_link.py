"""The link that opens this server to others: an address that reaches it, and a token.

Runs in a process of its own (`--share`), so what the server was told is found out, not known.
"""

from __future__ import annotations

import socket

from turbostream.settings import Settings
from turbostream.web.auth.identity import is_loopback_host
from turbostream.web.auth.tokens import TokensUnusable, load_tokens


def link(settings: Settings, what: str) -> str:
    """The address that opens the stream to others: what is `watch`, or `own` for everything.

    The token stands in the fragment, which no browser sends to anybody.
    """
    tokens = load_tokens(settings.state_folder)
    if not tokens.kept:
        raise TokensUnusable("A link needs tokens that are kept; give a STATE_DIR for them.")
    address = settings.public_address
    if address == "auto":
        address = _reached_at(settings.server_host, settings.server_port)
    return f"http://{address}/#{tokens.watch if what == 'watch' else tokens.owner}"


def _reached_at(host: str, port: int) -> str:
    """HOST:PORT of this machine for others; raises TokensUnusable where nobody else gets in."""
    if host in ("0.0.0.0", "::"):
        host = outward_address()
    elif is_loopback_host(host):
        # The server may have been started with another SERVER_HOST than this command.
        outward = outward_address()
        if not _accepts(outward, port):
            raise TokensUnusable(
                f"No server listens on {outward}:{port}, so a link would open for nobody: start it "
                "with --server-host 0.0.0.0, or give the PUBLIC_ADDRESS of the proxy in front."
            )
        host = outward
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _accepts(host: str, port: int) -> bool:
    try:
        socket.create_connection((host, port), timeout=2.0).close()
    except OSError:
        return False
    return True


def outward_address() -> str:
    """The address of this machine that others may know; nothing is sent to find it."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # an address that belongs to nobody
            return str(probe.getsockname()[0])
        except OSError:
            return socket.gethostname()
