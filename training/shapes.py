"""Implicit shapes: functions on the plane that are negative inside, in the units of a thing.

A thing occupies about -1..1 on both axes, u to the right and v down. Values near the outline are
approximate distances; `atlas` computes exact ones.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

Shape = Callable[[Tensor, Tensor], Tensor]
Point = tuple[float, float]


def circle(cx: float, cy: float, r: float) -> Shape:
    return lambda u, v: torch.hypot(u - cx, v - cy) - r


def ellipse(cx: float, cy: float, rx: float, ry: float, degrees: float = 0.0) -> Shape:
    """An ellipse, turned clockwise as seen on the screen."""
    c, s = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))

    def field(u: Tensor, v: Tensor) -> Tensor:
        a, b = (u - cx) * c + (v - cy) * s, (v - cy) * c - (u - cx) * s
        return (torch.hypot(a / rx, b / ry) - 1) * min(rx, ry)

    return field


def box(cx: float, cy: float, hw: float, hh: float, corner: float = 0.0) -> Shape:
    """A box of half-width and half-height with rounded corners."""

    def field(u: Tensor, v: Tensor) -> Tensor:
        a, b = (u - cx).abs() - hw + corner, (v - cy).abs() - hh + corner
        outside = torch.hypot(a.clamp(min=0), b.clamp(min=0))
        return outside + torch.maximum(a, b).clamp(max=0) - corner

    return field


def line(points: Sequence[Point], width: float) -> Shape:
    """A stroke with round ends and joints."""

    def field(u: Tensor, v: Tensor) -> Tensor:
        best = torch.full_like(u, 1e3)
        for (ax, ay), (bx, by) in zip(points, points[1:], strict=False):
            best = torch.minimum(best, to_segment(u, v, ax, ay, bx, by))
        return best - width / 2

    return field


def to_segment(u: Tensor, v: Tensor, ax: float, ay: float, bx: float, by: float) -> Tensor:
    """Distance to the segment from a to b."""
    dx, dy = bx - ax, by - ay
    t = (((u - ax) * dx + (v - ay) * dy) / (dx * dx + dy * dy)).clamp(0, 1)
    return torch.hypot(u - ax - t * dx, v - ay - t * dy)


def polygon(points: Sequence[Point], corner: float = 0.0) -> Shape:
    """A closed polygon (even-odd rule), expanded with rounded corners."""

    def field(u: Tensor, v: Tensor) -> Tensor:
        distance = torch.full_like(u, 1e3)
        inside = torch.zeros_like(u, dtype=torch.bool)
        for (ax, ay), (bx, by) in zip(points, [*points[1:], points[0]], strict=True):
            distance = torch.minimum(distance, to_segment(u, v, ax, ay, bx, by))
            crosses = (ay > v) != (by > v)
            inside ^= crosses & (u < (bx - ax) * (v - ay) / (by - ay + 1e-9) + ax)
        return torch.where(inside, -distance, distance) - corner

    return field


def union(*shapes: Shape) -> Shape:
    return lambda u, v: torch.stack([s(u, v) for s in shapes]).amin(0)


def both(*shapes: Shape) -> Shape:
    return lambda u, v: torch.stack([s(u, v) for s in shapes]).amax(0)


def without(shape: Shape, *cut: Shape) -> Shape:
    return lambda u, v: torch.maximum(shape(u, v), -union(*cut)(u, v))


def mirrored(shape: Shape) -> Shape:
    """The shape and its mirror image across the vertical axis."""
    return lambda u, v: torch.minimum(shape(u, v), shape(-u, v))


def around(shape: Shape, copies: int) -> Shape:
    """The shape, repeated in a ring around the origin."""

    def field(u: Tensor, v: Tensor) -> Tensor:
        out = torch.full_like(u, 1e3)
        for k in range(copies):
            c, s = math.cos(2 * math.pi * k / copies), math.sin(2 * math.pi * k / copies)
            out = torch.minimum(out, shape(u * c + v * s, v * c - u * s))
        return out

    return field


def star(outer: float, inner: float, corner: float) -> Shape:
    radii = (outer, inner) * 5
    turns = [math.pi * (k / 5 - 0.5) for k in range(10)]
    points = [(r * math.cos(a), r * math.sin(a) + 0.06) for r, a in zip(radii, turns, strict=True)]
    return polygon(points, corner)


def heart() -> Shape:
    points = []
    for k in range(64):
        t = 2 * math.pi * k / 64
        y = 13 * math.cos(t) - 5 * math.cos(2 * t) - 2 * math.cos(3 * t) - math.cos(4 * t)
        points.append((16 * math.sin(t) ** 3 / 17.2, -(y + 2.4) / 17.2))
    return polygon(points)
