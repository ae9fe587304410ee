"""When two pictures are the same: an equal shot, and the same pipeline.

Of the engine's fingerprint only the model, the decoder and the JPEG quality count. The card, the
versions and the batch size change single bits, so a batch that continues on another machine
paints nothing twice. Runs on the caller's thread; imports no torch.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from pathlib import Path

from turbostream.stream.shot import Shot

SUFFIXES = (".json", ".txt", ".safetensors", ".bin")
PIECES, PIECE_BYTES = 16, 64 * 1024  # of each file of a model


# A picture's identity. Shots are compared, not their JSON form, so that neither a new version of
# that form nor a field that `Shot` gains makes a finished batch be painted again.
Recipe = tuple[Shot, str]  # the shot and the pipeline


@dataclass(frozen=True)
class Pipeline:
    """What the settings choose of the engine, as far as it is visible in a picture.

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

    def recipe(self, shot: Shot) -> Recipe:
        return shot, str(self)

    def painted(self, fingerprint: str) -> bool:
        """Whether an engine with that fingerprint is this pipeline; for manifests without one."""
        quality = re.search(r" jpeg-(\d+)(?: |$)", fingerprint)
        decoder = re.search(r" (tiny|full) \S+ jpeg-", fingerprint)
        return (
            fingerprint.startswith(f"{self.name} ")
            and quality is not None
            and int(quality[1]) == self.jpeg_quality
            # Where the tiny decoder was asked for, the full one may have been used instead.
            and (self.decoder != "full" or (decoder is not None and decoder[1] == "full"))
        )


def pipeline_of(
    model_id: str, revision: str | None, folder: Path | None, decoder: str, jpeg_quality: int
) -> Pipeline:
    """folder: of a local model, which is identified by its content; None for a model of the hub."""
    name = f"{model_id}@{revision or 'local'}"
    if folder is None:
        return Pipeline(name, name, decoder, jpeg_quality)
    own = _own_decoder_is_tiny(folder)
    return Pipeline(name, f"weights-{_weights(folder)}", "" if own else decoder, jpeg_quality)


def _own_decoder_is_tiny(folder: Path) -> bool:
    try:
        config = json.loads((folder / "vae/config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):  # the engine needs this file and reports the error
        return False
    return isinstance(config, dict) and config.get("_class_name") == "AutoencoderTiny"


def _weights(folder: Path) -> str:
    """A digest of samples of each file: training changes all numbers of a model, and reading all
    of them would take as long as loading."""
    whole = hashlib.sha256()
    for file in sorted(folder.rglob("*")):
        name = file.relative_to(folder)
        # Only the components' files: those beside the index do not affect a picture.
        if len(name.parts) != 2 or file.suffix not in SUFFIXES or not file.is_file():
            continue
        size = file.stat().st_size
        whole.update(f"{name} {size}\n".encode())
        with file.open("rb") as content:
            for piece in range(PIECES if size > PIECES * PIECE_BYTES else 1):
                content.seek(size * piece // PIECES)
                whole.update(content.read(PIECE_BYTES if size > PIECES * PIECE_BYTES else -1))
    return whole.hexdigest()[:12]
