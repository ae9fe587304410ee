"""Names the colour of a picture by perceived distance."""

from __future__ import annotations

from typing import Any

import numpy as np

from training.vocabulary import COLOURS

# Bjorn Ottosson's OKLab, https://bottosson.github.io/posts/oklab/
TO_LMS = np.array(
    [
        [0.4122214708, 0.2119034982, 0.0883024619],
        [0.5363325363, 0.6806995451, 0.2817188376],
        [0.0514459929, 0.1073969566, 0.6299787005],
    ]
)
TO_LAB = np.array(
    [
        [0.2104542553, 1.9779984951, 0.0259040371],
        [0.7936177850, -2.4285922050, 0.7827717662],
        [-0.0040720468, 0.4505937099, -0.8086757660],
    ]
)


def colour_of(picture: np.ndarray) -> str:
    """The name of the colour that most of a picture has: the colour of its background."""
    ground = perceived(np.median(picture.reshape(-1, 3), axis=0))
    return min(COLOURS, key=lambda it: float(np.linalg.norm(ground - perceived(COLOURS[it]))))


def perceived(rgb: Any) -> np.ndarray:
    """sRGB of 0 to 255 as OKLab, where distance is perceived difference; lightness counts less."""
    share = np.asarray(rgb) / 255
    linear = np.where(share > 0.04045, ((share + 0.055) / 1.055) ** 2.4, share / 12.92)
    return np.cbrt(linear @ TO_LMS) @ TO_LAB * (0.7, 1, 1)


NEAR = 0.12  # in OKLab: a shaded thing, and no colour between two things
SEEN = 0.02  # of the pixels; the smallest thing of these tests has three times as many


def things_of(picture: np.ndarray, colours: tuple[str, ...]) -> set[str]:
    """Which of `colours` are in the picture."""
    pixels = perceived(picture[::4, ::4])
    near = {it: np.linalg.norm(pixels - perceived(COLOURS[it]), axis=-1) < NEAR for it in colours}
    return {it for it in colours if near[it].mean() > SEEN}
