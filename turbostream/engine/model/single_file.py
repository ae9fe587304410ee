"""Opens a single .safetensors file with diffusers' from_single_file, without the hub.

Runs on the engine's thread. Source of the vocabulary's format: simple_tokenizer.py in openai/CLIP.
"""

from __future__ import annotations

import gzip
import logging
from pathlib import Path
from typing import Any

import diffusers
import torch
from diffusers.loaders.single_file_utils import SingleFileComponentError
from safetensors import SafetensorError
from transformers import CLIPTokenizer

from turbostream.engine.device.hardware import Hardware
from turbostream.engine.weights import single_file
from turbostream.stream.engine_api import EngineUnusable

log = logging.getLogger(__name__)

MERGES = 49152 - 256 - 2  # those that CLIP uses of the file's
TOKENS = 77
# What from_single_file raises for files that do not match the configs.
UNREADABLE = (
    OSError,
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    RuntimeError,
    SafetensorError,
    SingleFileComponentError,
)


def load(file: Path, hardware: Hardware, name: str = "") -> Any:
    """The pipeline in `file`, on the hardware; raises EngineUnusable, which names the model as
    `name`, if it cannot be loaded."""
    name = name or str(file)
    found = single_file.identify(name, file, many_steps=True)
    log.info("[init] %s is a single file: %s.", name, found.why)
    options: dict[str, Any] = {"safety_checker": None, "feature_extractor": None}
    config = single_file.scheduler_config(found)
    kind = getattr(diffusers, str(config["_class_name"]), diffusers.EulerDiscreteScheduler)
    options["scheduler"] = kind.from_config(config)
    try:
        for part in (part for part in found.row.components if part.startswith("tokenizer")):
            options[part] = _tokenizer(found, part)
        pipe = getattr(diffusers, found.row.pipeline).from_single_file(
            str(file), config=str(found.configs), local_files_only=True,
            **options,
        )  # fmt: skip
    except (torch.OutOfMemoryError, MemoryError):  # the file is fine; the first is a RuntimeError
        raise
    except UNREADABLE as error:
        first_line = (str(error).strip() or repr(error)).splitlines()[0]
        if "meta tensor" in first_line:  # what diffusers did not find has no data
            first_line = "it lacks weights of its architecture"
        raise EngineUnusable(
            f"The model {name} cannot be used ({first_line}); fetch or copy it again, or give "
            "another MODEL_ID."
        ) from error
    pipe.set_progress_bar_config(disable=True)
    for part, module in pipe.components.items():
        if isinstance(module, torch.nn.Module):
            _check_complete(name, part, module)
            module.requires_grad_(False)
    return pipe.to(hardware.device, hardware.dtype)


def _check_complete(name: str, part: str, module: torch.nn.Module) -> None:
    """Weights that the file lacks stay on the meta device; diffusers itself fails on those of its
    own classes, but not on transformers' ones."""
    missing = [key for key, value in module.named_parameters() if value.is_meta]
    if missing:
        raise EngineUnusable(
            f"The model {name} cannot be used: its {part} lacks {len(missing)} weights, such as "
            f"{missing[0]}; fetch or copy it again, or give another MODEL_ID."
        )


def _tokenizer(found: single_file.SingleFile, part: str) -> Any:
    if found.own:
        return CLIPTokenizer.from_pretrained(found.configs / part, local_files_only=True)
    second = part == "tokenizer_2" or found.configs.name == "sd21"  # OpenCLIP's pads with id 0
    return clip_tokenizer("!" if second else "<|endoftext|>")


def clip_tokenizer(padding: str) -> Any:
    """CLIP's tokenizer, from the vocabulary in the package."""
    with gzip.open(single_file.VOCABULARY, "rt", encoding="utf-8") as opened:
        lines = opened.read().split("\n")
    merges = [tuple(line.split()) for line in lines[1 : MERGES + 1]]
    symbols = list(_byte_symbols())
    words = symbols + [symbol + "</w>" for symbol in symbols]
    words += ["".join(merge) for merge in merges] + ["<|startoftext|>", "<|endoftext|>"]
    vocabulary = {word: number for number, word in enumerate(words)}
    return CLIPTokenizer(
        vocab=vocabulary, merges=merges, pad_token=padding, model_max_length=TOKENS
    )


def _byte_symbols() -> str:
    """The characters that stand for the 256 bytes in the vocabulary, in its order."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    return "".join(map(chr, [*printable, *range(256, 256 + 256 - len(printable))]))
