"""One look for all pictures of the report, and how a figure becomes inline SVG."""

from __future__ import annotations

import io
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes

CHALLENGER = "#2457d6"
CHAMPION = "#8b94a5"
GOOD = "#12805c"
BAD = "#c2362b"
INK = "#1d2433"
FAINT = "#d9dee8"

_RC: dict[Any, Any] = {
    "svg.fonttype": "none",  # text stays text: small, sharp, and found by the browser's search
    "font.family": "sans-serif",
    "font.sans-serif": ["Inter", "Segoe UI", "Helvetica Neue", "Arial", "DejaVu Sans"],
    "font.size": 9,
    "text.color": INK,
    "axes.labelcolor": "#5a6478",
    "axes.edgecolor": FAINT,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.titlepad": 10,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#eef1f6",
    "xtick.color": "#5a6478",
    "ytick.color": "#5a6478",
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "legend.frameon": False,
    "legend.fontsize": 8,
    "lines.linewidth": 1.8,
}
WIDTH, HEIGHT = 4.6, 3.4


def axes(title: str, *, width: float = WIDTH, height: float = HEIGHT) -> Axes:
    """A new figure's axes in the report's look (sizes in inches)."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    mpl.rcParams.update(_RC)  # for this process: whatever is drawn into the axes later reads it too
    made = Figure(figsize=(width, height), layout="constrained").add_subplot()
    made.set_title(title)
    return made


def svg(drawn: Axes) -> str:
    """The figure as an `<svg>` element for HTML, its ids its own."""
    import matplotlib as mpl

    figure = drawn.get_figure(root=True)
    assert figure is not None
    title = drawn.get_title(loc="left")
    out = io.StringIO()
    # Ids in one page must differ between pictures, and be the same each time the report is made.
    with mpl.rc_context({"svg.hashsalt": title}):
        figure.savefig(out, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    text = out.getvalue()
    text = text[text.index("<svg") :]
    names = set(re.findall(r'id="([^"]+)"', text))
    prefix = re.sub(r"\W+", "-", title.lower()).strip("-")
    for name in sorted(names, key=len, reverse=True):
        text = text.replace(f'id="{name}"', f'id="{prefix}-{name}"').replace(f"#{name}", f"#{prefix}-{name}")
    return re.sub(
        r'<svg [^>]*?viewBox="([^"]+)"[^>]*>',
        rf'<svg viewBox="\1" role="img" aria-label="{title}">',
        text,
        count=1,
    )


def plain(text: str) -> str:
    """Text of the data's as it stands: matplotlib reads what is between dollars as mathematics."""
    return text.replace("$", r"\$")


def lean(*series: Any, points: int = 300) -> tuple[Any, ...]:
    """At most `points` of each series, evenly taken with both ends: a curve of 10,000 steps is megabytes of SVG."""
    import numpy as np

    length = len(series[0])
    if length <= points:
        return series
    rows = np.unique(np.linspace(0, length - 1, points).round().astype(int))
    return tuple(values[rows] for values in series)
