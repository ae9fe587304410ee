"""Loading diffusers, transformers and weights without what this process never uses.

They import torch's compiler for its decorators and its distributed tensors for isinstance: some
400 modules, a seventh of a start. Meanwhile stand-ins are in the compiler's place, and torch says
that it was built without distributed tensors, which both packages allow for. Afterwards, or when
a stand-in is asked for more than it has, the real ones come as ever.
`aot.py` compiles in another process, without this.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import torch

COMPILER = "torch._dynamo"
MASKS = "torch._dynamo._trace_wrapped_higher_order_op"


@contextmanager
def loading() -> Iterator[None]:
    """Around the first import of both packages, and around reading weights."""
    if COMPILER in sys.modules:  # nothing left to save
        yield
        return
    available = torch.distributed.is_available
    torch.distributed.is_available = lambda: False
    sys.modules.update(_stand_ins())
    try:
        yield
    finally:
        _go()
        torch.distributed.is_available = available


class _StandIn(ModuleType):
    """What it has not comes from the real module, which takes its place."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # Python's own questions
            raise AttributeError(name)
        return getattr(_real(self.__name__), name)


def _stand_ins() -> dict[str, ModuleType]:
    compiler, masks = _StandIn(COMPILER), _StandIn(MASKS)
    vars(compiler).update(
        __path__=[str(Path(torch.__file__).with_name("_dynamo"))],
        allow_in_graph=_as_it_is,
        assume_constant_result=_as_it_is,
        disable=_as_it_is,
        eval_frame=SimpleNamespace(OptimizedModule=type("OptimizedModule", (), {})),
    )
    vars(masks).update(TransformGetItemToIndex=lambda: _real(MASKS).TransformGetItemToIndex())
    return {COMPILER: compiler, MASKS: masks}


def _as_it_is(function: Callable[..., Any] | None = None, *_: Any, **__: Any) -> Any:
    """In place of decorators that tell the compiler what to leave alone."""
    return function if function is not None else _as_it_is


def _real(name: str) -> Any:
    _go()
    return importlib.import_module(name)


def _go() -> None:
    """Take the stand-ins away, those that are still there."""
    for name in (COMPILER, MASKS):
        if isinstance(sys.modules.get(name), _StandIn):
            del sys.modules[name]
