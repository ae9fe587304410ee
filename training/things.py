"""The things that the demo model can render, composed by hand from implicit shapes.

Each has an outline and parts that are painted over it in order. A part has a paint instead of a
colour: the prompt gives the thing's own colour, and the paints are relative to it.
"""

from __future__ import annotations

from dataclasses import dataclass

from training.shapes import (
    Shape,
    around,
    both,
    box,
    circle,
    ellipse,
    heart,
    line,
    mirrored,
    polygon,
    star,
    union,
    without,
)  # fmt: skip

# Paints: the prompt's colour, the thing's second colour, lighter, darker, white, black.
PAINTS = ("own", "accent", "light", "dark", "white", "black")
Part = tuple[str, Shape]


@dataclass(frozen=True)
class Thing:
    """One thing: its appearance and its typical place."""

    outline: Shape
    natural: str  # its colour if the prompt names none
    ground: str  # its ground if the prompt names none
    parts: tuple[Part, ...] = ()
    accent: tuple[int, int, int] = (250, 196, 40)
    tilt: float = 0.3  # largest lean to either side, in radians
    rests: float = 0.0  # height in a landscape: below the centre (+) or above it (-)


def eyes(x: float, y: float, r: float) -> tuple[Part, ...]:
    """Two round black eyes with a highlight."""
    return (
        ("black", mirrored(circle(x, y, r))),
        ("white", union(*(circle(s * x - r * 0.3, y - r * 0.35, r * 0.36) for s in (-1, 1)))),
    )


CROWN = union(
    circle(0, -0.42, 0.5), circle(-0.44, -0.1, 0.42), circle(0.44, -0.1, 0.42),
    circle(0, 0.02, 0.45),
)  # fmt: skip
PUFF = union(
    circle(-0.56, 0.14, 0.36), circle(-0.1, -0.16, 0.5), circle(0.48, 0.06, 0.42),
    box(0, 0.28, 0.8, 0.22, 0.2),
)  # fmt: skip
CAP = both(ellipse(0, 0.05, 0.98, 0.95), box(0, -0.5, 1.1, 0.56))
CANOPY = without(
    both(circle(0, 0.1, 0.98), box(0, -0.5, 1.1, 0.6)),
    *(ellipse(x, 0.12, 0.245, 0.15) for x in (-0.735, -0.245, 0.245, 0.735)),
)
ALMOND = both(circle(0, 0.62, 1.16), circle(0, -0.62, 1.16))
WINGS = mirrored(union(ellipse(0.52, -0.36, 0.52, 0.38, -35), ellipse(0.42, 0.4, 0.36, 0.32, 35)))
CAT_EAR = polygon([(-0.5, -0.4), (-0.47, -0.98), (-0.1, -0.7)], 0.02)
ROOF = polygon([(-1.0, -0.12), (0.0, -0.92), (1.0, -0.12)], 0.03)
PEAKS = polygon([(-1.0, 0.66), (-0.36, -0.8), (0.02, -0.12), (0.4, -0.52), (1.0, 0.66)], 0.03)
SAIL = polygon([(0.04, -0.98), (0.04, 0.18), (0.78, 0.18)])
JIB = polygon([(-0.08, -0.8), (-0.08, 0.18), (-0.62, 0.18)])
HULL = polygon([(-0.98, 0.3), (0.98, 0.3), (0.66, 0.84), (-0.66, 0.84)], 0.03)
CABIN = polygon([(-0.56, -0.06), (-0.36, -0.52), (0.26, -0.52), (0.54, -0.06)], 0.05)
WHEELS = mirrored(circle(0.52, 0.36, 0.24))
FUSELAGE = both(circle(-0.56, -0.1, 1.0), circle(0.56, -0.1, 1.0), box(0, -0.22, 1, 0.76))
FLAME = polygon([(-0.2, 0.5), (0.2, 0.5), (0.0, 1.02)], 0.03)

THINGS: dict[str, Thing] = {
    "circle": Thing(circle(0, 0, 0.9), "red", "studio"),
    "square": Thing(box(0, 0, 0.8, 0.8, 0.08), "blue", "studio"),
    "triangle": Thing(polygon([(0, -0.84), (0.92, 0.7), (-0.92, 0.7)], 0.05), "green", "studio"),
    "star": Thing(star(0.96, 0.44, 0.03), "yellow", "night", rests=-0.06),
    "heart": Thing(heart(), "red", "studio"),
    "moon": Thing(
        without(circle(-0.02, 0, 0.94), circle(0.46, -0.14, 0.74)), "yellow", "night",
        (("dark", union(circle(-0.66, -0.16, 0.1), circle(-0.5, 0.36, 0.13),
                        circle(-0.12, 0.7, 0.08), circle(-0.42, -0.6, 0.07))),),
        rests=-0.08,
    ),
    "sun": Thing(
        union(circle(0, 0, 0.56), around(polygon([(0.46, -0.2), (1.02, 0), (0.46, 0.2)]), 8)),
        "yellow", "sky", (("light", circle(0, 0, 0.45)),), rests=-0.08,
    ),
    "flower": Thing(
        union(circle(0, 0, 0.3), around(ellipse(0.58, 0, 0.42, 0.3), 6)), "pink", "field",
        (("dark", around(line([(0.3, 0), (0.56, 0)], 0.06), 6)), ("accent", circle(0, 0, 0.29))),
        rests=0.05,
    ),
    "tree": Thing(
        union(CROWN, box(0, 0.6, 0.14, 0.38, 0.04)), "green", "field",
        (("accent", box(0, 0.72, 0.2, 0.3)),
         ("light", union(circle(-0.2, -0.5, 0.12), circle(0.34, -0.2, 0.1),
                         circle(-0.5, -0.1, 0.09)))),
        (120, 78, 44), tilt=0.08, rests=0.06,
    ),
    "house": Thing(
        union(box(0, 0.38, 0.74, 0.52), ROOF, box(0.5, -0.62, 0.12, 0.24)), "orange", "field",
        (("dark", union(ROOF, box(0.5, -0.62, 0.12, 0.24))), ("accent", box(0, 0.6, 0.17, 0.32)),
         ("white", mirrored(box(0.46, 0.26, 0.15, 0.15)))),
        (110, 66, 40), tilt=0.06, rests=0.08,
    ),
    "mountain": Thing(
        PEAKS, "grey", "field",
        (("dark", both(PEAKS, polygon([(-0.36, -0.9), (0.02, -0.12), (-0.1, 0.7), (-0.3, 0.0)]))),
         ("dark", both(PEAKS, polygon([(0.4, -0.6), (1.1, 0.7), (0.5, 0.7), (0.36, 0.0)]))),
         ("white", both(PEAKS, polygon([(-0.36, -1.0), (-0.02, -0.3), (-0.2, -0.42),
                                        (-0.34, -0.22), (-0.46, -0.4), (-0.7, -0.24)])))),
        tilt=0.05, rests=0.1,
    ),
    "fish": Thing(
        union(ellipse(0.14, 0, 0.74, 0.46), polygon([(-0.4, 0), (-1.0, -0.5), (-0.86, 0),
              (-1.0, 0.5)], 0.02), polygon([(-0.2, -0.36), (0.1, -0.7), (0.4, -0.36)], 0.02)),
        "orange", "sea",
        (("light", ellipse(0.2, 0.26, 0.5, 0.14)),
         ("dark", union(line([(0.28, -0.26), (0.2, 0), (0.28, 0.24)], 0.06),
                        line([(-0.9, -0.28), (-0.55, -0.06)], 0.05),
                        line([(-0.9, 0.28), (-0.55, 0.06)], 0.05))),
         ("white", circle(0.56, -0.1, 0.14)), ("black", circle(0.59, -0.1, 0.08))),
        tilt=0.2, rests=0.12,
    ),
    "bird": Thing(
        union(ellipse(-0.06, 0.12, 0.6, 0.42, 15), circle(0.46, -0.34, 0.33),
              polygon([(0.7, -0.46), (1.06, -0.3), (0.7, -0.2)], 0.02),
              polygon([(-0.46, 0.02), (-1.04, -0.34), (-0.98, 0.12), (-0.4, 0.32)], 0.03),
              line([(0.02, 0.5), (0.02, 0.86), (0.16, 0.86)], 0.09)),
        "blue", "sky",
        (("accent", union(polygon([(0.74, -0.5), (1.1, -0.3), (0.74, -0.16)], 0.02),
                          both(box(0.1, 0.8, 0.3, 0.26),
                               line([(0.02, 0.5), (0.02, 0.86), (0.16, 0.86)], 0.1)))),
         ("dark", ellipse(-0.2, 0.08, 0.42, 0.2, 20)), ("light", ellipse(0.2, 0.36, 0.22, 0.12)),
         ("white", circle(0.54, -0.4, 0.11)), ("black", circle(0.56, -0.4, 0.07))),
        (245, 150, 30), tilt=0.12, rests=-0.06,
    ),
    "cat": Thing(
        union(ellipse(0, 0.52, 0.5, 0.46), circle(0, -0.28, 0.52), mirrored(CAT_EAR),
              line([(0.4, 0.82), (0.74, 0.72), (0.84, 0.4), (0.72, 0.16)], 0.2)),
        "grey", "studio",
        (("accent", union(mirrored(polygon([(-0.42, -0.62), (-0.42, -0.84), (-0.26, -0.7)])),
                          ellipse(0, -0.15, 0.08, 0.055))),
         ("light", ellipse(0, 0.56, 0.24, 0.3)),
         ("dark", union(line([(0, -0.1), (-0.12, 0.0)], 0.05), line([(0, -0.1), (0.12, 0.0)], 0.05),
                        mirrored(line([(0.2, 0.98), (0.2, 0.78)], 0.05)))),
         *eyes(0.22, -0.34, 0.12)),
        (245, 150, 165), tilt=0.06, rests=0.08,
    ),
    "dog": Thing(
        union(ellipse(0, -0.05, 0.6, 0.66), ellipse(0, 0.36, 0.42, 0.42),
              mirrored(ellipse(-0.68, 0.0, 0.26, 0.58, 14))),
        "brown", "studio",
        (("dark", mirrored(ellipse(-0.7, 0.02, 0.26, 0.56, 14))),
         ("light", union(ellipse(0, 0.36, 0.36, 0.32), ellipse(0, -0.3, 0.1, 0.34))),
         ("accent", ellipse(0, 0.62, 0.13, 0.15)), ("black", ellipse(0, 0.2, 0.17, 0.12)),
         *eyes(0.28, -0.2, 0.12)),
        (235, 90, 110), tilt=0.12, rests=0.06,
    ),
    "cloud": Thing(PUFF, "white", "sky", tilt=0.05, rests=-0.1),
    "boat": Thing(
        union(HULL, SAIL, JIB, box(0, -0.3, 0.05, 0.66)), "red", "sea",
        (("white", SAIL), ("light", JIB), ("black", box(-0.02, -0.3, 0.05, 0.6)),
         ("dark", box(0, 0.36, 0.9, 0.07))),
        tilt=0.12, rests=0.02,
    ),
    "butterfly": Thing(
        union(WINGS, line([(0, -0.5), (0, 0.62)], 0.16), mirrored(line([(0, -0.5), (0.2, -0.86)],
              0.07))),
        "purple", "field",
        (("light", mirrored(union(circle(0.6, -0.42, 0.19), circle(0.44, 0.44, 0.14)))),
         ("dark", mirrored(union(circle(0.6, -0.42, 0.09), circle(0.44, 0.44, 0.07)))),
         ("black", union(line([(0, -0.5), (0, 0.62)], 0.15),
                         mirrored(line([(0, -0.5), (0.2, -0.86)], 0.06))))),
        rests=-0.02,
    ),
    "mushroom": Thing(
        union(CAP, box(0, 0.44, 0.3, 0.48, 0.14)), "red", "forest",
        (("accent", box(0, 0.56, 0.36, 0.5)),
         ("white", both(CAP, union(circle(-0.5, -0.26, 0.15), circle(0.06, -0.54, 0.18),
                                   circle(0.54, -0.22, 0.14), circle(-0.12, -0.08, 0.1))))),
        (240, 224, 194), tilt=0.12, rests=0.12,
    ),
    "eye": Thing(
        ALMOND, "blue", "studio",
        (("white", ALMOND), ("own", circle(0, 0, 0.44)),
         ("dark", without(circle(0, 0, 0.44), circle(0, 0, 0.38))), ("black", circle(0, 0, 0.2)),
         ("white", circle(-0.13, -0.15, 0.09)),
         ("black", without(ALMOND, both(circle(0, 0.7, 1.18), circle(0, -0.62, 1.4))))),
        tilt=0.12,
    ),
    "cross": Thing(union(box(0, 0, 0.88, 0.31, 0.06), box(0, 0, 0.31, 0.88, 0.06)), "red",
                   "studio"),
    "car": Thing(
        union(box(0, 0.14, 0.98, 0.26, 0.14), CABIN, WHEELS), "red", "field",
        (("accent", union(polygon([(-0.42, -0.06), (-0.3, -0.42), (-0.08, -0.42),
                                   (-0.08, -0.06)]),
                          polygon([(0.02, -0.06), (0.02, -0.42), (0.22, -0.42),
                                   (0.4, -0.06)]))),
         ("white", box(0.88, 0.06, 0.08, 0.07)), ("black", WHEELS),
         ("light", mirrored(circle(0.52, 0.36, 0.1)))),
        (178, 220, 240), tilt=0.05, rests=0.1,
    ),
    "umbrella": Thing(
        union(CANOPY, line([(0, -0.96), (0, 0.76), (0.08, 0.88), (0.2, 0.88), (0.26, 0.76)],
              0.11)),
        "purple", "studio",
        (("light", both(CANOPY, ellipse(0, 0.1, 0.49, 1.0))),
         ("own", both(CANOPY, ellipse(0, 0.1, 0.16, 1.0))),
         ("accent", without(line([(0, -0.96), (0, 0.76), (0.08, 0.88), (0.2, 0.88),
                                  (0.26, 0.76)], 0.12), CANOPY))),
        (120, 78, 44), tilt=0.2,
    ),
    "rocket": Thing(
        union(FUSELAGE, FLAME, mirrored(polygon([(0.3, 0.0), (0.74, 0.44), (0.7, 0.76),
              (0.2, 0.5)], 0.02))),
        "white", "space",
        (("dark", mirrored(polygon([(0.42, 0.02), (0.8, 0.44), (0.78, 0.84), (0.3, 0.54)]))),
         ("dark", both(FUSELAGE, box(0, -0.92, 1, 0.4))),
         ("accent", both(FLAME, box(0, 0.8, 1, 0.27))),
         ("white", circle(0, -0.16, 0.25)), ("black", circle(0, -0.16, 0.18))),
        (255, 158, 40), tilt=0.35, rests=-0.04,
    ),
}  # fmt: skip
