"""Single .safetensors files as CivitAI has them: identified by their headers. No torch.

The file holds weights only. The configs come from a folder beside it that has the file's name
without its ending, or from `configs/`, which has those of the three architectures.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from turbostream.engine.weights import few_steps, kinds
from turbostream.engine.weights.families import EXAMPLES, KNOWN, SD, SDXL, Row
from turbostream.engine.weights.headers import (
    PICKLE,
    PICKLES,
    damage_of_head,
    header_of,
    shape_of,
    tensors,
)
from turbostream.engine.weights.model_files import INDEX, read_object
from turbostream.stream.engine_api import EngineUnusable

CONFIGS = Path(__file__).resolve().parent / "configs"
VOCABULARY = CONFIGS / "bpe_simple_vocab_16e6.txt.gz"
UNET = "model.diffusion_model."
CONV_IN = UNET + "input_blocks.0.0.weight"
CONV_OUT = UNET + "out.2.weight"
CROSS = re.compile(re.escape(UNET) + r"input_blocks\.\d+\.1\.transformer_blocks\.0\.attn2\.to_k\.")
VAE = ("first_stage_model.", "encoder.", "decoder.", "quant_conv.", "post_quant_conv.")
LORA = re.compile(r"lora_|\.lora[._]|hada_w|lokr_|oft_|\.alpha$")
# Parts of keys of other models in the same kind of file.
OTHERS = {
    "double_blocks.": "FLUX",
    "joint_blocks.": "Stable Diffusion 3",
    "conditioner.embedders.0.model.": "the SDXL refiner",
    "control_model.": "a ControlNet, which extends a model and is not one itself",
    "emb_params": "a textual inversion, which extends a model and is not one itself",
}
V_PREDICTION = re.compile(r"v[-_ ]?pred|768[-_ ]?v(?![a-z])|v2[-_.]1[-_]768")


@dataclass(frozen=True)
class Architecture:
    """width: of the cross attention. keys: what the text encoder's keys begin with."""

    title: str
    row: Row
    width: int
    keys: str


ARCHITECTURES = {
    "sd15": Architecture("Stable Diffusion 1.x", SD, 768, "cond_stage_model.transformer."),
    "sd21": Architecture("Stable Diffusion 2.x", SD, 1024, "cond_stage_model.model."),
    "sdxl": Architecture("SDXL", SDXL, 2048, "conditioner.embedders.1.model."),
}


@dataclass(frozen=True)
class SingleFile:
    """How to open the file. configs: a folder as save_pretrained writes it, without weights;
    own: it lies beside the file. scheduler: its class, and prediction: the UNet's, both None for
    the configs' own. why: these choices, for the log."""

    path: Path
    row: Row
    configs: Path
    own: bool
    scheduler: str | None
    prediction: str | None
    why: str


def identify(name: str, file: Path, many_steps: bool = False) -> SingleFile:
    """What the file holds; raises EngineUnusable for everything but a whole model of few steps.

    name: the model's in that sentence. many_steps: accept a model made for many steps.
    """
    header = _header(name, file)
    keys = tensors(header)
    architecture = _architecture(name, keys)
    width = _width(header)
    taken, made = shape_of(header, CONV_IN)[1:2], shape_of(header, CONV_OUT)[:1]
    kinds.check_channels(name, next(iter(taken), 0), next(iter(made), 0), architecture.row)
    beside = file.with_suffix("")
    if (beside / INDEX).is_file():
        row = kinds.check_kind(name, beside, many_steps)
        return SingleFile(file, row, beside, True, None, None, f"configs from {beside}")
    if width != architecture.width:
        raise EngineUnusable(
            f"MODEL_ID {name} looks like {architecture.title}, but its cross attention is {width} "
            f"wide instead of {architecture.width}: put the configs of its pipeline into {beside}, "
            "or give another model."
        )
    title = _title(file, header)
    scheduler = few_steps.scheduler_of(title)
    if scheduler is None and not many_steps:
        why = "neither its name nor its title says turbo, lightning, hyper, LCM or TCD"
        raise kinds.made_for_many_steps(name, why, architecture.row, width)
    prediction = None
    if "v_pred" in keys or V_PREDICTION.search(title):
        prediction = "v_prediction"
    folder = next(key for key, entry in ARCHITECTURES.items() if entry is architecture)
    why = (
        f"{architecture.title}, configs from the package, "
        f"{scheduler or 'EulerDiscreteScheduler'}, {prediction or 'epsilon'}"
    )
    return SingleFile(file, architecture.row, CONFIGS / folder, False, scheduler, prediction, why)


def words_of(file: Path) -> int:
    """The width of the words that a whole model reads, 0 if no tensor tells; raises OSError or
    ValueError."""
    return _width(header_of(file))


def _width(header: dict[str, Any]) -> int:
    wide = next((shape_of(header, key) for key in header if CROSS.match(key)), ())
    return wide[-1] if wide else 0


def _header(name: str, file: Path) -> dict[str, Any]:
    """The file's header; raises EngineUnusable for what is no complete safetensors file."""
    try:
        problem = damage_of_head(file)
        if problem is None and file.suffix.lower() in PICKLES:
            problem = PICKLE
        if problem is None and file.suffix.lower() == ".safetensors":
            return header_of(file)
    except OSError as error:
        problem = f"it cannot be read ({error.strerror})"
    except ValueError as error:
        problem = str(error)
    if problem is None:
        raise EngineUnusable(
            f"MODEL_ID {name} is a file; give the folder that contains the model, or a "
            ".safetensors file."
        )
    raise EngineUnusable(
        f"MODEL_ID {name} cannot be used ({problem}); fetch or copy it again, or give another "
        f"model, such as {SD.example}."
    )


def _architecture(name: str, keys: dict[str, Any]) -> Architecture:
    """The architecture of a whole model; raises EngineUnusable for other contents."""
    instead = f"; give a whole model, such as {EXAMPLES}"
    if any(LORA.search(key) for key in keys) and CONV_IN not in keys:
        text = "" if any("unet" in key for key in keys) else " of the text encoder only"
        raise EngineUnusable(
            f"MODEL_ID {name} is a LoRA{text}, which extends a model and is not one itself"
            f"{instead}."
        )
    for part, what in OTHERS.items():
        if any(part in key for key in keys):
            raise EngineUnusable(
                f"MODEL_ID {name} is {what}, and this program runs only "
                f"{' and '.join(row.title for row in KNOWN)}{instead}."
            )
    if keys and all(key.startswith(VAE) for key in keys):
        raise EngineUnusable(f"MODEL_ID {name} is only an autoencoder (VAE){instead}.")
    if CONV_IN not in keys:
        what = "has no UNet in Stable Diffusion's format"
        raise EngineUnusable(f"MODEL_ID {name} {what}{instead}.")
    for architecture in ARCHITECTURES.values():
        if any(key.startswith(architecture.keys) for key in keys):
            if not any(key.startswith(VAE[0]) for key in keys):
                raise EngineUnusable(f"MODEL_ID {name} has no autoencoder (VAE){instead}.")
            return architecture
    raise EngineUnusable(f"MODEL_ID {name} has a UNet, but no text encoder{instead}.")


def _title(file: Path, header: dict[str, Any]) -> str:
    """The file's name and what its metadata says, in lower case."""
    metadata = header.get("__metadata__", {})
    noted = [metadata.get(f"modelspec.{key}") for key in ("title", "prediction_type")]
    return " ".join([file.stem, *(text for text in noted if isinstance(text, str))]).lower()


def scheduler_config(found: SingleFile) -> dict[str, Any]:
    """The scheduler's config with the file's own class and prediction."""
    config = read_object(found.configs / kinds.SCHEDULER)
    if found.scheduler:
        config["_class_name"] = found.scheduler
    if found.prediction:
        config["prediction_type"] = found.prediction
    return config
