"""Turn matplotlib figures into inline SVG in the colours of the page, with the values of their points.

The page's script shows the values of the point next to the pointer. Without it, they are in a list below the chart.
"""

import io
import re
from collections.abc import Sequence
from dataclasses import dataclass

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

# Placeholders for the colours of the page, which differ between its light and dark themes.
INK, LINE, PAPER = "#000001", "#000002", "#000003"
SERIES = ("#000011", "#000012", "#000013", "#000014", "#000015", "#000016")
PAGE_COLOURS = {INK: "var(--ink)", LINE: "var(--line)", PAPER: "var(--paper)"} | {
    colour: f"var(--series-{i})" for i, colour in enumerate(SERIES, start=1)
}
WIDTH, HEIGHT = 380, 250  # points, as wide as a phone, so that its text is readable there
MOST_POINTS = 300  # per series, for which values are shown
STYLE = {
    "axes.edgecolor": LINE,
    "axes.facecolor": "none",
    "axes.grid": True,
    "axes.labelcolor": INK,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "figure.facecolor": "none",
    "font.size": 11,
    "grid.color": LINE,
    "grid.linewidth": 0.5,
    "svg.fonttype": "none",
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
}


@dataclass(frozen=True)
class Point:
    """A point of a series, by its coordinates, and what to show about it."""

    x: float
    y: float
    text: str


@dataclass(frozen=True)
class Chart:
    """A chart for the page.

    Attributes:
      title: its heading.
      svg: the drawing, without the outer element.
      points: x and y in the drawing, and the text of each point whose values can be read.
      legend: the colour's index and the name of each series; empty if there is only one.
      note: how to read it.
    """

    title: str
    svg: str
    points: list[tuple[float, float, str]]
    legend: list[tuple[int, str]]
    note: str
    width: int = WIDTH
    height: int = HEIGHT


class Drawing:
    """A figure with one pair of axes; `finish` makes a chart of it."""

    def __init__(self, title: str, *, x: str, y: str, note: str = "") -> None:
        self.title, self.note = title, note
        with mpl.rc_context(STYLE):
            self.figure = Figure(figsize=(WIDTH / 72, HEIGHT / 72), dpi=72, layout="constrained")
            FigureCanvasSVG(self.figure)
            self.axes: Axes = self.figure.add_subplot()
            self.axes.set(xlabel=x, ylabel=y)
        self.points: list[Point] = []
        self.legend: list[tuple[int, str]] = []

    def line(self, points: Sequence[Point], *, series: int = 0, name: str = "", marker: str = "") -> None:
        """Draw a line through points; `name` adds it to the legend."""
        colour = SERIES[series % len(SERIES)]
        xs, ys = [p.x for p in points], [p.y for p in points]
        self.axes.plot(xs, ys, marker=marker or None, color=colour, linewidth=1.8, markersize=4.5)
        self.points += thinned(points, MOST_POINTS)
        if name:
            self.legend.append((series % len(SERIES) + 1, name))

    def finish(self) -> Chart:
        """Return the chart."""
        with mpl.rc_context(STYLE | {"svg.hashsalt": self.title}):
            self.figure.canvas.draw()
            buffer = io.StringIO()
            self.figure.savefig(buffer, format="svg", metadata=dict.fromkeys(("Date", "Creator", "Format", "Type")))
        readable = []
        for point in self.points:
            x, y = self.axes.transData.transform((point.x, point.y))
            readable.append((round(float(x), 1), round(HEIGHT - float(y), 1), point.text))
        return Chart(self.title, _inner(buffer.getvalue()), readable, self.legend, self.note)


def thinned(points: Sequence[Point], most: int) -> list[Point]:
    """Return at most that many of the points, evenly spread, the last one included."""
    if len(points) <= most:
        return list(points)
    return [points[round(i * (len(points) - 1) / (most - 1))] for i in range(most)]


def _inner(svg: str) -> str:
    """Return the content of an SVG file for embedding in HTML, without ids that would occur twice in the page."""
    content = svg[svg.index(">", svg.index("<svg")) + 1 : svg.rindex("</svg>")]
    content = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>", "", content, flags=re.DOTALL)
    content = re.sub(r"<g id=\"[^\"]*\"", "<g", content)
    content = re.sub(r"font(-family|-size)?: [^;\"]*;?", "", content)  # the page's own
    for colour, name in PAGE_COLOURS.items():
        content = content.replace(colour, name)
    return re.sub(r"\s*\n\s*", "\n", content)
