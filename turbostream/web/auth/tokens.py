"""The two tokens: the owner's and the view-only one. Made at the first start, kept 0600. Those of
one channel are derived from them.

Knows files and nothing of HTTP. Nothing here, or anywhere else, logs a token.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import logging
import os
import re
import secrets
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from turbostream.settings import SettingError
from turbostream.stream import state_folder
from turbostream.stream.state_folder import UntrustedFile

log = logging.getLogger(__name__)

NAME = "tokens.json"
_TOKEN = re.compile(r"[A-Za-z0-9_-]{22,256}")
OF_ONE_CHANNEL = b"turbostream token of one channel, version 1"  # changed: all of them end
REMEDY = "delete it to make new ones (shared links stop working then)."


class TokensUnusable(SettingError):
    """One sentence that says why the kept tokens cannot be used, and what to do."""


@dataclass(frozen=True)
class Tokens:
    owner: str
    watch: str
    kept: bool  # False: they end with this process

    @classmethod
    def for_this_run(cls) -> Tokens:
        return cls(secrets.token_urlsafe(32), secrets.token_urlsafe(32), kept=False)

    def of_channel(self, name: str) -> Tokens:
        """The two tokens of the channel `name` alone, whether it exists or not.

        Each is that name, a dot, and HMAC-SHA-256 with the server's token as the key in unpadded
        base64url: there is nothing to keep, and new tokens of the server end these too.
        """
        return Tokens(
            _derived(self.owner, "control", name), _derived(self.watch, "view", name), self.kept
        )

    def __repr__(self) -> str:  # so that no log and no traceback can show them
        return f"Tokens(kept={self.kept})"


def _derived(token: str, use: str, channel: str) -> str:
    message = b"\0".join((OF_ONE_CHANNEL, use.encode(), channel.encode()))
    digest = hmac.new(token.encode(), message, hashlib.sha256).digest()
    return f"{channel}.{base64.urlsafe_b64encode(digest).rstrip(b'=').decode()}"


def load_tokens(folder: Path) -> Tokens:
    """The tokens of `folder`, made if there are none; for this run only if it cannot be written.

    Raises TokensUnusable if the file exists and is not what this program wrote: new tokens would
    lock out everybody who has a link.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        file = folder / NAME
        _make(file)
        return _read(file)
    except OSError as error:
        log.warning(
            "[access] %s cannot keep the tokens (%s): they end with this run, and no link can be "
            "shared; give another STATE_DIR for permanent ones.",
            folder,
            error.strerror,
        )
        return Tokens.for_this_run()


def _make(file: Path) -> None:
    """Write new tokens unless the file exists, atomically, also beside another start."""
    if os.path.lexists(file):
        return
    made = {"owner": secrets.token_urlsafe(32), "watch": secrets.token_urlsafe(32)}
    temporary = file.with_name(f".{NAME}.{secrets.token_hex(8)}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with open(descriptor, "w", encoding="utf-8") as out:
            json.dump(made, out)
        with suppress(FileExistsError):  # another start was faster: its tokens count
            os.link(temporary, file)
    finally:
        temporary.unlink()


def _read(file: Path) -> Tokens:
    try:
        found = state_folder.read_json(file)
        tokens = Tokens(found["owner"], found["watch"], kept=True)
        sound = _TOKEN.fullmatch(tokens.owner) and _TOKEN.fullmatch(tokens.watch)
    except UntrustedFile as error:
        raise TokensUnusable(f"{file} {error}; {REMEDY}") from None
    except (KeyError, TypeError):
        sound = None
    if not sound or tokens.owner == tokens.watch:
        raise TokensUnusable(f"{file} is not the file of tokens that this program wrote; {REMEDY}")
    # Only now that it is known to hold our tokens: a link's target must keep its mode.
    if state_folder.close_to_others(file):
        log.warning("[access] %s was readable by others; its mode is 0600 again.", file)
    return tokens
