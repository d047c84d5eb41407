"""Lay a video's frames over its sound, to look at: a contact sheet with the waveform and the mouth's measured opening.

    python benchmarks/strip.py VIDEO -o strip.png [--from 0] [--seconds 4] [--every 2] [--face]
"""

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from huashen.face.track import track
from huashen.media import read_video
from huashen.types import Frame

LANE = 64
"""Height of the waveform, pixels."""


def chosen(path: Path, begin: float, seconds: float) -> list[Frame]:
    """Return the frames shown between two times."""
    video = read_video(path)
    found = []
    for frame in video.frames:
        if frame.index >= (begin + seconds) * video.fps:
            break
        if frame.index >= begin * video.fps:
            found.append(frame)
    return found


def openings(frames: list[Frame]) -> Iterator[tuple[float, tuple[float, float, float] | None]]:
    """Yield each frame's inner gap between the lips in distances between the eyes' outer corners, and the face's middle and size."""
    for face in track(frame.image for frame in frames):
        if face is None:
            yield float("nan"), None
            continue
        points = face.landmarks.points[:, :2]
        eyes = float(np.linalg.norm(points[33] - points[263]))
        middle = points[:468].mean(0)
        yield float(np.linalg.norm(points[13] - points[14])) / eyes, (float(middle[0]), float(middle[1]), eyes)


def cell(frame: Frame, place: tuple[float, float, float] | None, width: int, face: bool) -> Image.Image:
    """Draw a frame, or its face, that wide."""
    image = frame.image
    if face and place:
        x, y, eyes = place
        x0, y0 = max(0, int(x - 1.2 * eyes)), max(0, int(y - 1.2 * eyes))
        image = image[y0 : int(y + 1.4 * eyes), x0 : int(x + 1.2 * eyes)]
    height = round(width * image.shape[0] / image.shape[1])
    return Image.fromarray(image).resize((width, height), Image.Resampling.LANCZOS)


def lane(frames: list[Frame], gaps: list[float], width: int, top: float) -> Image.Image:
    """Draw the sound of some frames and the opening over it."""
    picture = Image.new("RGB", (width, LANE), (24, 24, 28))
    draw = ImageDraw.Draw(picture)
    step = width / len(frames)
    for i, frame in enumerate(frames):
        pieces = np.array_split(frame.audio.samples, max(1, int(step))) if len(frame.audio.samples) else []
        for j, piece in enumerate(pieces):
            loud = float(np.abs(piece).max()) if len(piece) else 0.0
            x = i * step + j * step / len(pieces)
            draw.line([(x, LANE / 2 * (1 - loud)), (x, LANE / 2 * (1 + loud))], fill=(90, 140, 200))
    line = [((i + 0.5) * step, LANE - 3 - (LANE - 6) * min(gap / top, 1.0)) for i, gap in enumerate(gaps) if np.isfinite(gap)]
    if len(line) > 1:
        draw.line(line, fill=(255, 180, 60), width=2)
    return picture


def main() -> None:
    """Draw the strip."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("video", type=Path)
    parser.add_argument("-o", "--out", type=Path, default=Path("strip.png"))
    parser.add_argument("--from", dest="begin", type=float, default=0.0, help="seconds")
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--every", type=int, default=2, help="show every n-th frame; the waveform is whole")
    parser.add_argument("--columns", type=int, default=10)
    parser.add_argument("--width", type=int, default=160, help="of a frame")
    parser.add_argument("--face", action="store_true", help="show the face only")
    given = parser.parse_args()
    frames = chosen(given.video, given.begin, given.seconds)
    if not frames:
        parser.error(f"{given.video} has no frames from {given.begin} s on")
    gaps, places = zip(*openings(frames), strict=True)
    top = max(0.25, float(np.nanmax(gaps))) if np.isfinite(gaps).any() else 0.25
    rows = []
    span = given.every * given.columns
    for begin in range(0, len(frames), span):
        part = slice(begin, begin + span)
        cells = [cell(frames[i], places[i], given.width, given.face) for i in range(begin, min(begin + span, len(frames)), given.every)]
        for i, picture in enumerate(cells):
            index = begin + i * given.every
            ImageDraw.Draw(picture).text((4, 3), f"{frames[index].index}: {gaps[index]:.2f}", fill=(255, 255, 0))
        height = max(c.height for c in cells)
        row = Image.new("RGB", (given.width * given.columns, height + LANE))
        for i, picture in enumerate(cells):
            row.paste(picture, (i * given.width, 0))
        count = len(frames[part])
        row.paste(lane(frames[part], list(gaps[part]), round(given.width * count / given.every), top), (0, height))
        rows.append(row)
    sheet = Image.new("RGB", (given.width * given.columns, sum(r.height for r in rows)))
    y = 0
    for row in rows:
        sheet.paste(row, (0, y))
        y += row.height
    sheet.save(given.out)


if __name__ == "__main__":
    main()
