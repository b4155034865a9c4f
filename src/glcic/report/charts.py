"""Charts as inline SVG, with reproducible bytes. The style sheet of the page sets their colors, light and dark."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

from glcic.report.formatting import number

WIDTH = 360  # width of every chart, in SVG units, about a pixel each
LEFT, RIGHT, TOP, BOTTOM = 46, 12, 10, 38  # margins around the plot; the left one grows with the tick labels
DIGIT = 7  # width of a character of a tick label
PLOT_HEIGHT = 150
LABELS = 104  # width of the names of the bins
MARK = 4  # half the size of a mark
LINE = 15  # height of one interval

Places = Sequence[tuple[float, float]]


@dataclass(frozen=True)
class Chart:
    """A chart with its title and legend.

    Attributes:
        title: title of the chart.
        svg: the drawing.
        legend: names of the series, in the order of their colors; empty if a single series needs no name.
    """

    title: str
    svg: Markup
    legend: tuple[str, ...] = ()


@dataclass(frozen=True)
class Estimate:
    """A mean and its interval, if it has one."""

    mean: float
    low: float | None
    high: float | None


@dataclass(frozen=True)
class _Axis:
    """Maps values to positions along an axis, from `start` to `end`."""

    ticks: tuple[float, ...]
    bounds: tuple[float, float]
    start: float
    end: float
    log: bool = False

    def __call__(self, value: float) -> float:
        low, high, value = (math.log10(v) if self.log else v for v in (*self.bounds, value))
        return self.start + (value - low) / (high - low) * (self.end - self.start)


def line_chart(
    title: str, series: Mapping[str, Places], bounds: tuple[float, float] | None = None, log: bool = False
) -> Chart:
    """Draw curves over the number of images seen.

    Args:
        title: title of the chart.
        series: points (x, y) by name, with x ≥ 0; at least one series has a point.
        bounds: range of the y axis; None takes it from the data.
        log: whether the y axis is logarithmic, provided that all values are positive.
    """
    values = [y for points in series.values() for _, y in points]
    log = log and min(values) > 0
    low, high = bounds or (min(values), max(values))
    bottom = TOP + PLOT_HEIGHT
    y = _log_axis(low, high, bottom, TOP) if log else _axis(low, high, bottom, TOP)
    left = max(LEFT, 8 + DIGIT * max(len(_tick(tick, y)) for tick in y.ticks))
    x = _axis(0, max(x for points in series.values() for x, _ in points), left, WIDTH - RIGHT, most=4, tight=True)
    parts = [
        *(_grid_line(left, y(tick), WIDTH - RIGHT, y(tick)) for tick in y.ticks),
        *(_text(left - 6, y(tick) + 4, _tick(tick, y), "end") for tick in y.ticks),
        *(_text(x(tick), bottom + 16, _tick(tick, x), "middle") for tick in x.ticks),
        _text((left + WIDTH - RIGHT) / 2, bottom + 32, "images seen", "middle"),
    ]
    for i, points in enumerate(series.values()):
        placed = " ".join(f"{_n(x(px))},{_n(y(py))}" for px, py in points)
        if len(points) > 1:
            parts.append(f'<polyline class="line s{i}" points="{placed}"/>')
        if points:
            parts.append(_mark(i, x(points[-1][0]), y(points[-1][1])))
    said = "; ".join(_course(name, points, len(series) > 1) for name, points in series.items() if points)
    return Chart(title, _svg(bottom + BOTTOM, f"{title}: {said}", parts), tuple(series) if len(series) > 1 else ())


def interval_chart(
    title: str, series: Sequence[str], bins: Mapping[str, tuple[str, Sequence[Estimate | None]]], most: float
) -> Chart:
    """Draw means with their intervals, in one row per bin.

    Args:
        title: title of the chart.
        series: names of the series, in the order of the estimates.
        bins: name of the bin → a note below the name, and an estimate for each series.
        most: largest value on the axis, which starts at 0.
    """
    x = _axis(0, most, LABELS, WIDTH - RIGHT, most=6)
    height = LINE * len(series) + 16
    bottom = TOP + height * len(bins)
    parts = [_grid_line(x(tick), TOP, x(tick), bottom) for tick in x.ticks]
    parts += [_text(x(tick), bottom + 16, _tick(tick, x), "middle") for tick in x.ticks]
    said = []
    for row, (name, (note, estimates)) in enumerate(bins.items()):
        middle = TOP + height * (row + 0.5)
        if row:
            parts.append(_grid_line(0, middle - height / 2, WIDTH - RIGHT, middle - height / 2))
        parts += [_text(0, middle - 2, name, "start", "name"), _text(0, middle + 13, note, "start")]
        for i, estimate in enumerate(estimates):
            if estimate is None:
                continue
            place = middle + LINE * (i - (len(series) - 1) / 2)
            if estimate.low is not None and estimate.high is not None:
                ends = _n(x(max(estimate.low, 0))), _n(x(estimate.high))
                parts.append(f'<path class="line s{i}" d="M{ends[0]} {_n(place)}H{ends[1]}"/>')
            parts.append(_mark(i, x(estimate.mean), place))
        told = zip(series, estimates, strict=True)
        said.append(f"{name}: " + ", ".join(f"{s} {number(e.mean, 1)}" for s, e in told if e is not None))
    return Chart(title, _svg(bottom + 24, f"{title}. {'; '.join(said)}", parts), tuple(series))


def _svg(height: float, said: str, parts: Sequence[str]) -> Markup:
    """Assemble an SVG element. The text in `parts` is already escaped."""
    return Markup(
        f'<svg viewBox="0 0 {WIDTH} {_n(height)}" role="img" aria-label="{escape(said)}">{"".join(parts)}</svg>'
    )


def _course(name: str, points: Places, named: bool) -> str:
    first, last = (f"{y:.4g}" for y in (points[0][1], points[-1][1]))
    return f"{f'{name} ' if named else ''}from {first} to {last}"


def _mark(i: int, x: float, y: float) -> str:
    """Draw a mark. Each series has its own shape, since not everybody can distinguish the colors."""
    m = MARK
    if i % 3 == 0:
        return f'<circle class="mark s{i}" cx="{_n(x)}" cy="{_n(y)}" r="{m}"/>'
    if i % 3 == 1:
        return f'<rect class="mark s{i}" x="{_n(x - m)}" y="{_n(y - m)}" width="{2 * m}" height="{2 * m}"/>'
    return f'<path class="mark s{i}" d="M{_n(x)} {_n(y - m - 1)}l{m + 1} {m + 1}l{-m - 1} {m + 1}l{-m - 1} {-m - 1}z"/>'


def legend_mark(i: int) -> Markup:
    """Draw the line and the mark of the i-th series, for a legend."""
    line = f'<path class="line s{i}" d="M1 8H27"/>'
    return Markup(f'<svg class="key" viewBox="0 0 28 16" aria-hidden="true">{line}{_mark(i, 14, 8)}</svg>')


def _grid_line(x1: float, y1: float, x2: float, y2: float) -> str:
    return f'<path class="grid" d="M{_n(x1)} {_n(y1)}L{_n(x2)} {_n(y2)}"/>'


def _text(x: float, y: float, text: str, anchor: str, kind: str = "") -> str:
    of_kind = f' class="{kind}"' if kind else ""
    where = "" if anchor == "start" else f' text-anchor="{anchor}"'
    return f'<text{of_kind} x="{_n(x)}" y="{_n(y)}"{where}>{escape(text)}</text>'


def _n(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")


def _tick(value: float, axis: _Axis) -> str:
    """Format a tick label: 8k for 8,000 on long axes. All ticks of a linear axis have the same number of decimals."""
    if axis.ticks[-1] >= 10_000:
        return f"{value / 1000:g}k" if value else "0"
    if axis.log:
        return f"{value:g}"
    return number(value, max(len(f"{tick:.10f}".rstrip("0").partition(".")[2]) for tick in axis.ticks))


def _axis(low: float, high: float, start: float, end: float, most: int = 5, tight: bool = False) -> _Axis:
    """Make a linear axis with round ticks. It ends at the outer ticks or, if `tight`, at the extreme values."""
    if high <= low:
        low, high = (low - 1, low + 1) if low else (0.0, 1.0)
    step = _step((high - low) / most)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    ticks = tuple(round(i * step, 10) for i in range(first, last + 1))
    if tight:
        return _Axis(tuple(tick for tick in ticks if low <= tick <= high * (1 + 1e-9)), (low, high), start, end)
    return _Axis(ticks, (ticks[0], ticks[-1]), start, end)


def _log_axis(low: float, high: float, start: float, end: float) -> _Axis:
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    last = max(last, first + 1)
    every = max(1, (last - first) // 4)
    return _Axis(tuple(10.0**i for i in range(first, last + 1, every)), (10.0**first, 10.0**last), start, end, log=True)


def _step(least: float) -> float:
    """Find the smallest of 1, 2, 2.5, 5, 10, 20, 25 … that is at least `least`."""
    power = 10.0 ** math.floor(math.log10(least))
    return next(power * factor for factor in (1, 2, 2.5, 5, 10) if power * factor >= least * (1 - 1e-9))
