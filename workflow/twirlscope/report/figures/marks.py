"""Marks of a drawing: lines, points, bands and bars, read from the artists of Matplotlib axes.

A mark takes its words from the entry of the legend that looks like it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.collections import Collection, LineCollection, PolyCollection
from matplotlib.colors import to_hex, to_rgba
from matplotlib.image import AxesImage
from matplotlib.lines import Line2D
from matplotlib.markers import CARETDOWN, CARETDOWNBASE, CARETUP, CARETUPBASE
from matplotlib.patches import Patch, Rectangle
from matplotlib.spines import Spine
from matplotlib.text import Annotation

from ..._typing import Array, Float, Sequence
from .style import EDGE, GREY

SEED = "_seed "  # beginning of the label of artists of one seed; legends leave out what begins with _
ARROWS = {CARETUP: "^", CARETUPBASE: "^", CARETDOWN: "v", CARETDOWNBASE: "v"}


@dataclass(frozen=True)
class Look:
    """Appearance of a mark.

    dash: lengths [point] of line and gap; empty for a solid line.
    width, size: of a line and of a marker [point].
    marker: in the words of Matplotlib; empty for none.
    face: colour inside of a marker.
    """

    colour: str
    opacity: float = 1.0
    dash: tuple[float, ...] = ()
    width: float = 0.0
    marker: str = ""
    size: float = 0.0
    face: str = ""


@dataclass(frozen=True)
class Mark:
    """One artist: a `line`, `point`, `edge` (a point below the axis), `band`, `bar`, `span`, `box`, `rule` or `text`.

    words: of its entry in the legend, else empty.
    seed: empty where the figure does not distinguish seeds.
    x, y: of points and lines; the centre of other marks.
    low, high: ends of a band or bar, and of the interval of a point, NaN without.
    left, right: ends of a span or box.
    note: words of the grey entry of the legend with the marker or dashes of the mark.
    """

    kind: str
    look: Look
    words: str
    seed: str
    x: Float[Array, " point"]
    y: Float[Array, " point"]
    low: Float[Array, " point"]
    high: Float[Array, " point"]
    left: Float[Array, " point"] | None = None
    right: Float[Array, " point"] | None = None
    text: str = ""
    note: str = ""


@dataclass(frozen=True)
class Entry:
    """An entry of the legend: `line`, or `band` for a patch."""

    words: str
    look: Look
    kind: str


@contextmanager
def of_seed(ax: Axes, seed: int | None) -> Iterator[None]:
    """Artists added meanwhile belong to one seed, which the interactive version names."""
    before = set(ax.get_children())
    yield
    for artist in set(ax.get_children()) - before if seed is not None else ():
        artist.set_label(f"{SEED}{seed}")


def marks_of(ax: Axes, artist: Artist, entries: Sequence[Entry]) -> list[Mark] | None:
    """The marks of an artist, none for decoration; None for one that has no counterpart."""
    if not artist.get_visible():
        return []
    seed = str(artist.get_label()).removeprefix(SEED) if str(artist.get_label()).startswith(SEED) else ""
    if isinstance(artist, Line2D):
        return _line(ax, artist, entries, seed)
    if isinstance(artist, LineCollection):
        return _bars(artist, entries, seed)
    if isinstance(artist, PolyCollection):
        return _bands(artist, entries, seed)
    if isinstance(artist, Annotation):
        return [_text(artist, seed)] if artist.xycoords == "data" else []
    if isinstance(artist, Rectangle) and artist is not ax.patch:
        return [_rectangle(ax, artist, entries, seed)]
    picture = isinstance(artist, Collection | AxesImage | Patch) and not isinstance(artist, Spine)
    return None if picture and artist is not ax.patch else []


def _text(artist: Annotation, seed: str) -> Mark:
    """Text at a point."""
    x, y = (np.array([float(v)]) for v in artist.xy)
    look, label = Look(to_hex(artist.get_color()), size=float(artist.get_size())), str(artist.get_label())
    return Mark("text", look, "" if label.startswith("_") else label, seed, x, y, y, y, text=artist.get_text())


def line_look(line: Line2D) -> Look:
    """The look of a line, or of an entry of a legend."""
    marker = line.get_marker()
    shape = "" if marker in (None, "", "none", "None", " ") else ARROWS.get(marker, str(marker))
    dashes = line._dash_pattern[1] or ()  # no public name: get_linestyle gives "--" for every pattern
    width = 0.0 if line.get_linestyle() in ("", " ", "none", "None") else float(line.get_linewidth())
    face = line.get_markerfacecolor()
    inside = to_hex(face) if face is not None and to_rgba(face)[3] > 0 else "#ffffff"
    colour, alpha = line.get_color(), line.get_alpha()
    size = float(line.get_markersize()) if shape else 0.0
    return Look(to_hex(colour), 1.0 if alpha is None else alpha, tuple(map(float, dashes)), width, shape, size, inside)


def _line(ax: Axes, line: Line2D, entries: Sequence[Entry], seed: str) -> list[Mark]:
    """A rule, or the points and the line that connects them."""
    x, y = (np.ma.filled(np.ma.asarray(v, float), np.nan) for v in line.get_data())
    look = line_look(line)
    words = _words(look, entries, str(line.get_label()))
    if line.get_transform() != ax.transData:
        vertical = line.get_transform() == ax.get_xaxis_transform(which="grid")
        at = np.array([float(x[0]) if vertical else np.nan]), np.array([np.nan if vertical else float(y[0])])
        return [Mark("rule", look, words, seed, *at, at[1], at[1])]
    if not np.isfinite(y).any():
        return []
    kinds = ["line"] * bool(look.width and len(x) > 1) + ["point"] * bool(look.marker)
    if str(line.get_label()) == EDGE:
        kinds = ["edge"]
    none = np.full(len(x), np.nan)
    looks = {"line": replace(look, marker="", size=0.0), "point": replace(look, width=0.0, dash=()), "edge": look}
    notes = {kind: _note(looks[kind], words, entries) for kind in kinds}
    return [Mark(kind, looks[kind], words, seed, x, y, none, none, note=notes[kind]) for kind in kinds]


def _collection_look(artist: Collection, colours: Array) -> Look | None:
    """The look of a collection of one colour."""
    if not len(colours):
        return None
    alpha = artist.get_alpha()
    return Look(to_hex(colours[0]), float(colours[0][3] if alpha is None else alpha))


def _bars(artist: LineCollection, entries: Sequence[Entry], seed: str) -> list[Mark]:
    """Vertical bars, and horizontal ones as spans of no height."""
    look = _collection_look(artist, artist.get_colors())
    ends = np.array([s for s in artist.get_segments() if len(s) == 2 and np.isfinite(s).all()])
    if look is None or not len(ends):
        return []
    look = replace(look, width=float(artist.get_linewidths()[0]))
    words, marks = _words(look, entries, str(artist.get_label())), []
    upright = ends[:, 0, 0] == ends[:, 1, 0]
    if upright.any():
        low, high = np.sort(ends[upright, :, 1], axis=1).T
        marks.append(Mark("bar", look, words, seed, ends[upright, 0, 0], (low + high) / 2, low, high))
    if (~upright).any():
        left, right = np.sort(ends[~upright, :, 0], axis=1).T
        y = ends[~upright, 0, 1]
        marks.append(Mark("span", look, words, seed, (left + right) / 2, y, y, y, left, right))
    return marks


def _bands(artist: PolyCollection, entries: Sequence[Entry], seed: str) -> list[Mark]:
    """Bands between two curves: their ends at every x."""
    look, marks = _collection_look(artist, artist.get_facecolor()), []
    for path in artist.get_paths() if look else ():
        corners = path.vertices[np.isfinite(path.vertices).all(1)]
        x, place = np.unique(corners[:, 0], return_inverse=True)
        low, high = np.full(len(x), np.inf), np.full(len(x), -np.inf)
        np.minimum.at(low, place, corners[:, 1])
        np.maximum.at(high, place, corners[:, 1])
        marks.append(Mark("band", look, _words(look, entries, ""), seed, x, (low + high) / 2, low, high))
    return marks


def _rectangle(ax: Axes, artist: Rectangle, entries: Sequence[Entry], seed: str) -> Mark:
    """A box; one that spans the height of the axes has no ends."""
    colour, alpha = artist.get_facecolor(), artist.get_alpha()
    look = Look(to_hex(colour), float(to_rgba(colour)[3] if alpha is None else alpha))
    left, low = artist.get_xy()
    right, high = left + artist.get_width(), low + artist.get_height()
    if artist.get_data_transform() == ax.get_xaxis_transform(which="grid"):
        low = high = math.nan
    x, y, low, high, left, right = (np.array([float(v)]) for v in (left, low, low, high, left, right))
    return Mark("box", look, _words(look, entries, str(artist.get_label())), seed, x, y, low, high, left, right)


def _words(look: Look, entries: Sequence[Entry], label: str) -> str:
    """The label of an artist, or the words of the entry of the legend that looks most like it."""
    if label and not label.startswith("_"):
        return label
    same = [e for e in entries if e.look.colour == look.colour and e.kind == "line"]
    return max(same, key=lambda e: _likeness(e.look, look)).words if same else ""


def _note(look: Look, words: str, entries: Sequence[Entry]) -> str:
    """The words of the grey entries that explain marker and face, or dashes, of a mark of another colour."""
    grey = [e for e in entries if e.kind == "line" and e.look.colour == GREY and look.colour != GREY]
    if look.marker:
        alike = [e for e in grey if e.look.marker and e.look.face == look.face]
        named = [e for e in alike if e.look.marker == look.marker] or (alike if look.face == "#ffffff" else [])
    else:
        named = [e for e in grey if look.width and not e.look.marker and _pattern(e.look) == _pattern(look)]
        named = [] if any(e.words == words and _pattern(e.look) == _pattern(look) for e in entries) else named
    return named[0].words if len(named) == 1 else ""


def _pattern(look: Look) -> tuple[float, ...]:
    """Dashes in units of the width."""
    return tuple(round(dash / (look.width or 1), 1) for dash in look.dash)


def _likeness(entry: Look, look: Look) -> int:
    """Agreement of dashes, marker and face with those of an entry of the legend."""
    line = 2 if look.width and entry.width and _pattern(entry) == _pattern(look) else 0
    return line + (2 if look.marker and entry.marker == look.marker else 0) + (entry.face == look.face)


# points and their intervals


def with_edges(marks: Sequence[Mark], lowest: float) -> list[Mark]:
    """Points below the axis as `edge` marks with their own values, in place of the triangles drawn for them.

    Args:
        lowest: lower end of the axis.
    """
    edges, found = [mark for mark in marks if mark.kind == "edge"], []
    for mark in (mark for mark in marks if mark.kind != "edge"):
        below = mark.y < lowest
        if not edges or mark.kind != "point" or not below.any():
            found.append(mark)
            continue
        look = replace(mark.look, marker="v", size=edges[0].look.size)
        found += [_some(mark, ~below), replace(_some(mark, below), kind="edge", look=look)]
    return found


def _some(mark: Mark, chosen: Array) -> Mark:
    return replace(mark, **{n: getattr(mark, n)[chosen] for n in ("x", "y", "low", "high")})


def with_ends(marks: Sequence[Mark]) -> Iterator[Mark]:
    """The marks, points with the ends of the one band or bar of their colour, seed and x that holds them."""
    for mark in marks:
        own = [
            m for m in marks if m.kind in ("band", "bar") and (m.look.colour, m.seed) == (mark.look.colour, mark.seed)
        ]
        if mark.kind not in ("point", "edge") or not own:
            yield mark
            continue
        ends = [_ends_at(own, x, y) for x, y in zip(mark.x, mark.y, strict=True)]
        low, high = np.array(ends, float).reshape(-1, 2).T
        yield replace(mark, low=low, high=high)


def _ends_at(own: Sequence[Mark], x: float, y: float) -> tuple[float, float]:
    """The ends at x that hold y; NaN if there are none, or several."""
    found = {
        (float(m.low[i]), float(m.high[i]))
        for m in own
        for i in np.flatnonzero(m.x == x)
        if m.low[i] <= y * (1 + 1e-9) and y * (1 - 1e-9) <= m.high[i]
    }
    return found.pop() if len(found) == 1 else (math.nan, math.nan)
