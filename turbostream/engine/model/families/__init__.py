"""The families of models, one file and one row each: how the components are loaded and how words
are read. `weights/model_files.py` has what their files look like."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from turbostream.engine.model.families import stable_diffusion, stable_diffusion_xl
from turbostream.engine.model.families.family import Family
from turbostream.engine.weights.families import CONSISTENCY

# By the class of the pipeline, as in model_index.json.
FAMILIES: Mapping[str, Family] = MappingProxyType(
    {one.pipeline.__name__: one for one in (stable_diffusion.FAMILY, stable_diffusion_xl.FAMILY)}
    | {CONSISTENCY: stable_diffusion.FAMILY}
)


def family_of(pipe: object) -> Family:
    """The family of an open pipeline, which may be a subclass of the family's."""
    return next(one for one in FAMILIES.values() if isinstance(pipe, one.pipeline))
