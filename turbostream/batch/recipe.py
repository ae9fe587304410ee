"""What makes two pictures the same: the shot, and what the user chose of the engine.

Of the engine's fingerprint only the model, the decoder and the JPEG quality count. The card, the
versions and the batch size move single bits, so a batch that goes on elsewhere paints nothing
twice.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import MISSING, dataclass
from pathlib import Path
from typing import Any

from turbostream.stream.scene import Shot

DEFAULTS = {f.name: f.default for f in dataclasses.fields(Shot) if f.default is not MISSING}
SEEDS = ("seed_from", "seed_to")
SUFFIXES = (".json", ".txt", ".safetensors", ".bin")
PIECES, PIECE_BYTES = 16, 64 * 1024  # of each file of a model


def shot_data(shot: Shot) -> dict[str, Any]:
    """The shot as plain data without default values."""
    return without_defaults(dataclasses.asdict(shot))


def without_defaults(data: Mapping[str, Any]) -> dict[str, Any]:
    """A field that Shot gains later, with a default, changes no recipe of today."""
    return {
        name: value
        for name, value in data.items()
        if name not in DEFAULTS or value != DEFAULTS[name]
    }


def digest(*parts: object) -> str:
    content = json.dumps(parts, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(content.encode()).hexdigest()


@dataclass(frozen=True)
class Pipeline:
    """What the settings choose of the engine and a picture shows.

    name: the first word of the engine's fingerprint, MODEL@REVISION. model: what identifies the
    weights on any machine. decoder: empty where DECODER changes nothing.
    """

    name: str
    model: str
    decoder: str
    jpeg_quality: int

    def __str__(self) -> str:
        decoder = f" {self.decoder}" if self.decoder else ""
        return f"{self.model}{decoder} jpeg-{self.jpeg_quality}"

    def recipe(self, shot: Mapping[str, Any]) -> str:
        """The identity of a picture of `shot` (without defaults), 64 hexadecimal digits."""
        return digest(shot, str(self))

    def painted(self, fingerprint: str) -> bool:
        """Whether an engine with that fingerprint paints so; for manifests that say no more."""
        quality = re.search(r" jpeg-(\d+)(?: |$)", fingerprint)
        decoder = re.search(r" (tiny|full) \S+ jpeg-", fingerprint)
        return (
            fingerprint.startswith(f"{self.name} ")
            and quality is not None
            and int(quality[1]) == self.jpeg_quality
            # A wish for the tiny one may have ended with the full one.
            and (self.decoder != "full" or (decoder is not None and decoder[1] == "full"))
        )


def pipeline_of(
    model_id: str, revision: str | None, folder: Path | None, decoder: str, jpeg_quality: int
) -> Pipeline:
    """folder: of a local model, which its content identifies; None for one of the hub."""
    name = f"{model_id}@{revision or 'local'}"
    if folder is None:
        return Pipeline(name, name, decoder, jpeg_quality)
    own = _own_decoder_is_tiny(folder)
    return Pipeline(name, f"weights-{_weights(folder)}", "" if own else decoder, jpeg_quality)


def _own_decoder_is_tiny(folder: Path) -> bool:
    try:
        config = json.loads((folder / "vae/config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):  # the engine, which needs it, says so
        return False
    return isinstance(config, dict) and config.get("_class_name") == "AutoencoderTiny"


def _weights(folder: Path) -> str:
    """A digest of pieces of each file: training moves all of a model's numbers, and reading all of
    them would take as long as loading."""
    whole = hashlib.sha256()
    for file in sorted(folder.rglob("*")):
        name = file.relative_to(folder)
        # The components' files; what lies beside the index (a list of words, say) paints nothing.
        if len(name.parts) != 2 or file.suffix not in SUFFIXES or not file.is_file():
            continue
        size = file.stat().st_size
        whole.update(f"{name} {size}\n".encode())
        with file.open("rb") as content:
            for piece in range(PIECES if size > PIECES * PIECE_BYTES else 1):
                content.seek(size * piece // PIECES)
                whole.update(content.read(PIECE_BYTES if size > PIECES * PIECE_BYTES else -1))
    return whole.hexdigest()[:12]
