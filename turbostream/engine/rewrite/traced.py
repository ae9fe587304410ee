"""The traced graph: the UNet as a flat list of its operators, for the CPU.

On a CPU a small UNet spends a fifth of its time in Python: some four hundred modules evaluate on
every frame what does not change. Here one run is traced (`recorder.py`) into one flat function.
Same operators, same order: the result is equal to the bit. Any number of threads.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Mapping

import torch
from torch import nn

from turbostream import private_names
from turbostream.library_check import usable

log = logging.getLogger(__name__)

# Tracing costs three runs, and keeps all intermediate results of one of them until it ends. It
# therefore waits until the same size was used several times in a row, after the first pictures. A
# slow UNet is not traced: it would need much memory and time to save a few milliseconds of Python.
CALLS = 8
SLOWEST_TRACED_S = 0.2  # per call


class TracedGraph(threading.local):
    """A module of named inputs, traced once their shapes were used CALLS times in a row. Where
    tracing fails, differs or is not worth it, the module itself is used. Each thread traces for
    itself."""

    def __init__(self, module: nn.Module) -> None:
        self._module = module
        self._unet = next((one for one in module.modules() if hasattr(one, "time_proj")), None)
        self._shapes: dict[str, torch.Size] | None = None  # of the last call
        self._calls = 0  # with these shapes, in a row
        self._traced: nn.Module | None = None
        self._traced_for: object = None

    def __call__(self, **inputs: torch.Tensor) -> torch.Tensor:
        shapes = {name: tensor.shape for name, tensor in inputs.items()}
        # What a LoRA changes is written in place, except where it was folded into a constant.
        adapters = getattr(self._unet, "traced_for", None)
        if shapes != self._shapes or adapters != self._traced_for:
            self._shapes, self._calls, self._traced = shapes, 0, None
            self._traced_for = adapters
        if self._traced is not None:
            latents: torch.Tensor = self._traced.forward(**inputs)
            return latents
        started = time.perf_counter()
        plain: torch.Tensor = self._module(**inputs)
        self._calls += 1
        if self._calls == CALLS and time.perf_counter() - started < SLOWEST_TRACED_S:
            self._traced = self._verified(inputs)
        return plain

    def _verified(self, inputs: Mapping[str, torch.Tensor]) -> nn.Module | None:
        """The traced module, compared with the original on other inputs than it was traced with."""
        if not usable(private_names.TRACING):
            return None
        from turbostream.engine.rewrite import recorder

        other = {name: tensor.flip(-1) for name, tensor in inputs.items()}
        try:
            traced = recorder.trace(self._module, **inputs)
            same = torch.equal(traced(**other), self._module(**other))
        except recorder.Untraceable as reason:
            log.info("[init] the UNet runs untraced: %s.", reason)
            return None
        except Exception:  # of any kind: the module itself still works
            log.warning("[init] the UNet runs untraced: tracing failed.", exc_info=True)
            return None
        if not same:
            log.warning("[init] the UNet runs untraced: the trace gives a different result.")
        return traced if same else None
