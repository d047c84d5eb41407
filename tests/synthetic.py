"""A drawn face with known landmarks: tests of what happens to a picture need neither weights nor a photograph."""

from collections.abc import Callable, Container
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np

from huashen import footage, media
from huashen.avatar import Avatar
from huashen.footage import Footage
from huashen.ops import mesh
from huashen.types import Audio, Box, Face, Floats, Frame, Image, Landmarks, Video


def landmarks(size: tuple[int, int], *, share: float = 0.3, shut: bool = True) -> Floats:
    """Return (478, 3) points of a real face (the example portrait's), placed in the middle of a picture.

    Args:
        size: (width, height) of the picture.
        share: the distance between the outer corners of the eyes in shares of the picture's shorter side.
        shut: bring the inner edges of the lips together.
    """
    with np.load(Path(__file__).parent / "parity" / "face_mediapipe.npz") as stored:
        points = stored["refined"].astype(np.float32)
    if shut:
        middle = (points[mesh.UPPER_LIP[3]] + points[mesh.LOWER_LIP[3]]) / 2
        points[mesh.UPPER_LIP[3]] = points[mesh.LOWER_LIP[3]] = middle
        for rows, side in ((mesh.UPPER_LIP, -1), (mesh.LOWER_LIP, 1)):
            for row, away in zip(range(3), (4.0, 2.6, 1.3), strict=True):
                points[rows[row, 1:-1], 1] = middle[1:-1, 1] + side * away
    scale = share * min(size) / float(np.linalg.norm(points[33] - points[263]))
    moved = (points - points[:468].mean(0)) * np.float32(scale)
    return np.asarray(moved + np.array([size[0] / 2, 0.47 * size[1], 0]), np.float32)


def portrait(size: tuple[int, int] = (96, 96), *, share: float = 0.3, shut: bool = True, masked: bool = True) -> Avatar:
    """Return a drawn person in front of stripes.

    Args:
        size, share, shut: see `landmarks`.
        masked: whether the avatar knows the person's outline.
    """
    width, height = size
    points = landmarks(size, share=share, shut=shut)
    unit = float(np.linalg.norm(points[33] - points[263]))
    y, x = np.mgrid[:height, :width]
    image = np.stack([120 + 60 * np.sin(x / 3.0), 120 + 60 * np.sin(y / 4.0), 140 + 0 * x], -1).astype(np.uint8)

    def put(outline: Floats, colour: tuple[int, int, int]) -> None:
        cv2.fillPoly(image, [np.round(outline * 16).astype(np.int32)], colour, cv2.LINE_AA, shift=4)

    oval = points[mesh.OVAL, :2]
    head = (oval - oval.mean(0)) * np.float32(1.25) + oval.mean(0) - np.array([0, 0.1 * unit], np.float32)
    chin = points[152, :2]
    body = np.array([[-2.2, 3.0], [-1.6, 0.9], [-0.5, 0.6], [-0.45, -0.2], [0.45, -0.2], [0.5, 0.6], [1.6, 0.9], [2.2, 3.0]], np.float32)
    body = chin + body * unit
    mask = np.zeros((height, width), np.uint8)
    for outline in (head, body):
        cv2.fillPoly(mask, [outline.round().astype(np.int32)], 255)
    put(head, (60, 42, 30))
    put(body, (60, 70, 120))
    put(oval, (214, 170, 146))
    put(np.concatenate([points[mesh.UPPER_LIP[0], :2], points[mesh.LOWER_LIP[0, ::-1], :2]]), (184, 92, 92))
    cv2.polylines(image, [points[mesh.UPPER_LIP[3], :2].round().astype(np.int32)], False, (96, 40, 44), max(1, round(0.012 * unit)))
    for upper, lower, iris in (
        (mesh.RIGHT_EYE_UPPER, mesh.RIGHT_EYE_LOWER, mesh.RIGHT_IRIS), (mesh.LEFT_EYE_UPPER, mesh.LEFT_EYE_LOWER, mesh.LEFT_IRIS),
    ):  # fmt: skip
        put(np.concatenate([points[upper, :2], points[lower[::-1], :2]]), (240, 238, 234))
        cv2.circle(image, tuple(int(v) for v in points[iris[0], :2].round()), max(1, round(0.06 * unit)), (60, 50, 44), -1, cv2.LINE_AA)
    low, high = points[:468, :2].min(0), points[:468, :2].max(0)
    face = Face(Box(*map(float, (*low, *high))), Landmarks(points), 1.0)
    return Avatar(image, face, mask.astype(np.float32) / 255 if masked else None, "drawn")


def clip(
    folder: Path, size: tuple[int, int] = (96, 96), *, frames: int = 40, without: Container[int] = (), gap: float = 0.24,
    cutaway: Callable[[int], Image] | None = None,
) -> Footage:
    """Write a clip of a drawn person who moves the head and speaks, and prepare it from the points known.

    Args:
        folder: an empty one.
        size: (width, height) of the clip.
        frames: how many.
        without: those in which the face is not found.
        gap: how far the mouth opens, in distances between the outer eye corners.
        cutaway: what is shown in those without the face; the person all the same without.
    """
    shut, wide = landmarks(size), landmarks(size)
    unit = float(np.linalg.norm(shut[33] - shut[263]))
    for row in range(4):
        wide[mesh.LOWER_LIP[row, 1:-1], 1] += gap * unit * np.sin(np.linspace(0, np.pi, 11))[1:-1]
    wide[[152, 148, 377, 175, 171, 396, 199, 200, 18], 1] += 0.6 * gap * unit
    images, points = [], []
    for k in range(frames):
        opened = 0.5 - 0.5 * np.cos(2 * np.pi * k / 13)
        aside = np.array([0.03 * unit * np.sin(2 * np.pi * k / 29), 0.02 * unit * np.sin(k / 5), 0], np.float32)
        here = shut + np.float32(opened) * (wide - shut) + aside
        shown = portrait(size)
        image = np.roll(shown.image, tuple(int(v) for v in np.rint(aside[1::-1])), (0, 1))
        lips = here[np.concatenate([mesh.UPPER_LIP[0], mesh.LOWER_LIP[0, ::-1]]), :2]
        cv2.fillPoly(image, [lips.round().astype(np.int32)], (184, 92, 92))
        inside = here[np.concatenate([mesh.UPPER_LIP[3], mesh.LOWER_LIP[3, ::-1]]), :2]
        cv2.fillPoly(image, [inside.round().astype(np.int32)], (70, 20, 24))
        images.append(image if cutaway is None or k not in without else cutaway(k))
        points.append(np.full_like(here, np.nan) if k in without else here)
    silent = Audio(np.zeros(0, np.float32), 0)
    path = folder / "drawn.mp4"
    stream = (Frame(image, silent, k) for k, image in enumerate(images))
    media.write_video(Video(stream, Fraction(25), size, 0, frames), path)
    return footage.keep(folder / "kept", path, np.stack(points))


def outside(image: Image, points: Floats, grow: float) -> np.ndarray:
    """Return (h, w): what lies outside the box of a face's points grown by a share of its size on every side."""
    margin = grow * np.ptp(points[:468, :2], axis=0)
    (x0, y0), (x1, y1) = np.maximum(points[:468, :2].min(0) - margin, 0).astype(int), (points[:468, :2].max(0) + margin).astype(int)
    found = np.ones(image.shape[:2], bool)
    found[y0 : y1 + 1, x0 : x1 + 1] = False
    return found
