"""The chart of docs/performance.md: each peer's speed as a multiple of Akela's, on a logarithmic axis: per second of processor time
where it is a rate. A small SVG of its own; its colours are legible on light and on dark."""

import math
from collections.abc import Sequence
from typing import Final
from xml.sax.saxutils import escape

from bench import table
from bench.results import Results, Row

LEFT: Final = 400  # pixels, like the next ones
RIGHT: Final = 24
TOP: Final = 64
STEP: Final = 26
WIDTH: Final = 960
COLOURS: Final = ("#d1495b", "#e07a1f", "#2a9d8f", "#7b68c8", "#5b8def", "#b5838d", "#6c9a3b")
STYLE: Final = (
    "text{font:13px system-ui,sans-serif;fill:#24292f}.muted{fill:#57606a}.axis{stroke:#8c959f;stroke-width:1}"
    ".grid{stroke:#8c959f;stroke-width:.5;opacity:.4}.us{stroke:#1a7f37;stroke-width:2}"
    "@media(prefers-color-scheme:dark){text{fill:#e6edf3}.muted{fill:#9198a1}.us{stroke:#3fb950}}"
)


def chart(results: Results) -> str:
    """The SVG, as text. Rows without any ratio are left out."""
    peers = table.compared(results)
    rows = [row for row in results.rows if row.growth is None and any(row.ratio(peer) for peer in peers)]
    speeds = [1 / found[0] for row in rows for peer in peers if (found := _ratio(row, peer))]
    low, high = _decades(speeds)
    height = TOP + STEP * len(rows) + 40
    body = [_legend(peers), _axis(low, high, len(rows))]
    body += [_row(row, peers, TOP + STEP * number + STEP / 2, (low, high)) for number, row in enumerate(rows)]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img" '
        f"aria-label=\"Each broker's speed as a multiple of Akela's\">\n<style>{STYLE}</style>\n"
        + "\n".join(body)
        + "\n</svg>\n"
    )


def _ratio(row: Row, peer: str) -> tuple[float, float, float] | None:
    return row.cost_ratio(peer) or row.ratio(peer)


def _decades(speeds: Sequence[float]) -> tuple[int, int]:
    """Powers of ten that hold all speeds, and 1."""
    return (
        math.floor(math.log10(min([0.1, *speeds]))),
        math.ceil(math.log10(max([2.0, *speeds]))),
    )


def _x(speed: float, span: tuple[int, int]) -> float:
    low, high = span
    return round(LEFT + (math.log10(speed) - low) / (high - low) * (WIDTH - LEFT - RIGHT), 1)


def _legend(peers: Sequence[str]) -> str:
    out = [
        '<text x="12" y="22">per second of processor time, as a multiple of Akela\'s; left: slower, later, or more memory</text>'
    ]
    for number, peer in enumerate(peers):
        x = 12 + 110 * number
        out.append(f'<circle cx="{x + 5}" cy="42" r="5" fill="{_colour(number)}"/>')
        out.append(f'<text x="{x + 16}" y="46">{escape(peer)}</text>')
    return "\n".join(out)


def _axis(low: int, high: int, rows: int) -> str:
    bottom = TOP + STEP * rows
    out = []
    for power in range(low, high + 1):
        x = _x(10.0**power, (low, high))
        kind = "us" if power == 0 else "grid"
        out.append(f'<line class="{kind}" x1="{x}" y1="{TOP}" x2="{x}" y2="{bottom}"/>')
        out.append(f'<text class="muted" x="{x}" y="{bottom + 20}" text-anchor="middle">{10.0**power:g}</text>')
    out.append(f'<line class="axis" x1="{LEFT}" y1="{bottom}" x2="{WIDTH - RIGHT}" y2="{bottom}"/>')
    return "\n".join(out)


def _row(row: Row, peers: Sequence[str], y: float, span: tuple[int, int]) -> str:
    text = escape(f"{row.workload}  {table.title(row)}")
    out = [f'<text x="12" y="{y + 4}">{text}</text>']
    for number, peer in enumerate(peers):
        found = _ratio(row, peer)
        if found is not None:
            tip = escape(f"{peer}: {1 / found[0]:.2f} times Akela")
            x = _x(1 / found[0], span)
            out.append(f'<circle cx="{x}" cy="{y}" r="5" fill="{_colour(number)}"><title>{tip}</title></circle>')
    return "\n".join(out)


def _colour(number: int) -> str:
    return COLOURS[number % len(COLOURS)]
