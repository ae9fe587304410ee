"""Several steps, or steps from a picture: what they take besides noise and words, and what they
are made of.

The UNet's part of one step is a single module, `DenoiseAt`, so that compiled code of one batch size
serves every number of steps, with and without a picture. The rest of a step is a few operators
around it. `schedule.py` has the numbers, `source_step.py` the pictures. Runs on the engine's
thread; knows no scene.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import nn

from turbostream.engine.device.hardware import Hardware
from turbostream.engine.model import condition
from turbostream.engine.model.inputs import Declaration, Input, Paint, Tensors, Value, Values
from turbostream.engine.model.schedule import Steps, StepTable
from turbostream.engine.model.step import DenoiseAt, Encode, Schedule
from turbostream.engine.rewrite.timesteps import TimeTable

FACTORS = 4  # of a row: scale, skip, out, fresh


class Sampling(nn.Module):
    """All steps of a batch: the declared inputs of `Sampler.inputs` to latents."""

    def __init__(self, step: DenoiseAt, encode: Encode | None) -> None:
        super().__init__()
        self.step, self.encode = step, encode

    def forward(self, **inputs: torch.Tensor) -> torch.Tensor:
        """Latents [B, C, H/8, W/8] in fp32."""
        return self.run(self.step, **inputs)

    def run(
        self,
        step: Paint,
        *,
        noise: torch.Tensor,
        prompt_embedding: torch.Tensor,
        rows: torch.Tensor,
        fresh: torch.Tensor | None = None,
        source: torch.Tensor | None = None,
        guidance: torch.Tensor | None = None,
        negative_embedding: torch.Tensor | None = None,
        **times: torch.Tensor,
    ) -> torch.Tensor:
        """As `forward`, by another `step`, such as compiled code.

        noise: [B, C, H/8, W/8]. fresh: [B, steps - 1, C, H/8, W/8], what is added after each step
        but the last. rows: [B, 1 + steps, FACTORS]; the first one has the factors of the picture's
        latents and of the noise. source: uint8 RGB [B, H, W, 3]. times: `time_1` and so on, as
        `DenoiseAt` takes them. guidance: scales [B, 1] of classifier-free guidance, above 1.
        negative_embedding: as prompt_embedding, what guidance leads away from.

        With guidance, `step` paints both in one batch of 2B. Since its result is linear in the
        prediction, extrapolating between the two results is the same as between the predictions.
        """
        words, copies = prompt_embedding, 1
        if guidance is not None:
            assert negative_embedding is not None
            words, copies = torch.cat([negative_embedding, prompt_embedding]), 2
            guidance = guidance[:, :, None, None]
        factors = rows[:, :, :, None, None, None]
        sample = factors[:, 0, 1] * noise
        if source is not None:
            assert self.encode is not None
            sample = factors[:, 0, 0] * self.encode(source) + sample
        last = rows.shape[1] - 1
        for number in range(1, last + 1):
            # Compiled code reads its inputs with the strides that it was compiled for.
            scales = rows[:, number, :3].contiguous()
            sample = step(
                sample=_repeated(sample, copies),
                prompt_embedding=words,
                scales=_repeated(scales, copies),
                time=_repeated(times[f"time_{number}"], copies),
            )
            if guidance is not None:
                away, towards = sample.chunk(2)
                sample = away + guidance * (towards - away)
            if fresh is not None and number < last:
                sample = sample + factors[:, number, 3] * fresh[:, number - 1]
        return sample


def _repeated(tensor: torch.Tensor, copies: int) -> torch.Tensor:
    return tensor if copies == 1 else torch.cat([tensor] * copies)


class Sampler:
    """How a model paints in several steps, or from a picture."""

    def __init__(
        self,
        unet: Any,
        encode: Encode | None,
        schedule: Schedule,
        table: StepTable,
        hardware: Hardware,
        vae_scale: int,
        is_folded: bool,
    ) -> None:
        """unet: after `folded.prepare`, which returned `is_folded` and kept the projections.
        encode: of pictures, where there are any. vae_scale: as for `Denoise`."""
        self.table, self._dtype = table, hardware.dtype
        self._times: TimeTable | None = None
        if is_folded:
            self._times = TimeTable(unet, schedule.timestep, table.timesteps, table.between)
        self.step = DenoiseAt(unet, schedule, hardware.dtype, vae_scale, is_folded)
        self.step.to(hardware.device)
        self.sampling = Sampling(self.step, encode)

    @property
    def takes_guidance(self) -> bool:
        """Whether the UNet takes the guidance scale as an input, beside the timestep."""
        return self.step.takes_guidance

    def inputs(
        self, text: Declaration, steps: int, fresh: bool, guided: bool = False
    ) -> Declaration:
        """The inputs of `sampling` besides a picture. text: those from noise alone in one step.
        fresh: whether the steps need noise beyond the first. guided: with classifier-free
        guidance."""
        (noise,) = (one for one in text if one.name == "noise")
        (words,) = (one for one in text if one.name == "prompt_embedding")
        more = (Input("fresh", (steps - 1, *noise.shape), noise.dtype, staged=True),)
        guidance = (
            Input("guidance", (1,), torch.float32, staged=True),
            replace(words, name="negative_embedding"),
        )
        return (
            *text,
            *(more if fresh else ()),
            *(guidance if guided else ()),
            Input("rows", (1 + steps, FACTORS), torch.float32, staged=True),
            *(self._time(f"time_{number}") for number in range(1, steps + 1)),
        )

    def step_inputs(self, text: Declaration) -> Declaration:
        """The inputs of `step`."""
        (noise,) = (one for one in text if one.name == "noise")
        (words,) = (one for one in text if one.name == "prompt_embedding")
        sample = Input("sample", noise.shape, noise.dtype, staged=True)
        scales = Input("scales", (3,), torch.float32, staged=True)
        return sample, words, scales, self._time("time")

    def _time(self, name: str) -> Input:
        if self._times is None:
            return Input(name, (1 + self.takes_guidance,), torch.float32, staged=True)
        return Input(name, (self._times.total,), self._dtype, staged=False)

    def values(self, steps: Steps, guidance: float | None = None) -> Values:
        """The inputs that follow from the schedule. guidance: of a UNet that takes it; None for
        condition.GUIDANCE."""
        start = (steps.start.latents, steps.start.noise, 0.0, 0.0)
        rows = [start, *((row.scale, row.skip, row.out, row.fresh) for row in steps.rows)]
        times = {
            f"time_{number}": self._time_value(row.timestep, guidance)
            for number, row in enumerate(steps.rows, 1)
        }
        return {"rows": Value(torch.tensor(rows)), **times}

    def step_values(self, steps: Steps, number: int) -> Values:
        """The inputs of `step` that follow from the schedule, of one of its rows."""
        row = steps.rows[number]
        scales = Value(torch.tensor((row.scale, row.skip, row.out)))
        return {"scales": scales, "time": self._time_value(row.timestep)}

    def _time_value(self, timestep: float, guidance: float | None = None) -> Value:
        if self.takes_guidance:
            return Value(torch.tensor([timestep, guidance or condition.GUIDANCE]))
        if self._times is None:
            return Value(torch.tensor([timestep]))
        return Value(*self._times.row(timestep))


def predicted(following: torch.Tensor, inputs: Tensors) -> torch.Tensor:
    """The UNet's prediction, recovered from what `DenoiseAt` made of its inputs."""
    _, skip, out = inputs["scales"][:, :, None, None, None].unbind(1)
    return (following - skip * inputs["sample"]) / out
