"""Loading torch, diffusers, transformers and weights without what this process never uses.

diffusers and transformers import torch's compiler for its decorators and its distributed tensors
for isinstance: some 400 modules, a seventh of a start. Torch itself imports Python's version of
its operators for tensors without data, and these import sympy at the first weight that is made
without data: another seventh, for what its own C++ does as well. Meanwhile stand-ins are in their
place, and torch says that it was built without distributed tensors, which both packages allow
for. Afterwards, or when a stand-in is asked for more than it has, the real ones come as ever.
`aot.py` compiles in another process, without this. Importing this module imports no torch.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.abc import MetaPathFinder
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

COMPILER = "torch._dynamo"
MASKS = "torch._dynamo._trace_wrapped_higher_order_op"
METAS = "torch._meta_registrations"


@contextmanager
def loading() -> Iterator[None]:
    """Around the first import of the three packages, around reading weights, and around whatever
    asks for the compiler only to be left alone by it."""
    if COMPILER in sys.modules:  # nothing left to save
        yield
        return
    if "torch" not in sys.modules:
        sys.modules[METAS] = _StandIn(METAS)
    try:
        import torch

        importlib.import_module("torch._prims.rng_prims")  # torch.Generator counts on it
        sys.modules.update(_stand_ins())
        available = torch.distributed.is_available
        torch.distributed.is_available = lambda: False
        try:
            yield
        finally:
            torch.distributed.is_available = available
    finally:
        _go()


class _StandIn(ModuleType):
    """What it has not comes from the real module, which takes its place."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # Python's own questions
            raise AttributeError(name)
        return getattr(_real(self.__name__), name)


def _stand_ins() -> dict[str, ModuleType]:
    import torch

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
    for name in (COMPILER, MASKS, METAS):
        if isinstance(sys.modules.get(name), _StandIn):
            del sys.modules[name]
            if name == METAS:
                sys.meta_path.insert(0, _BeforeCompiler())


class _BeforeCompiler(MetaPathFinder):
    """Torch's compiler needs what it usually finds imported, and in torch's own order."""

    def find_spec(self, name: str, *_: Any) -> None:
        if name == COMPILER:
            sys.meta_path.remove(self)
            importlib.import_module(METAS)
