"""The grounds as rows of parameters for the one formula in `backdrop`.

Colours are sRGB in 0..255. Heights are shares of the picture's height, 0 at the top.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields

import torch
from torch import Tensor

from training import vocabulary
from training.scene import GROUNDS

RGB = tuple[float, float, float]
NONE: RGB = (0, 0, 0)


@dataclass(frozen=True)
class Ridge:
    """A line of hills, trees, waves or flames across the picture, filled below."""

    y: float = 2.0  # 2 is below the picture: no ridge
    rise: float = 0.0  # how far the noise raises it
    teeth: float = 0.0  # height of its teeth
    every: float = 8.0  # teeth across the picture
    top: RGB = NONE
    low: RGB = NONE


@dataclass(frozen=True)
class Ground:
    """One ground; the defaults mean "none"."""

    top: RGB
    mid: RGB
    low: RGB
    horizon: float = 0.5  # where `mid` is
    cloud: RGB = NONE
    cloud_share: float = 0.0
    cloud_least: float = -0.3  # the noise above which there is cloud
    cloud_edge: float = 4.5  # sharpness of its edge
    cloud_low: float = 2.0  # clouds fade out above this height
    mist: RGB = NONE
    mist_share: float = 0.0
    far: Ridge = field(default_factory=Ridge)
    near: Ridge = field(default_factory=Ridge)
    front: Ridge = field(default_factory=Ridge)
    dot: RGB = NONE
    dot_least: float = 9.0  # the noise above which there is a dot
    dot_radius: float = 3.0  # pixels
    dot_from: float = -1.0
    dot_to: float = 2.0
    glow: RGB = NONE
    glow_share: float = 0.0
    glow_y: float = 0.5
    glow_size: float = 0.3
    wave: float = 0.0  # light and dark lines, closer towards the horizon
    wave_from: float = 0.5
    hued: float = 0.0  # 1: the colours are (hue shift, saturation, value), see STUDIO


def towards(colour: RGB, other: RGB, share: float) -> RGB:
    r, g, b = (x + (y - x) * share for x, y in zip(colour, other, strict=True))
    return (r, g, b)


def plain(colour: RGB) -> Ground:
    """A ground of one colour: soft light from above, large clouds in its own shades."""
    bright = sum(colour) / 3
    lighter = towards(colour, (255, 255, 255), 0.27 if bright > 50 else 0.2)
    darker = towards(colour, (0, 0, 0), 0.32) if bright < 200 else towards(colour, NONE, 0.13)
    return Ground(
        top=towards(colour, lighter, 0.5), mid=colour, low=towards(colour, darker, 0.5),
        cloud=lighter, cloud_share=0.95, cloud_least=0.2, cloud_edge=1.7, mist=darker,
        mist_share=0.85,
    )  # fmt: skip


SCENES: dict[str, Ground] = {
    "sky": Ground(
        (70, 150, 235), (150, 205, 250), (214, 236, 252), 0.6,
        cloud=(255, 255, 255), cloud_share=0.95, cloud_least=0.15, mist=(110, 180, 245),
        mist_share=0.3,
    ),
    "night": Ground(
        (10, 14, 48), (28, 36, 92), (62, 62, 130), 0.6, cloud=(52, 60, 124), cloud_share=0.5,
        dot=(255, 250, 220), dot_least=1.35, dot_radius=2.9, dot_to=0.8,
        far=Ridge(0.88, 0.06, top=(20, 24, 58), low=(10, 12, 34)),
    ),
    "sunset": Ground(
        (92, 62, 140), (246, 130, 88), (254, 200, 110), 0.5, cloud=(255, 172, 140),
        cloud_share=0.7, cloud_least=0.2, cloud_low=0.6, glow=(255, 236, 150), glow_share=0.95,
        glow_y=0.66, glow_size=0.2, far=Ridge(0.7, 0.045, top=(150, 70, 104), low=(110, 50, 92)),
        near=Ridge(0.84, 0.06, top=(84, 38, 76), low=(50, 24, 56)),
    ),
    "sea": Ground(
        (126, 200, 244), (206, 236, 250), (206, 236, 250), 0.4, cloud=(255, 255, 255),
        cloud_share=0.8, cloud_least=0.4, cloud_low=0.36,
        far=Ridge(0.43, 0.004, top=(36, 138, 190), low=(20, 104, 166)),
        near=Ridge(0.62, 0.03, 0.016, 5, (26, 116, 176), (14, 84, 146)),
        front=Ridge(0.82, 0.035, 0.02, 4, (18, 92, 154), (8, 58, 112)), wave=0.8, wave_from=0.44,
    ),
    "forest": Ground(
        (190, 224, 214), (166, 210, 186), (150, 200, 160), 0.4, mist=(226, 240, 222),
        mist_share=0.4, far=Ridge(0.4, 0.07, 0.09, 11, (108, 164, 130), (92, 150, 112)),
        near=Ridge(0.56, 0.07, 0.14, 8, (56, 118, 82), (42, 98, 64)),
        front=Ridge(0.82, 0.05, 0.0, 6, (38, 92, 50), (20, 60, 32)),
    ),
    "field": Ground(
        (112, 184, 246), (196, 228, 250), (220, 240, 250), 0.5, cloud=(255, 255, 255),
        cloud_share=0.85, cloud_least=0.3, cloud_low=0.5,
        far=Ridge(0.56, 0.06, top=(136, 196, 106), low=(112, 178, 84)),
        near=Ridge(0.68, 0.05, top=(104, 178, 74), low=(76, 150, 56)),
        front=Ridge(0.84, 0.04, top=(78, 156, 58), low=(50, 122, 42)),
        dot=(255, 246, 190), dot_least=1.25, dot_radius=3.2, dot_from=0.68,
    ),
    "snow": Ground(
        (148, 176, 212), (190, 210, 234), (224, 234, 246), 0.55,
        far=Ridge(0.6, 0.06, 0.05, 9, (150, 178, 204), (176, 198, 220)),
        near=Ridge(0.72, 0.05, top=(236, 242, 250), low=(214, 226, 242)),
        front=Ridge(0.86, 0.045, top=(252, 253, 255), low=(226, 236, 248)),
        dot=(255, 255, 255), dot_least=1.0, dot_radius=3.8,
    ),
    "desert": Ground(
        (116, 188, 232), (236, 224, 190), (248, 228, 180), 0.5, glow=(255, 250, 214),
        glow_share=0.6, glow_y=0.22, glow_size=0.16,
        far=Ridge(0.54, 0.06, top=(232, 184, 112), low=(220, 166, 92)),
        near=Ridge(0.68, 0.07, top=(242, 196, 118), low=(222, 164, 86)),
        front=Ridge(0.85, 0.06, top=(230, 172, 92), low=(198, 136, 62)), wave=0.35,
        wave_from=0.6,
    ),
    "fire": Ground(
        (46, 8, 10), (120, 18, 10), (180, 40, 12), 0.6, mist=(150, 30, 12), mist_share=0.5,
        far=Ridge(0.36, 0.09, 0.2, 6, (206, 46, 14), (232, 80, 18)),
        near=Ridge(0.56, 0.08, 0.2, 5, (246, 118, 22), (252, 152, 34)),
        front=Ridge(0.78, 0.07, 0.17, 4, (254, 196, 56), (255, 240, 150)),
        dot=(255, 200, 90), dot_least=1.6, dot_radius=2.8, dot_to=0.7,
    ),
    "space": Ground(
        (8, 6, 24), (16, 10, 40), (8, 6, 24), 0.5, cloud=(112, 40, 150), cloud_share=0.8,
        cloud_least=0.2, mist=(20, 110, 160), mist_share=0.7,
        dot=(255, 255, 255), dot_least=1.3, dot_radius=2.9,
    ),
}  # fmt: skip
# (hue shift in turns, saturation, value) x 255 instead of colours; the hue itself comes from the
# prompt's first letter and the noise.
STUDIO = Ground(
    (0, 38, 250), (6, 52, 240), (16, 76, 222), 0.55, cloud=(-14, 18, 255), cloud_share=0.9,
    cloud_edge=1.7, mist=(22, 92, 226), mist_share=0.8, hued=1.0,
)  # fmt: skip
FREE = Ground(
    (0, 200, 110), (20, 185, 200), (44, 150, 245), 0.55, cloud=(96, 140, 255), cloud_share=0.95,
    cloud_least=0.35, cloud_edge=2.2, mist=(-30, 205, 170), mist_share=0.95,
    dot=(80, 60, 255), dot_least=1.5, dot_radius=3.6, hued=1.0,
)  # fmt: skip


def row(ground: Ground) -> list[float]:
    """The ground's parameters as one list, in the order of `SLOTS`."""
    out: list[float] = []
    for item in fields(ground):
        value = getattr(ground, item.name)
        if isinstance(value, Ridge):
            out += [value.y, value.rise, value.teeth, value.every, *value.top, *value.low]
        else:
            out += value if isinstance(value, tuple) else [value]
    return out


def slots() -> dict[str, slice]:
    """The position of each parameter in a row."""
    names: list[tuple[str, int]] = []
    for item in fields(Ground):
        if item.name in ("far", "near", "front"):
            names += [(f"{item.name}_{part}", 1) for part in ("y", "rise", "teeth", "every")]
            names += [(f"{item.name}_top", 3), (f"{item.name}_bottom", 3)]
        else:
            wide = item.name in ("top", "mid", "low", "cloud", "mist", "dot", "glow")
            names.append((item.name, 3 if wide else 1))
    ends, at = {}, 0
    for name, width in names:
        ends[name] = slice(at, at + width)
        at += width
    return ends


SLOTS = slots()


def rows(device: torch.device) -> Tensor:
    """All grounds [len(GROUNDS), numbers], in the order of `scene.GROUNDS`."""
    special = {"studio": STUDIO, "free": FREE, **SCENES}
    grounds = [special.get(name) or plain(vocabulary.COLOURS[name]) for name in GROUNDS]
    return torch.tensor([row(ground) for ground in grounds], device=device)
