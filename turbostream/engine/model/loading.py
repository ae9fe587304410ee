"""Loads a pipeline's components; `families/` has what differs. The engine's thread."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import diffusers
import torch
from safetensors import SafetensorError

from turbostream.engine.device.hardware import Hardware
from turbostream.engine.model import single_file
from turbostream.engine.model.families import FAMILIES
from turbostream.engine.weights import model_files
from turbostream.stream.engine_api import EngineUnusable

# What the loaders raise for malformed files.
UNREADABLE = (
    OSError,
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    ImportError,
    RuntimeError,
    EOFError,
    pickle.UnpicklingError,
    SafetensorError,
)


def load_pipeline(folder: Path, hardware: Hardware, name: str = "") -> Any:
    """Load the pipeline in `folder` onto the hardware; raises EngineUnusable, which names the
    model as `name`, if a component cannot be loaded.

    Loaded component by component, each from the weights that `model_files` also chose for the
    download: a pipeline's own loader uses one variant for all, and its errors name no component.
    """
    name = name or str(folder)
    if folder.is_file():
        return single_file.load(folder, hardware, name)
    index = model_files.read_object(folder / model_files.INDEX)
    family = FAMILIES[index["_class_name"]]

    def class_of(part: str, wanted: Any) -> Any:
        default = getattr(diffusers, wanted) if isinstance(wanted, str) else None
        return wanted if default is None else getattr(diffusers, index[part][1], default)

    components = {
        part: _loaded(class_of(part, wanted), folder, part, hardware, name)
        for part, wanted in family.components.items()
    }
    told = {name: index[name] for name in family.told if name in index}
    pipe = family.pipeline(**components, **family.unused, **told)
    pipe.set_progress_bar_config(disable=True)
    for part in components.values():
        if isinstance(part, torch.nn.Module):
            part.requires_grad_(False)
    return pipe.to(hardware.device)


def _loaded(kind: Any, folder: Path, part: str, hardware: Hardware, name: str) -> Any:
    """One component of the pipeline, from its folder."""
    place = folder / part
    options: dict[str, Any] = {"local_files_only": True}
    choice = None
    if part in model_files.STEMS:
        choice = model_files.weights_of(part, [entry.name for entry in place.iterdir()])
        if choice is None:
            raise EngineUnusable(f"The model {name} is incomplete: {part} has no weights.")
        options |= {"dtype": hardware.dtype, "variant": choice.variant}
        options |= {"use_safetensors": choice.safetensors, "output_loading_info": True}
    try:
        if choice is None:
            return kind.from_pretrained(place, **options)
        loaded, report = kind.from_pretrained(place, **options)
    except (torch.OutOfMemoryError, MemoryError):  # the file is fine; the first is a RuntimeError
        raise
    except UNREADABLE as error:
        first_line = (str(error).strip() or repr(error)).splitlines()[0]
        raise EngineUnusable(
            f"The model {name} cannot be used: its {part} cannot be loaded ({first_line}); fetch "
            "or copy it again, or give another MODEL_ID."
        ) from error
    # transformers 5 does not save position ids; older versions did.
    missing = [key for key in report["missing_keys"] if not key.endswith("position_ids")]
    if missing:
        raise EngineUnusable(
            f"The model {name} cannot be used: its {part} lacks {len(missing)} weights, such as "
            f"{missing[0]}; fetch or copy it again, or give another MODEL_ID."
        )
    return loaded
