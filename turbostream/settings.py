"""Every setting once: its name, default, check and help.

The fields of `Settings` are the table. It feeds the command line (`--target-fps`), the
environment (`TARGET_FPS`), `--help`, `/status` and the table in the README (a test compares).
`load` is the only place that reads the environment or the command line. Nothing here may import
torch, Flask or anything else that is slow: a wrong value has to be answered at once.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, dataclass
from pathlib import Path
from typing import Any, NoReturn

from turbostream.stream.scene import check_prompt

Check = Callable[[str], Any]


class SettingError(ValueError):
    """One sentence about a setting that cannot be used; the entry point prints it and exits 2."""


class Refusal(ValueError):
    """Why a value that has the right form cannot be used; SettingError's sentence names it."""


def number(low: float, high: float) -> Check:
    def check(text: str) -> float:
        value = float(text)
        if not low <= value <= high:  # also refuses nan
            raise ValueError
        return value

    check.__doc__ = f"a number from {low:g} to {high:g}"
    return check


def whole(low: int, high: int, multiple: int = 1, auto: bool = False) -> Check:
    def check(text: str) -> int | None:
        if auto and text.lower() == "auto":
            return None
        if not re.fullmatch(r"[+-]?[0-9]{1,20}", text):
            raise ValueError
        value = int(text)
        if not low <= value <= high or value % multiple:
            raise ValueError
        return value

    kind = f"a multiple of {multiple}" if multiple > 1 else "a whole number"
    check.__doc__ = f"{kind} from {low} to {high}" + (" or 'auto'" if auto else "")
    return check


def one_of(*choices: str) -> Check:
    def check(text: str) -> str:
        if text.lower() not in choices:
            raise ValueError
        return text.lower()

    check.__doc__ = "one of " + ", ".join(choices)
    return check


def text(what: str, pattern: str = r".+") -> Check:
    def check(value: str) -> str:
        if not re.fullmatch(pattern, value):
            raise ValueError
        return value

    check.__doc__ = what
    return check


def prompt(value: str) -> str:
    """1 to 1,000 characters of text without control characters"""
    return check_prompt(value)


def folder(value: str) -> Path:
    """a folder"""
    try:
        path = Path(value).expanduser()
        wrong = path.exists() and not path.is_dir()
    except RuntimeError:
        raise Refusal("no user has the home that its ~ asks for") from None
    except OSError as error:
        raise Refusal(error.strerror) from None
    if wrong:
        raise ValueError
    return path


def origins(value: str) -> str:
    """'none' or origins such as https://example.com, separated by commas"""
    if value.strip().lower() == "none":
        return "none"
    found = [one.strip().lower() for one in value.split(",")]
    if not all(re.fullmatch(r"https?://[a-z0-9.-]+(:[0-9]{1,5})?", one) for one in found):
        raise ValueError
    return ",".join(found)


def row(check: Check, help: str, default: Any = MISSING) -> Any:
    """One setting. Without a default it is one of the guide's four, whose defaults stand at the
    top of `realtime_stream.py` and nowhere else."""
    return dataclasses.field(default=default, metadata={"check": check, "help": help})


@dataclass(frozen=True, kw_only=True)
class Settings:
    """All settings, checked. `None` stands for 'auto' where a number is expected."""

    target_fps: float = row(number(0.1, 1000), "frames a second to aim for")
    initial_prompt: str = row(prompt, "the words that the stream starts with")
    model_id: str = row(
        text("a hub id such as stabilityai/sd-turbo, a folder, 'demo' or 'auto'"),
        "hub id, local folder, `demo` (the model in this repository) or `auto`: "
        "stabilityai/sd-turbo with an NVIDIA GPU, else demo",
    )
    server_port: int = row(whole(0, 65535), "port of the server; 0 takes a free one")
    server_host: str = row(
        text("an address or host name without spaces", r"[^\s/]+"),
        "address to listen on; 0.0.0.0 opens it to the network",
        "127.0.0.1",
    )
    width: int | None = row(
        whole(64, 2048, multiple=8, auto=True), "picture width; auto: the model's own", None
    )
    height: int | None = row(
        whole(64, 2048, multiple=8, auto=True), "picture height; auto: the model's own", None
    )
    jpeg_quality: int = row(whole(1, 95), "JPEG quality", 85)
    seed: int = row(whole(0, 2**63 - 1), "where the noise begins", 0)
    device: str = row(one_of("auto", "cpu", "cuda", "mps"), "where the model runs", "auto")
    acceleration: str = row(
        one_of("auto", "off", "graph", "compile"),
        "how the model is made fast on a CUDA GPU: `graph` of PyTorch's kernels, `compile` before "
        "the first picture, `auto`: stream by graph and compile behind it",
        "auto",
    )
    decoder: str = row(
        one_of("tiny", "full"),
        "what turns latents into pictures: TAESD where its weights are to be had, or the model's "
        "own decoder, many times slower",
        "tiny",
    )
    xformers: str = row(
        one_of("auto", "yes", "no"), "xformers' attention in place of PyTorch's", "auto"
    )
    max_viewers: int = row(whole(1, 100_000), "streams served at once; the next one gets 503", 320)
    handover: str = row(
        one_of("no", "take", "offer"),
        "take: take the port from the process that serves with the same STATE_DIR, once a picture "
        "is painted; take, offer: hand it on to the next that asks. start_stream_server.sh's way",
        "no",
    )
    max_connections: int = row(
        whole(8, 1_000_000), "sockets open at once, streams among them; the next one gets 503", 2048
    )
    max_connections_per_address: int = row(
        whole(1, 1_000_000),
        "sockets of one address (IPv6: one /64) open at once, 127.0.0.1 and ::1 apart: the tunnel "
        "and a proxy connect from there for everybody",
        256,
    )
    max_body_bytes: int = row(
        whole(4096, 2**30), "the largest body of a request; a larger one gets 413", 64 * 1024
    )
    max_header_bytes: int = row(
        whole(1024, 2**24), "the largest head of a request; a larger one gets 431", 32 * 1024
    )
    request_timeout_s: float = row(
        number(0.1, 3600), "seconds for a whole request to arrive; a slower one gets 408", 10.0
    )
    idle_timeout_s: float = row(
        number(0.1, 3600), "seconds that a connection may wait between two requests", 60.0
    )
    dead_viewer_s: float = row(
        number(0.5, 3600), "seconds without a byte taken until a stream is dropped as dead", 10.0
    )
    prompt_rate: float = row(
        number(20, 100_000),
        "changes a second for each token or cookie (this machine's owner is free); more get 429",
        20.0,
    )
    engine_timeout_s: float = row(
        number(0, 86_400),
        "seconds until a frame that does not come ends the program with status 70; 0: never",
        60.0,
    )
    loading_timeout_s: float = row(
        number(0, 86_400),
        "seconds without progress in loading that end the program with status 70; 0: never",
        1800.0,
    )
    loopback_owner: str = row(
        one_of("yes", "no"),
        "whoever asks from this machine, or through the tunnel, is the owner without a token; "
        "`no` where a proxy stands in front",
        "yes",
    )
    trust_forwarded: str = row(
        one_of("yes", "no"),
        "believe X-Forwarded-For, -Proto and -Host; only behind a proxy that sets all three",
        "no",
    )
    cors_origins: str = row(origins, "other sites whose pages may use this server", "none")
    public_address: str = row(
        text("'auto' or an address such as example.com:8000", r"[^\s/?#]+"),
        "where others reach this server, for the link of --share; auto: this machine's address",
        "auto",
    )
    keep_scene: str = row(
        one_of("yes", "no"),
        "go on with the last words, motion and noise of this SERVER_PORT after a restart; another "
        "INITIAL_PROMPT or SEED than before replaces them",
        "yes",
    )
    state_dir: Path = row(
        folder, "where this program keeps what must survive a restart", Path("~/.turbostream")
    )

    @property
    def state_folder(self) -> Path:
        """STATE_DIR as a path; one that cannot exist where ~ means nothing (no HOME, no user)."""
        try:
            return self.state_dir.expanduser()
        except RuntimeError:
            return Path(os.devnull) / "turbostream"

    def as_text(self) -> dict[str, str]:
        """Name -> value as it could be given again; for `/status`."""
        values = ((name, getattr(self, name.lower())) for name in ROWS)
        return {name: "auto" if value is None else str(value) for name, value in values}


ROWS = {field.name.upper(): field for field in dataclasses.fields(Settings)}


def describe(name: str, defaults: Mapping[str, object]) -> tuple[str, str, str]:
    """(default, what is accepted, help) of one setting as text, for `--help` and the README."""
    field = ROWS[name]
    default = defaults[name] if field.default is MISSING else field.default
    shown = "auto" if default is None else str(default)
    return shown, str(field.metadata["check"].__doc__), str(field.metadata["help"])


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise SettingError(f"{message[0].upper()}{message[1:]}; --help lists what there is.")


def _parser(defaults: Mapping[str, object]) -> argparse.ArgumentParser:
    parser = _Parser(
        prog="realtime_stream.py",
        description="An endless stream of pictures, painted live from the words you type.",
        epilog="Each setting can also be given in the environment, e.g. TARGET_FPS=15.",
        allow_abbrev=False,
    )
    parser.add_argument("--check", action="store_true", help="paint one frame, say so and exit")
    parser.add_argument(
        "--share",
        choices=("watch", "own"),
        const="watch",
        nargs="?",
        help="print the link with which others may watch (or, with 'own', do all) and exit",
    )
    for name in ROWS:
        default, accepted, help_text = describe(name, defaults)
        parser.add_argument(
            "--" + name.lower().replace("_", "-"),
            dest=name,
            metavar="X",
            help=f"{help_text} ({accepted}; default {default})".replace("%", "%%"),
        )
    return parser


def load(
    defaults: Mapping[str, object], argv: Sequence[str], environ: Mapping[str, str]
) -> tuple[Settings, argparse.Namespace]:
    """Settings from the command line, else the environment, else the defaults; and the options.

    `defaults` are the guide's four (TARGET_FPS, INITIAL_PROMPT, MODEL_ID, SERVER_PORT).
    Raises SettingError with one sentence that names the setting, what was given and what is
    accepted.
    """
    options = _parser(defaults).parse_args(list(argv))
    values: dict[str, Any] = {}
    for name, field in ROWS.items():
        given = getattr(options, name)
        source = "the command line"
        if given is None and environ.get(name):
            given, source = environ[name], "the environment"
        if given is None and name in defaults:
            given, source = str(defaults[name]), "the top of realtime_stream.py"
        if given is None:
            continue
        check = field.metadata["check"]
        try:
            values[name.lower()] = check(given)
        except ValueError as error:
            shown = given if len(given) <= 60 else given[:57] + "..."
            why = f": {error}" if isinstance(error, Refusal) else ""
            raise SettingError(
                f"{name} must be {check.__doc__}, not {shown!r} (given by {source}){why}."
            ) from None
    return Settings(**values), options
