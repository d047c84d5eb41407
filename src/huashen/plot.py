"""A picture of a measurement: pictures of the face, the curves of the mouth over the waveform, and how well they fit at every offset."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from huashen.errors import MissingPartError, OutputError
from huashen.files import writable
from huashen.measurement import Curves, Measurement
from huashen.media import PathLike
from huashen.ops import sync
from huashen.report import summary, verdict
from huashen.types import Image
from huashen.words import tr

Array = NDArray[np.float64]
Colour = tuple[int, int, int]

_WIDTH, _EDGE = 1640, 40
_LEFT, _RIGHT = 150, 350
"""Pixels that names and the panel beside the curves take."""
_THUMB = 112
_ENDINGS = (".png", ".jpg", ".jpeg", ".webp")

_PAPER: Colour = (255, 255, 255)
_INK: Colour = (40, 44, 52)
_FAINT: Colour = (138, 144, 153)
_LINE: Colour = (225, 228, 232)
_PANEL: Colour = (247, 248, 250)
_PAUSE: Colour = (233, 238, 246)
_WAVE: Colour = (203, 209, 219)
_OWN: Colour = (212, 62, 42)
_REAL: Colour = (26, 102, 190)
_GOOD: Colour = (30, 138, 84)


def plot(found: Measurement) -> Image:
    """Draw a measurement.

    Args:
        found: what `huashen.measure` returned; with a reference its curves are drawn besides, in blue.

    Returns:
        (h, 1640, 3).

    Raises:
        MissingPartError: the installed OpenCV is older than 5 and has no font.
    """
    sheet = _Sheet(_heights(found))
    _title(sheet, found)
    curves, other = found.curves, found.reference.curves if found.reference else None
    end = max(found.seconds, 1e-3)
    x0, x1 = _LEFT, _WIDTH - _RIGHT
    top = _head(found)
    _strip(sheet, curves, end, x0, x1, top, tr("video", "视频"), _OWN if other is not None else _INK)
    top += _THUMB + 10
    lag = found.against.lag_ms / 1000 if found.against else 0.0
    if other is not None:
        _strip(sheet, other, end, x0, x1, top, tr("reference", "参考"), _REAL, lag)
        top += _THUMB + 10
    top += 12
    first = top
    offset = (found.sync.offset_ms or 0.0) / 1000 if found.sync else 0.0
    for height, name, values, real, ground in (
        (190, tr("lip gap", "唇间开度"), curves.gap, other.gap if other else None, True),
        (120, tr("mouth width", "嘴宽"), curves.width, other.width if other else None, False),
        (120, tr("protrusion", "嘴唇前突"), curves.protrusion, other.protrusion if other else None, False),
    ):
        frame = (x0, top, x1, top + height)
        sheet.box(frame, _PANEL)
        _pauses(sheet, curves, end, frame, offset)
        if ground:
            _waveform(sheet, curves, end, frame, offset)
        low, high = _limits(values, real, zero=ground)
        _scale(sheet, frame, low, high)
        if real is not None and other is not None:
            _curve(sheet, (other.time + lag) / end, real, frame, low, high, _REAL)
        _curve(sheet, curves.time / end, values, frame, low, high, _OWN)
        sheet.text(_EDGE - 16, top + 18, name, 15, _INK)
        if ground and len(curves.wave):
            _key(sheet, top + 52, _WAVE, tr("the sound", "声音"))
            _key(sheet, top + 74, _PAUSE, tr("no voice", "无人声"))
        top += height + 14
    _clock(sheet, end, x0, x1, top)
    _offsets(sheet, found, (x1 + 60, first, _WIDTH - _EDGE, first + 190))
    _numbers(sheet, found, x1 + 60, first + 240)
    _notes(sheet, found, top + 44)
    return sheet.image


def check_goal(path: PathLike, *, overwrite: bool, inputs: Iterable[PathLike | None] = ()) -> None:
    """Check, before any work, that a plot can be drawn and written there.

    Raises:
        OutputError: the ending is unknown, the folder missing or closed, the file is an input, or exists and may not be replaced.
        MissingPartError: as `plot`.
    """
    goal = Path(path)
    if goal.suffix.lower() not in _ENDINGS:
        have = " ".join(_ENDINGS)
        raise OutputError(tr(f"{path}: unknown ending; use one of {have}", f"{path}：未知的文件后缀；可用：{have}"))
    writable(goal)
    if goal.exists():
        if any(given is not None and Path(given).exists() and goal.samefile(given) for given in inputs):
            raise OutputError(tr(f"{path} is the input itself; name another output", f"{path} 就是输入文件；请换一个输出文件名"))
        if not overwrite:
            raise OutputError(tr(f"{path} exists; add -y to replace it", f"{path} 已存在；加上 -y 可替换它"))
    _Sheet(1)


def _head(found: Measurement) -> int:
    return 138 if found.reference else 106


def _heights(found: Measurement) -> int:
    strips = 2 if found.reference else 1
    return _head(found) + strips * (_THUMB + 10) + 12 + 190 + 2 * 120 + 3 * 14 + 44 + (len(found.notes) * 26 + 16 if found.notes else 0)


class _Sheet:
    """A picture that is drawn on."""

    def __init__(self, height: int) -> None:
        import cv2

        if not hasattr(cv2, "FontFace"):
            raise MissingPartError(tr(
                "the text in the plot needs OpenCV 5; pip install -U 'opencv-python-headless>=5'",
                "图中的文字需要 OpenCV 5；请 pip install -U 'opencv-python-headless>=5'",
            ))  # fmt: skip
        self.image: Image = np.full((height, _WIDTH, 3), 255, np.uint8)
        self._font: Any = cv2.FontFace("uni")

    def text(self, x: float, y: float, words: str, size: int, colour: Colour, *, right: bool = False) -> int:
        """Write words with their base line at y; return where they end."""
        import cv2

        if right:
            x -= cv2.getTextSize((1 << 15, 1 << 10), words, (0, 512), self._font, size)[2]
        cv2.putText(self.image, words, (round(x), round(y)), colour, self._font, size)
        return round(x) + int(cv2.getTextSize((1 << 15, 1 << 10), words, (0, 512), self._font, size)[2])

    def box(self, frame: tuple[int, int, int, int], colour: Colour) -> None:
        x0, y0, x1, y1 = frame
        self.image[max(0, y0) : y1, max(0, x0) : x1] = colour

    def line(self, points: Array, colour: Colour, thick: int = 1) -> None:
        """Draw a line through (n, 2) points, smooth."""
        import cv2

        if len(points) > 1:
            cv2.polylines(self.image, [np.rint(points * 16).astype(np.int32)], False, colour, thick, cv2.LINE_AA, 4)

    def paste(self, picture: Image, x: int, y: int) -> None:
        height, width = picture.shape[:2]
        self.image[y : y + height, x : x + width] = picture[: self.image.shape[0] - y, : self.image.shape[1] - x]


def _title(sheet: _Sheet, found: Measurement) -> None:
    width, height = found.size
    sheet.text(_EDGE - 16, 48, found.path.name, 28, _INK)
    about = f"{found.seconds:.1f} s   {width}×{height}   {float(found.fps):.4g} fps"
    sheet.text(_EDGE - 16, 80, about, 16, _FAINT)
    if found.reference is not None:
        end = sheet.text(_EDGE - 16, 112, found.path.name, 16, _OWN)
        end = sheet.text(end + 14, 112, tr("against", "对比"), 16, _FAINT)
        sheet.text(end + 14, 112, found.reference.path.name, 16, _REAL)
    words, colour = verdict(found)
    sheet.text(_WIDTH - _EDGE, 48, words, 22, _GOOD if colour else _OWN, right=True)


def _strip(sheet: _Sheet, curves: Curves, end: float, x0: int, x1: int, top: int, name: str, colour: Colour, lag: float = 0.0) -> None:
    """Lay small pictures in a row, each at its time."""
    import cv2

    sheet.text(_EDGE - 16, top + 18, name, 15, colour)
    sheet.box((x0, top, x1, top + _THUMB), _PANEL)
    count = max(1, (x1 - x0) // _THUMB)
    for slot in range(count):
        at = (slot + 0.5) / count * end
        near = min(curves.thumbs, key=lambda thumb: abs(thumb[0] + lag - at), default=None)
        if near is None or abs(near[0] + lag - at) > max(2.0, end / count):
            continue
        picture = near[1]
        height, width = picture.shape[:2]
        scale = _THUMB / max(height, width)
        small = np.asarray(cv2.resize(picture, (round(width * scale), round(height * scale)), interpolation=cv2.INTER_AREA), np.uint8)
        left = x0 + round((slot + 0.5) * (x1 - x0) / count) - small.shape[1] // 2
        sheet.paste(small, left, top + (_THUMB - small.shape[0]) // 2)


def _pauses(sheet: _Sheet, curves: Curves, end: float, frame: tuple[int, int, int, int], offset: float) -> None:
    """Shade where nothing is said."""
    x0, y0, x1, y1 = frame
    if not len(curves.speaking):
        return
    place = ((np.arange(x0, x1) - x0) / (x1 - x0) * end + offset) * sync.TICKS
    near = 10
    around = np.convolve(curves.speaking, np.ones(2 * near + 1), "same") > 0.5
    at = np.rint(place).astype(int)
    quiet = (at >= 0) & (at < len(around)) & ~around[np.clip(at, 0, len(around) - 1)]
    sheet.image[y0:y1, x0:x1][:, quiet] = _PAUSE


def _waveform(sheet: _Sheet, curves: Curves, end: float, frame: tuple[int, int, int, int], offset: float) -> None:
    """Draw the sound behind the curve, moved to where it fits the mouth."""
    x0, y0, x1, y1 = frame
    if not len(curves.wave):
        return
    step = end / len(curves.wave)
    loudest = max(float(np.percentile(np.abs(curves.wave).max(1), 99.5)), 1e-4)
    middle, half = (y0 + y1) / 2, (y1 - y0) * 0.46
    for x in range(x0, x1):
        begin = int(((x - x0) / (x1 - x0) * end + offset) / step)
        after = max(begin + 1, int(((x + 1 - x0) / (x1 - x0) * end + offset) / step))
        piece = curves.wave[max(0, begin) : max(0, after)]
        if len(piece):
            low, high = np.clip([piece[:, 0].min() / loudest, piece[:, 1].max() / loudest], -1, 1)
            sheet.image[round(middle - half * float(high)) : round(middle - half * float(low)) + 1, x] = _WAVE


def _limits(values: Array, real: Array | None, *, zero: bool) -> tuple[float, float]:
    both = np.concatenate([values, real]) if real is not None else values
    both = both[np.isfinite(both)]
    if not len(both):
        return 0.0, 0.2
    low, high = float(np.percentile(both, 0.5)), float(np.percentile(both, 99.5))
    spread = max(high - low, 0.02)
    return (0.0 if zero else low - 0.12 * spread), high + 0.12 * spread


def _scale(sheet: _Sheet, frame: tuple[int, int, int, int], low: float, high: float) -> None:
    """Draw two or three lines with their values."""
    x0, y0, x1, y1 = frame
    step = next(s for s in (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0) if (high - low) / s <= 5)
    for k in range(int(np.ceil(low / step)), int(high / step) + 1):
        y = y1 - (k * step - low) / (high - low) * (y1 - y0)
        sheet.line(np.array([[x0, y], [x1, y]]), _LINE)
        sheet.text(x0 - 8, y + 5, f"{k * step:.2f}", 12, _FAINT, right=True)


def _curve(sheet: _Sheet, share: Array, values: Array, frame: tuple[int, int, int, int], low: float, high: float, colour: Colour) -> None:
    """Draw a curve, with holes where it is not known."""
    x0, y0, x1, y1 = frame
    points = np.stack([x0 + share * (x1 - x0), y1 - np.clip((values - low) / (high - low), 0, 1) * (y1 - y0)], 1)
    good = np.isfinite(points).all(1) & (share >= 0) & (share <= 1)
    edges = np.flatnonzero(np.diff(np.concatenate([[False], good, [False]]).astype(int)))
    for begin, end in zip(edges[::2], edges[1::2], strict=True):
        sheet.line(points[begin:end], colour, 2)


def _key(sheet: _Sheet, y: int, colour: Colour, words: str) -> None:
    sheet.box((_EDGE - 16, y - 10, _EDGE - 2, y + 2), colour)
    sheet.text(_EDGE + 4, y, words, 12, _FAINT)


def _clock(sheet: _Sheet, end: float, x0: int, x1: int, y: int) -> None:
    steps = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1200.0, 3600.0)
    step = next((s for s in steps if end / s <= 16), 7200.0)
    for k in range(int(end / step) + 1):
        x = x0 + k * step / end * (x1 - x0)
        sheet.line(np.array([[x, y - 12], [x, y - 6]]), _FAINT)
        sheet.text(x - 6, y + 10, f"{k * step:g} s", 12, _FAINT)


def _offsets(sheet: _Sheet, found: Measurement, frame: tuple[int, int, int, int]) -> None:
    """Draw how well sound and mouth agree at every offset."""
    x0, y0, x1, y1 = frame
    match = found.curves.match
    sheet.text(x0, y0 - 10, tr("agreement at every offset of the sound", "各偏移量下的音画吻合度"), 14, _INK)
    sheet.box(frame, _PANEL)
    if match is None:
        sheet.text(x0 + 14, (y0 + y1) / 2, tr("not judged", "未评判"), 14, _FAINT)
        return
    low, high = min(-0.2, float(match.scores.min())) - 0.03, max(0.5, float(match.scores.max())) + 0.06

    def at(lag: Array, score: Array) -> Array:
        return np.stack([x0 + (lag / sync.REACH + 1) / 2 * (x1 - x0), y1 - (score - low) / (high - low) * (y1 - y0)], 1)

    for score in (0.0, 0.25, 0.5):
        sheet.line(at(np.array([-sync.REACH, sync.REACH]), np.array([score, score])), _LINE)
        sheet.text(x0 - 6, at(np.zeros(1), np.array([score]))[0, 1] + 5, f"{score:g}", 12, _FAINT, right=True)
    sheet.line(at(np.zeros(2), np.array([low, high])), _LINE)
    level = at(np.array([-sync.REACH, sync.REACH]), np.array([match.level, match.level]))
    for part in np.arange(0, 1, 0.04):
        sheet.line(level[0] + np.array([[part], [part + 0.02]]) * (level[1] - level[0]), _FAINT)
    left = match.offset > 0
    sheet.text(x0 + 4 if left else x1 - 4, level[0, 1] - 5, tr("chance, 95 %", "随机水平 95 %"), 12, _FAINT, right=not left)
    sure = found.sync is not None and found.sync.offset_ms is not None
    sheet.line(at(match.lags, match.scores), _OWN if sure else _FAINT, 2)
    if sure:
        top = at(np.array([match.offset]), np.array([match.agreement]))[0]
        sheet.line(np.array([[top[0], top[1]], [top[0], y1]]), _OWN)
        side = top[0] > (x0 + x1) / 2
        sheet.text(top[0] + (-8 if side else 8), max(top[1], y0 + 16), f"{1000 * match.offset:+.0f} ms", 14, _OWN, right=bool(side))
    for lag in (-0.4, 0.0, 0.4):
        words = "0" if lag == 0 else f"{1000 * lag:+.0f} ms"
        sheet.text(at(np.array([lag]), np.zeros(1))[0, 0] - (4 if lag == 0 else 24), y1 + 16, words, 12, _FAINT)


def _numbers(sheet: _Sheet, found: Measurement, x: int, y: int) -> None:
    """Write the most telling numbers beside the curves."""
    for words, value in summary(found):
        sheet.text(x, y, words, 14, _FAINT)
        sheet.text(_WIDTH - _EDGE, y, value, 14, _INK, right=True)
        y += 21


def _notes(sheet: _Sheet, found: Measurement, y: int) -> None:
    for note in found.notes:
        sheet.text(_EDGE - 16, y, f"· {note}", 15, _FAINT)
        y += 26
