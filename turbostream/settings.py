"""Every setting once: its name, type, default, check and help.

The fields of `Settings` are the table. It feeds the command line (`--target-fps`), the
environment (`TARGET_FPS`), `--help`, `/status` and the table in the README (a test compares).
`load` is the only place that reads the environment or the command line. Nothing here may import
torch, Flask or anything else that is slow: a wrong value has to be answered at once.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, dataclass
from pathlib import Path
from typing import Any

from turbostream.setting_checks import (
    channels,
    folder,
    folder_or_auto,
    loras,
    number,
    one_of,
    origins,
    prompt,
    push_shown,
    push_target,
    shown,
    source_place,
    source_shown,
    text,
    whole,
    yes_or_no,
)
from turbostream.setting_options import SettingError as SettingError
from turbostream.setting_options import checked, parser, row
from turbostream.stream.fade import EASINGS


@dataclass(frozen=True, kw_only=True)
class Settings:
    """All settings, checked. `None` stands for 'auto' where a number or a boolean is expected."""

    target_fps: float = row(number(0.1, 1000), "frames a second to aim for")
    initial_prompt: str = row(prompt, "the prompt that the stream starts with")
    model_id: str = row(
        text("a hub id such as stabilityai/sd-turbo, a folder, 'demo' or 'auto'"),
        "hub id (with @revision: a branch, tag or commit), local folder or .safetensors file, "
        "`demo` (the model in this repository) or `auto`: stabilityai/sd-turbo with an NVIDIA GPU, "
        "else demo",
    )
    loras: str = row(
        loras,
        "LoRAs, each with its weight at the start (0 to 2, default 1; live as `lora_NAME`): "
        "`ink=~/ink.safetensors@0.8`, or a hub id, with @revision and :file where needed",
        "none",
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
    steps: int | None = row(
        whole(1, 4, auto=True), "denoising steps; auto: as many as the model is made for", None
    )
    jpeg_quality: int = row(whole(1, 95), "JPEG quality", 85)
    seed: int = row(whole(0, 2**63 - 1), "seed of the first noise", 0)
    fade_s: float = row(
        number(0, 600),
        "seconds that a change of the scene takes if the request does not set `fade_s`",
        0.0,
    )
    easing: str = row(
        one_of(*EASINGS),
        "easing of a fade if the request does not set `easing`: `smooth` is slow at both ends, "
        "`even` spaces a fade of words by how much the picture changes",
        "smooth",
    )
    device: str = row(one_of("auto", "cpu", "cuda", "mps"), "where the model runs", "auto")
    acceleration: str = row(
        one_of("auto", "off", "graph", "compile"),
        "how the model is made fast on a CUDA GPU: `graph` of PyTorch's kernels, `compile` before "
        "the first picture, `auto`: stream by graph and compile behind it",
        "auto",
    )
    decoder: str = row(
        one_of("tiny", "full"),
        "what turns latents into pictures: TAESD where its weights are available, or the model's "
        "own decoder, many times slower",
        "tiny",
    )
    xformers: bool | None = row(
        yes_or_no(auto=True), "xformers' attention in place of PyTorch's", None
    )
    engine: str = row(
        one_of("local", "ray"),
        "what paints: this process, or the workers of a Ray cluster (docs/cluster.md)",
        "local",
    )
    ray_address: str = row(
        text(
            "'local', 'auto' or HOST:PORT", r"local|auto|([^\s/:]+|\[[0-9A-Fa-f:.]+\]):[0-9]{1,5}"
        ),
        "with ENGINE=ray: the Ray cluster to join; `local` starts one on this machine, for this "
        "program alone, `auto` joins the one that runs here",
        "local",
    )
    ray_workers: int = row(
        whole(1, 64),
        "with ENGINE=ray: how many workers paint where the cluster has no GPU; else one for each "
        "GPU",
        2,
    )
    channels: str = row(
        channels,
        "channels that exist from the start, each a stream of its own (`?channel=NAME`); the first "
        "is the one without `?channel=`",
        "main",
    )
    max_viewers: int = row(whole(1, 100_000), "streams served at once; the next one gets 503", 320)
    handover: str = row(
        one_of("no", "take", "offer"),
        "take: take the port from the process that serves with the same STATE_DIR, once a picture "
        "is painted; take, offer: hand it on to the next that asks. Used by start_stream_server.sh",
        "no",
    )
    max_connections: int = row(
        whole(8, 1_000_000), "sockets open at once, streams among them; the next one gets 503", 2048
    )
    max_connections_per_address: int = row(
        whole(1, 1_000_000),
        "sockets open at once from one address (IPv6: one /64); 127.0.0.1 and ::1 are exempt, "
        "because the tunnel and a proxy connect from there",
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
        "changes a second for each token or cookie, except this machine's owner; more get 429",
        20.0,
    )
    engine_timeout_s: float = row(
        number(0, 86_400),
        "seconds without an expected frame that end the program with status 70; 0: never",
        60.0,
    )
    loading_timeout_s: float = row(
        number(0, 86_400),
        "seconds without progress in loading that end the program with status 70; 0: never",
        1800.0,
    )
    loopback_owner: bool = row(
        yes_or_no(),
        "requests from this machine or through the tunnel are the owner's without a token; `no` "
        "behind a proxy",
        True,
    )
    trust_forwarded: bool = row(
        yes_or_no(),
        "believe X-Forwarded-For, -Proto and -Host; only behind a proxy that sets all three",
        False,
    )
    cors_origins: str = row(origins, "other sites whose pages may use this server", "none")
    embed_origins: str = row(
        origins,
        "other sites whose pages may show this page in a frame and the stream as an image; name "
        "only sites that you trust, because a page can trick its visitors into clicking a control "
        "in its frame",
        "none",
    )
    public_address: str = row(
        text("'auto' or an address such as example.com:8000", r"[^\s/?#]+"),
        "where others reach this server, for the link of --share; auto: this machine's address",
        "auto",
    )
    keep_scene: bool = row(
        yes_or_no(),
        "continue with the last prompt, motion and noise of this SERVER_PORT after a restart; a "
        "changed INITIAL_PROMPT or SEED replaces them",
        True,
    )
    osc_port: int = row(
        whole(0, 65535), "UDP port that receives OSC messages, listed by `GET /osc`; 0: none", 0
    )
    osc_host: str = row(
        text("an address or host name without spaces", r"[^\s/]+"),
        "address that receives OSC messages; on any other than 127.0.0.1, everybody who can reach "
        "it controls the picture",
        "127.0.0.1",
    )
    recipes: str = row(
        one_of("owner", "all", "none"),
        "whose pictures carry the recipe they were painted from, as a JPEG comment: the owner's, "
        "those of all viewers, or none",
        "owner",
    )
    setlist: str = row(
        text("a file, or 'none'"),
        "file with a setlist and its looks, as GET /export writes it; it plays from the start, and "
        "after a restart continues where it was",
        "none",
    )
    recordings_dir: Path | None = row(
        folder_or_auto, "where recordings are kept; auto: `recordings` in STATE_DIR", None
    )
    recordings_max_gb: float = row(
        number(0.01, 100_000),
        "GB (10^9 bytes) that all recordings together may take; a recording that reaches it ends",
        10.0,
    )
    push_url: str = row(
        push_target,
        "where the stream is broadcast from the start; give it in the environment only, since it "
        "contains the stream key",
        "none",
    )
    push_bitrate: int = row(whole(100, 50_000), "kbit/s of the video that is broadcast", 2500)
    source: str = row(
        source_place,
        "where frames start from: a picture (read once), a folder of pictures, a video, or the "
        "address of a camera (MJPEG, RTSP), of a stream (HLS) or of a picture; with a password, in "
        "the environment only",
        "none",
    )
    source_fit: str = row(
        one_of("cover", "contain"),
        "how an input picture is fitted: `cover` fills the picture, `contain` adds black bars",
        "cover",
    )
    source_mirror: bool = row(yes_or_no(), "swap left and right in the pictures of SOURCE", False)
    source_threshold: float = row(
        number(0, 255),
        "an input picture that differs by less, in levels (0 to 255) on average, counts as "
        "unchanged, so that nothing new is painted; 0: only an equal one",
        0.0,
    )
    keep_sources: bool = row(
        yes_or_no(), "store the input pictures with recordings, so that they can be replayed", False
    )
    state_dir: Path = row(
        folder, "where this program keeps what must survive a restart", Path("~/.turbostream")
    )

    @property
    def state_folder(self) -> Path:
        """STATE_DIR as a path; one that cannot exist where ~ has no meaning (no HOME, no user)."""
        try:
            return self.state_dir.expanduser()
        except RuntimeError:
            return Path(os.devnull) / "turbostream"

    @property
    def recordings_folder(self) -> Path:
        if self.recordings_dir is None:
            return self.state_folder / "recordings"
        return self.recordings_dir

    @property
    def channel_names(self) -> tuple[str, ...]:
        """The default channel is the first."""
        return tuple(self.channels.split(","))

    @property
    def size(self) -> tuple[int | None, int | None]:
        """(WIDTH, HEIGHT) in pixels; None: the model's own."""
        return self.width, self.height

    @property
    def many_steps(self) -> bool:
        """Whether a model made for many steps is accepted: STEPS or LORAS is set."""
        return self.steps is not None or self.loras != "none"

    @property
    def setlist_file(self) -> Path | None:
        if self.setlist.lower() == "none":
            return None
        try:
            return Path(self.setlist).expanduser()
        except RuntimeError:
            return Path(self.setlist)

    def as_text(self) -> dict[str, str]:
        """Name -> value as it could be given again, except for keys; for `/status`."""
        values = ((name, getattr(self, name.lower())) for name in ROWS)
        return {
            name: SECRET[name](value) if name in SECRET else shown(value) for name, value in values
        }


SECRET = {"PUSH_URL": push_shown, "SOURCE": source_shown}  # never shown or logged as given
ROWS = {field.name.upper(): field for field in dataclasses.fields(Settings)}


def describe(name: str, defaults: Mapping[str, object]) -> tuple[str, str, str]:
    """(default, what is accepted, help) of one setting as text, for `--help` and the README."""
    field = ROWS[name]
    default = defaults[name] if field.default is MISSING else field.default
    return shown(default), str(field.metadata["check"].__doc__), str(field.metadata["help"])


def load(
    defaults: Mapping[str, object], argv: Sequence[str], environ: Mapping[str, str]
) -> tuple[Settings, argparse.Namespace]:
    """Settings from the command line, else the environment, else the defaults; and the options.

    `defaults` are the guide's four (TARGET_FPS, INITIAL_PROMPT, MODEL_ID, SERVER_PORT).
    Raises SettingError with one sentence that names the setting, what was given and what is
    accepted.
    """
    rows = ((name, *describe(name, defaults)) for name in ROWS)
    options = parser(rows).parse_args(list(argv))
    if options.channel is not None and options.share is None:
        raise SettingError("--channel limits a link; write --share own --channel NAME for one.")
    values: dict[str, Any] = {}
    for name, field in ROWS.items():
        given = getattr(options, name)
        origin = "the command line"
        if given is None and environ.get(name):
            given, origin = environ[name], "the environment"
        if given is None and name in defaults:
            given, origin = str(defaults[name]), "the top of realtime_stream.py"
        if given is None:
            continue
        values[name.lower()] = checked(
            name, field.metadata["check"], given, origin, secret=name in SECRET
        )
    return Settings(**values), options
