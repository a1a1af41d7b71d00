"""Two kinds of plots, as SVG."""

from html import escape
from math import ceil, floor, log10

FONT = 'font-family="sans-serif" font-size="13"'
COLOURS = ["#2a6f97", "#c1121f", "#588157", "#9c6644"]


def document(width, height, parts):
    inside = "\n".join(parts)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}" {FONT}>\n'
        f'<rect width="{width}" height="{height}" fill="white"/>\n{inside}\n</svg>\n'
    )


def text(x, y, words, anchor="start", size=13):
    return f'<text x="{x:.0f}" y="{y:.0f}" text-anchor="{anchor}" font-size="{size}">{escape(words)}</text>'


def bars(title, values):
    most = max(value for _, value in values)
    parts = [text(16, 28, title, size=15)]
    for index, (name, value) in enumerate(values):
        y = 48 + 36 * index
        width = max(1, 430 * value / most)
        parts.append(text(200, y + 17, name, "end"))
        parts.append(f'<rect x="210" y="{y}" width="{width:.1f}" height="24" fill="{COLOURS[index % len(COLOURS)]}"/>')
        parts.append(text(218 + width, y + 17, f"{value:,.0f}"))
    return document(720, 60 + 36 * len(values), parts)


def lines(title, series):
    """Both axes are logarithmic. A name that ends in p99 is drawn dashed, in the colour of the one before it."""
    every = [point for points in series.values() for point in points]
    left, right, top, bottom = 70, 540, 50, 390
    low_x, high_x = (f(log10(p(x for x, _ in every))) for f, p in ((floor, min), (ceil, max)))
    low_y, high_y = (f(log10(p(y for _, y in every))) for f, p in ((floor, min), (ceil, max)))
    across = lambda x: left + (right - left) * (log10(x) - low_x) / max(1, high_x - low_x)
    up = lambda y: bottom - (bottom - top) * (log10(y) - low_y) / max(1, high_y - low_y)
    parts = [text(16, 28, title, size=15)]
    for power in range(low_x, high_x + 1):
        x = across(10**power)
        parts.append(f'<line x1="{x:.0f}" y1="{top}" x2="{x:.0f}" y2="{bottom}" stroke="#ddd"/>')
        parts.append(text(x, bottom + 20, f"{10**power:,}", "middle"))
    for power in range(low_y, high_y + 1):
        y = up(10**power)
        parts.append(f'<line x1="{left}" y1="{y:.0f}" x2="{right}" y2="{y:.0f}" stroke="#ddd"/>')
        parts.append(text(left - 8, y + 4, f"{10**power:g}", "end"))
    for index, (name, points) in enumerate(series.items()):
        colour = COLOURS[index // 2 % len(COLOURS)]
        dashes = ' stroke-dasharray="5 4"' if name.endswith("p99") else ""
        path = " ".join(f"{across(x):.1f},{up(y):.1f}" for x, y in points)
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"{dashes}/>')
        y = top + 22 * index
        parts.append(f'<line x1="560" y1="{y}" x2="590" y2="{y}" stroke="{colour}" stroke-width="2"{dashes}/>')
        parts.append(text(598, y + 4, name))
    return document(720, 420, parts)
