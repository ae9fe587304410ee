"""Mixes prompt embeddings by weight, token by token; the engine's thread only.

Two prompts: spherical interpolation of each token's vector (Shoemake 1985), on the vectors as they
are, with the angle between their directions. More: the same in the order of the shot, each prompt
mixed into the mix of those before it, so that the mix is continuous when a weight goes to 0 and
does not jump when a prompt enters (a mean whose norm is restored does:
docs/experiments/2026-11.md).

Every mix is a weighted sum of the embeddings, and its weights depend only on the dot products of
the tokens' vectors. These are computed once per set of prompts and copied to the CPU, which
computes the weights of every frame; the device adds up the embeddings, in four kernel launches for
any number of prompts. Must not know how a prompt is encoded.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from turbostream.engine.model.inputs import Value
from turbostream.stream.shot import Prompts

MAX_PROMPTS = 16  # of one mix: a fade between two mixes of eight
KEPT = 8  # sets of prompts, at most 16 x 77 x 1024 fp32 values each: 40 MB; and finished mixes
PARALLEL = 0.9995  # |cosine| above which vectors are interpolated linearly: 1.8 degrees


@dataclass(frozen=True)
class Ingredients:
    """The embeddings of one set of prompts.

    stack: [prompts, tokens, hidden] fp32. products: [prompts, prompts, tokens], the dot products
    of each token's vectors. dtype: of the mix.
    """

    stack: torch.Tensor
    products: NDArray[np.float64]
    dtype: torch.dtype


class PromptMixer:
    """Computes the embedding of a shot's prompts; small caches keep what successive shots share."""

    def __init__(self, encode: Callable[[str], Value], stream: Any = None) -> None:
        """encode: the embedding [tokens, hidden] of one prompt. stream: on CUDA, the stream that
        encodes; mixing there needs no wait for the embeddings."""
        self._encode, self._stream = encode, stream
        self._ingredients: OrderedDict[tuple[str, ...], Ingredients] = OrderedDict()
        self._mixes: OrderedDict[Prompts, Value] = OrderedDict()

    def __call__(self, prompts: Prompts) -> Value:
        """The embedding [tokens, hidden] of the mix; a single prompt's own, whatever its weight."""
        if len(prompts) == 1:
            return self._encode(prompts[0][0])
        return _cached(self._mixes, prompts, lambda: self._mix(prompts))

    def forget(self) -> None:
        """The embeddings of the same texts have changed."""
        self._ingredients.clear()
        self._mixes.clear()

    def _mix(self, prompts: Prompts) -> Value:
        texts = tuple(text for text, _ in prompts)
        found = _cached(self._ingredients, texts, lambda: self._gather(texts))
        factors = fold(found.products, [weight for _, weight in prompts])
        on_cpu = torch.from_numpy(factors.astype(np.float32)[..., None])  # [prompts, tokens, 1]
        if self._stream is None:
            return Value(_sum(found, on_cpu.to(found.stack.device)))
        with torch.cuda.stream(self._stream):
            # The caching host allocator reuses the pinned memory only once the copy is done.
            mix = _sum(found, on_cpu.pin_memory().to(found.stack.device, non_blocking=True))
            ready = torch.cuda.Event()
            ready.record(self._stream)
        return Value(mix, ready)

    def _gather(self, texts: tuple[str, ...]) -> Ingredients:
        """On CUDA it waits for the encoder, which takes less time than the frames in flight."""
        tensors = [self._encode(text).tensor for text in texts]
        with nullcontext() if self._stream is None else torch.cuda.stream(self._stream):
            stack = torch.stack(tensors).float()
            by_token = stack.transpose(0, 1)  # [tokens, prompts, hidden]
            products = by_token @ by_token.transpose(1, 2)
            read = products.permute(1, 2, 0).cpu().double().numpy()
        return Ingredients(stack, read, tensors[0].dtype)


def _sum(found: Ingredients, factors: torch.Tensor) -> torch.Tensor:
    """The weighted sum of the embeddings, added in fp32; factors: [prompts, tokens, 1]."""
    return (found.stack * factors).sum(0).to(found.dtype)


def fold(products: NDArray[np.float64], weights: Sequence[float]) -> NDArray[np.float64]:
    """The factors [prompts, tokens] of the embeddings in the mix of these weights.

    products: [prompts, prompts, tokens], the dot products of the embeddings' token vectors.
    weights: at least one, each positive.
    """
    factors = np.zeros(products.shape[1:])
    factors[0] = 1.0
    total = weights[0]
    square, along = products[0, 0], products[0]  # of the mix with itself, and with each embedding
    for index in range(1, len(weights)):
        total += weights[index]
        of_next = products[index, index]
        lengths = np.sqrt(np.maximum(square * of_next, 0.0))
        mix, new = slerp(along[index], lengths, weights[index] / total)
        factors[:index] *= mix
        factors[index] = new
        square = mix * mix * square + 2 * mix * new * along[index] + new * new * of_next
        along = mix * along + new * products[index]
    return factors


def slerp(
    product: NDArray[np.float64], lengths: NDArray[np.float64], share: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The factors of two vectors at `share` (0 to 1) of the way from the first to the second.

    product: [tokens], the dot product of the vectors; lengths: [tokens], the product of their
    norms. Linear where the vectors are nearly parallel or opposite, since the formula divides by
    the sine of their angle.
    """
    cosine = np.divide(product, lengths, out=np.ones_like(product), where=lengths > 0)
    linear = np.abs(cosine) > PARALLEL
    angle = np.arccos(np.where(linear, 0.0, cosine))
    sine = np.sin(angle)
    first = np.where(linear, 1 - share, np.sin((1 - share) * angle) / sine)
    second = np.where(linear, share, np.sin(share * angle) / sine)
    return first, second


def _cached(cache: OrderedDict[Any, Any], key: Any, make: Callable[[], Any]) -> Any:
    """`cache[key]`, made if it is missing; keeps the KEPT entries that were used last."""
    if key in cache:
        cache.move_to_end(key)
        return cache[key]
    cache[key] = made = make()
    if len(cache) > KEPT:
        cache.popitem(last=False)
    return made
