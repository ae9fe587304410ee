"""What each folded block adds at other timesteps than the one that was folded into its bias.

`folded.fold_time` makes a block's share of the time embedding a constant of t = 999. A step from a
picture, or one of several, starts at another t, and adds to each block's first convolution the
difference of the two constants. The differences of all blocks and all timesteps are one table
(SD-Turbo: 1000 x 20,160 values, 40 MB in fp16), made in one matrix product when it is first asked
for: a row costs nothing afterwards, however fast the strength changes. Exact up to rounding; at
t = 999 every difference is zero. Runs on the engine's thread.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from turbostream.engine.rewrite.folded import FoldedBlock


class Differences(nn.Module):
    """In place of the UNet's time embedding: hands on `timestep_cond`, the differences [B, total]
    of all blocks, or None where the step starts from noise alone."""

    def forward(self, _: torch.Tensor, condition: torch.Tensor | None = None) -> Any:
        return condition


class TimeTable:
    """The differences of a UNet's blocks by timestep; takes the place of its time embedding."""

    def __init__(
        self, unet: Any, timestep: float, timesteps: int = 1000, between: Sequence[float] = ()
    ) -> None:
        """After `folded.fold_time(unet, timestep)`, which returned more than 0. The table has the
        timesteps 0 to `timesteps` - 1, and those `between` whole ones, in rising order."""
        blocks = [module for module in unet.modules() if isinstance(module, FoldedBlock)]
        self._times = [*map(float, range(timesteps)), *between]
        self._places = {time: place for place, time in enumerate(self._times)}
        self._folded, self._act = timestep, blocks[0].act
        self._project, self._embed = unet.time_proj, unet.time_embedding
        self._projections = [block.projection for block in blocks]
        self._changes = blocks[0].when_changed is not None
        if blocks[0].when_changed is not None:
            blocks[0].when_changed(self._forget)
        self.total = 0  # channels of all blocks
        for block in blocks:
            channels = len(block.projection[1])
            block.part = slice(self.total, self.total + channels)
            block.projection = ()
            self.total += channels
        unet.time_embedding = Differences()
        self._table: torch.Tensor | None = None
        self._ready: Any = None

    @torch.inference_mode()
    def row(self, timestep: float) -> tuple[torch.Tensor, Any]:
        """(differences [total] in the model's dtype on its device; on CUDA the event after which
        they may be read, otherwise None)."""
        if self._table is None:
            self._table = self._make()
            if self._table.is_cuda:
                self._ready = torch.cuda.Event()
                self._ready.record()
        return self._table[self._places[timestep]], self._ready

    def _forget(self) -> None:
        """The weights have changed; a row that was handed out stays as it is."""
        self._table = None

    def _make(self) -> torch.Tensor:
        weight, bias = (torch.cat(parts) for parts in zip(*self._projections, strict=True))
        times = torch.tensor(self._times, device=weight.device, dtype=torch.float32)
        embedding = self._embed(self._project(times).to(weight.dtype))
        added = nn.functional.linear(self._act(embedding), weight, bias)
        added -= added[self._places[self._folded]].clone()
        if not self._changes:
            del self._projections, self._embed  # as large as the table, and done with
        return added
