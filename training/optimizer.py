"""The optimizer: Muon for the hidden matrices, AdamW for everything else.

Muon (Keller Jordan, 2024; scaled as in Liu et al., arXiv 2502.16982) replaces a matrix's momentum
with the nearest orthogonal matrix, so that rare directions are learned as fast as common ones. All
weights are in one flat buffer, with matrices of the same shape adjacent, so that a step needs few
kernels; their number determines its cost in a CUDA graph of small kernels.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

COEFFICIENTS = (3.4445, -4.7750, 2.0315)  # of the quintic Newton-Schulz iteration
ADAM_BETAS, ADAM_EPS = (0.9, 0.99), 1e-8
MOMENTUM = 0.95
CLIP = 1.0


def orthogonal(stack: Tensor, rounds: int = 5) -> Tensor:
    """[K, M, N] -> the same with all singular values near 1."""
    a, b, c = COEFFICIENTS
    x = stack.bfloat16() if stack.is_cuda else stack
    turned = x.shape[1] > x.shape[2]
    x = x.mT if turned else x
    x = x / (x.flatten(1).norm(dim=1)[:, None, None] + 1e-7)
    for _ in range(rounds):
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x.mT if turned else x


def is_hidden_matrix(name: str, p: Tensor) -> bool:
    """Whether Muon updates it: not first or last layers, embeddings, heads, norms or biases."""
    outer = ("conv_in", "conv_out", "embedding", "heads", "time_emb", "decoder.layers.0.",
             "vae.encoder.layers.0.")  # fmt: skip
    return p.ndim >= 2 and min(p.shape[0], p[0].numel()) >= 16 and not any(o in name for o in outer)


@dataclass
class Slot:
    """The position of a weight in the flat buffers."""

    name: str
    begin: int
    end: int
    shape: torch.Size

    def view(self, flat: Tensor) -> Tensor:
        """The weight's part of a flat buffer; convolution filters in channels_last."""
        part = flat[self.begin : self.end]
        if len(self.shape) != 4:
            return part.view(self.shape)
        o, i, h, w = self.shape
        return part.view(o, h, w, i).permute(0, 3, 1, 2)


class Optimizer:
    """Moves a module's weights into flat buffers; computes in `dtype`, updates float32 weights.

    `rate` and all other state are tensors, so that a CUDA graph of `step` stays valid.
    """

    def __init__(self, module: nn.Module, peak: float, decay: float, dtype: torch.dtype) -> None:
        named = [(n, p) for n, p in module.named_parameters() if p.requires_grad]
        hidden = [(n, p) for n, p in named if is_hidden_matrix(n, p)]
        hidden.sort(key=lambda item: (item[1].shape[0], item[1][0].numel()))
        chosen = {n for n, _ in hidden}
        ordered = hidden + [(n, p) for n, p in named if n not in chosen]
        self.slots, at = [], 0
        for name, p in ordered:
            self.slots.append(Slot(name, at, at + p.numel(), p.shape))
            at += p.numel()
        self.border = sum(p.numel() for _, p in hidden)
        self.groups: list[tuple[int, int, int, int]] = []  # begin, matrices, rows, columns
        for slot, (_, p) in zip(self.slots, hidden, strict=False):
            rows, columns = p.shape[0], p[0].numel()
            if self.groups and self.groups[-1][2:] == (rows, columns):
                begin, count, _, _ = self.groups.pop()
                self.groups.append((begin, count + 1, rows, columns))
            else:
                self.groups.append((slot.begin, 1, rows, columns))
        device = named[0][1].device
        self.master = torch.empty(at, device=device)
        for slot, (_, p) in zip(self.slots, ordered, strict=True):
            slot.view(self.master).copy_(p.detach())
        self.average = self.master.clone()
        module.to(dtype)
        self.live = self.master.to(dtype)
        self.gradient = torch.zeros_like(self.live)
        for slot, (_, p) in zip(self.slots, ordered, strict=True):
            p.data = slot.view(self.live)
            p.grad = slot.view(self.gradient)
        self.first = torch.zeros(at, device=device)  # Muon's momentum, Adam's first moment
        self.second = torch.zeros(at - self.border, device=device)
        self.powers = torch.ones(2, device=device)  # of Adam's betas
        self.betas = torch.tensor(ADAM_BETAS, device=device)
        self.peak, self.decay = peak, decay
        self.rate = torch.zeros((), device=device)
        self.keep = torch.zeros((), device=device)  # decay of the weight average

    def set_rate(self, share: float, keep: float) -> None:
        """Set the learning rate as a share of its peak, and the decay of the weight average."""
        self.rate.fill_(share * self.peak)
        self.keep.fill_(keep)

    def clear(self) -> None:
        self.gradient.zero_()

    @torch.no_grad()
    def step(self) -> None:
        gradient = self.gradient.float()
        gradient *= (CLIP / (gradient.norm() + 1e-6)).clamp(max=1)
        update = torch.empty_like(gradient)
        edge = self.border
        momentum = self.first[:edge].lerp_(gradient[:edge], 1 - MOMENTUM)
        ahead = gradient[:edge].lerp(momentum, MOMENTUM)
        for begin, count, rows, columns in self.groups:
            part = slice(begin, begin + count * rows * columns)
            stack = orthogonal(ahead[part].view(count, rows, columns))
            scale = 0.2 * max(rows, columns) ** 0.5
            torch.mul(stack, scale, out=update[part].view(count, rows, columns))
        rest = gradient[edge:]
        first = self.first[edge:].lerp_(rest, 1 - ADAM_BETAS[0])
        self.second.mul_(ADAM_BETAS[1]).addcmul_(rest, rest, value=1 - ADAM_BETAS[1])
        self.powers.mul_(self.betas)
        left = 1 - self.powers
        torch.div(first / left[0], (self.second / left[1]).sqrt() + ADAM_EPS, out=update[edge:])
        self.master.mul_(1 - self.decay * self.rate).sub_(update.mul_(self.rate))
        self.live.copy_(self.master)
        self.average.mul_(self.keep).add_(self.master * (1 - self.keep))

    def averaged(self) -> dict[str, Tensor]:
        """The averaged weights by name, on the CPU."""
        return {s.name: s.view(self.average).detach().cpu().contiguous() for s in self.slots}
