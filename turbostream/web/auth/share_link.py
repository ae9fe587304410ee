"""The link that gives others access to this server: an address that reaches it, and a token.

Runs in a separate process (`--share`), so it has to find out which settings the server was given.
"""

from __future__ import annotations

import socket
from urllib.parse import urlsplit

from turbostream.settings import Settings
from turbostream.stream.channel_names import ChannelError, check_name
from turbostream.web.auth.origin import is_loopback_host
from turbostream.web.auth.tokens import Tokens, TokensUnusable, load_tokens


def link(settings: Settings, what: str, channel: str | None = None) -> str:
    """The link for others: `what` is `watch`, or `own` for control; of one channel, which need not
    exist yet, or of the server. Raises TokensUnusable with one sentence.
    """
    if channel is not None:
        try:
            check_name(channel)
        except ChannelError as error:
            raise TokensUnusable(str(error)) from None
    tokens = load_tokens(settings.state_folder)
    if not tokens.kept:
        raise TokensUnusable("A link needs tokens that are kept; give a writable STATE_DIR.")
    address = settings.public_address
    if address == "auto":
        address = _reached_at(settings.server_host, settings.server_port)
    if channel is not None:
        tokens = tokens.of_channel(channel)
    token = tokens.watch if what == "watch" else tokens.owner
    return _address_with(token, f"http://{address}", channel)


def channel_links(settings: Settings, tokens: Tokens, channel: str, asked: str) -> dict[str, str]:
    """The links that open `channel` alone, by what they are for: `control` and `view`.

    asked: the address at which whoever asks reaches this server, SCHEME://HOST:PORT. Raises
    TokensUnusable if others do not reach it.
    """
    if settings.public_address != "auto":
        address = f"http://{settings.public_address}"
    elif not is_loopback_host(urlsplit(asked).netloc):
        address = asked
    elif is_loopback_host(settings.server_host):
        raise TokensUnusable(
            "This server listens on this machine only, so a link would not work: start it with "
            "--server-host 0.0.0.0, or give the PUBLIC_ADDRESS of the proxy in front."
        )
    else:
        address = f"http://{_reached_at(settings.server_host, settings.server_port)}"
    own = tokens.of_channel(channel)
    return {
        "control": _address_with(own.owner, address, channel),
        "view": _address_with(own.watch, address, channel),
    }


def _address_with(token: str, address: str, channel: str | None) -> str:
    """The token is in the fragment, which browsers do not send."""
    query = "" if channel is None else f"?channel={channel}"
    return f"{address}/{query}#{token}"


def _reached_at(host: str, port: int) -> str:
    """HOST:PORT of this machine for others; raises TokensUnusable if it cannot be reached."""
    if host in ("0.0.0.0", "::"):
        host = outward_address()
    elif is_loopback_host(host):
        # The server may have been started with another SERVER_HOST than this command.
        outward = outward_address()
        if not _accepts(outward, port):
            raise TokensUnusable(
                f"No server listens on {outward}:{port}, so a link would not work: start it "
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
    """The address of this machine on its network; nothing is sent to find it."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # reserved for documentation (RFC 5737)
            return str(probe.getsockname()[0])
        except OSError:
            return socket.gethostname()
