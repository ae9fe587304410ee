"""Plots the losses of a training log: `python -m training.loss_curve log.jsonl curve.svg`."""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path

WIDTH, HEIGHT, LEFT, TOP, RIGHT, BOTTOM = 720, 360, 56, 24, 92, 40
LINES = {
    "pixels": "#2a6fdb",
    "repainted": "#0f8b8d",
    "heads": "#d9822b",
    "words": "#2e9e5b",
    "colour": "#b04ec4",
    "scale": "#8a8f98",
}
LEAST = 1e-4  # a lower loss is drawn there: the axis is logarithmic
STEP_TICKS, DECADES = 5000, (0.0001, 0.001, 0.01, 0.1, 1.0, 10.0)


def smooth(values: list[float], keep: float = 0.7) -> list[float]:
    """Running mean of the logarithm, which shows the trend despite the noise of the batches."""
    out, last = [], math.log(values[0])
    for value in values:
        last = keep * last + (1 - keep) * math.log(value)
        out.append(math.exp(last))
    return out


def svg(rows: list[dict[str, float]]) -> str:
    """The losses over the steps, on a logarithmic scale."""
    last, names = rows[-1]["step"], [name for name in LINES if name in rows[-1]]
    lowest = min(max(LEAST, row[name]) for row in rows for name in names if name in row)
    decades = [d for d in DECADES if d >= lowest / 10]
    low, high = math.log10(decades[0]), math.log10(5)

    def x(step: float) -> float:
        return LEFT + step / last * (WIDTH - LEFT - RIGHT)

    def y(value: float) -> float:
        share = (high - math.log10(value)) / (high - low)
        return TOP + share * (HEIGHT - TOP - BOTTOM)

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
        'font-family="sans-serif" font-size="12">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>',
    ]
    for value in decades:
        if value <= 5:
            parts.append(f'<path d="M{LEFT} {y(value):.1f}H{WIDTH - RIGHT}" stroke="#ddd"/>')
            parts.append(f'<text x="8" y="{y(value) + 4:.1f}">{value:g}</text>')
    for step in range(0, int(last) + 1, STEP_TICKS):
        place = f'x="{x(step):.1f}" y="{HEIGHT - BOTTOM + 18}"'
        parts.append(f'<text {place} text-anchor="middle">{step}</text>')
    parts.append(f'<text x="{WIDTH / 2}" y="{HEIGHT - 4}" text-anchor="middle">step</text>')
    free = 0.0  # next free height for a label, from the top
    for name in sorted(names, key=lambda name: -rows[-1][name]):
        colour = LINES[name]
        own = [row for row in rows if name in row]  # a training may begin to log a loss later
        values = smooth([max(LEAST, row[name]) for row in own])
        points = [f"{x(r['step']):.1f},{y(v):.1f}" for r, v in zip(own, values, strict=True)]
        line = f'<polyline points="{" ".join(points)}" fill="none" stroke="{colour}"'
        parts.append(line + ' stroke-width="2"/>')
        free = max(free, y(values[-1]) + 4) + 15
        parts.append(
            f'<text x="{WIDTH - RIGHT + 8}" y="{free - 15:.1f}" fill="{colour}">'
            f"{name} {rows[-1][name]:.3f}</text>"
        )
    return "\n".join([*parts, "</svg>", ""])


def main(log: Path, out: Path) -> None:
    rows = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
    out.write_text(svg(rows), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
