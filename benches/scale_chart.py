#!/usr/bin/env python3
"""Draws benches/scale.svg from the table that `compat-tests/peers_bench.py --only scale` writes.

    python3 compat-tests/peers_bench.py --only scale --servers tributary --csv benches/scale.csv
    python3 benches/scale_chart.py benches/scale.csv benches/scale.svg

One small plot a figure: the cost over the number of series, from zero, with the band of twice the smallest.
"""

import csv
import sys

ACROSS, WIDE, HIGH, LEFT, TOP, GAP = 4, 210, 110, 16, 46, 62


def size_name(size):
    return f"{size // 1_000_000} M" if size >= 1_000_000 else f"{size // 1000} k"


def short(figure):
    return f"{figure:.3g}" if figure < 100 else f"{figure:.0f}"


def plot(name, unit, sizes, figures, x, y):
    """The marks of one figure, its corner at (x, y)."""
    highest = max(max(figures), 2 * min(figures)) * 1.1
    place = lambda at: x + 20 + at * (WIDE - 56) / (len(sizes) - 1)
    height = lambda figure: y + HIGH - figure / highest * HIGH
    points = [(place(at), height(figure)) for at, figure in enumerate(figures)]
    band = height(2 * min(figures))
    parts = [
        f'<text class="name" x="{x}" y="{y - 20}">{name}</text>',
        f'<text x="{x}" y="{y - 7}">{unit}</text>',
        f'<rect class="band" x="{x}" y="{band:.1f}" width="{WIDE - 16}" height="{height(min(figures)) - band:.1f}"/>',
        f'<line x1="{x}" y1="{y + HIGH}" x2="{x + WIDE - 16}" y2="{y + HIGH}"/>',
        '<polyline points="' + " ".join(f"{px:.1f},{py:.1f}" for px, py in points) + '"/>',
    ]
    for (px, py), size, figure in zip(points, sizes, figures):
        parts.append(f'<circle cx="{px:.1f}" cy="{py:.1f}" r="3"/>')
        parts.append(f'<text class="mid" x="{px:.1f}" y="{py - 7:.1f}">{short(figure)}</text>')
        parts.append(f'<text class="mid" x="{px:.1f}" y="{y + HIGH + 14}">{size_name(size)}</text>')
    return parts


def main():
    source, target = sys.argv[1:3]
    with open(source, newline="") as file:
        (_, _, *sizes), *rows = list(csv.reader(file))
    sizes = list(map(int, sizes))
    down = -(-len(rows) // ACROSS)
    width, height = LEFT + ACROSS * WIDE, TOP + 24 + down * (HIGH + GAP)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}">',
        "<style>svg{background:#fff;font:11px sans-serif;fill:#444}.name{font-weight:bold;fill:#111}.mid{text-anchor:middle}"
        ".band{fill:#e4eefc}line{stroke:#999}polyline{fill:none;stroke:#1f5fbf;stroke-width:1.5}circle{fill:#1f5fbf}</style>",
        f'<text class="name" x="{LEFT}" y="16">Cost over the number of series; the band reaches from the smallest figure to twice that</text>',
    ]
    for at, (name, unit, *figures) in enumerate(rows):
        x, y = LEFT + at % ACROSS * WIDE, TOP + 24 + at // ACROSS * (HIGH + GAP)
        parts += plot(name, unit, sizes, list(map(float, figures)), x, y)
    open(target, "w").write("\n".join(parts + ["</svg>", ""]))


if __name__ == "__main__":
    main()
