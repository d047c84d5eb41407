"""Every face finder keeps the protocol's promises."""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from huashen import registry
from huashen.face import TABLE, FaceFinder


@pytest.fixture(scope="module", params=TABLE.names())
def finder(request: pytest.FixtureRequest, weight: Callable[[str], Path]) -> Any:
    entry = TABLE.get(request.param)
    lacking = registry.missing(entry)
    if lacking:
        pytest.skip(f"wants {', '.join(lacking)}")
    for name in entry.weights:
        weight(name)
    return registry.load("face", request.param)


def test_it_is_a_finder(finder: Any) -> None:
    assert isinstance(finder, FaceFinder)


def test_a_portrait_has_one_face(finder: Any, astronaut: Image.Image) -> None:
    image = np.asarray(astronaut).copy()
    before = image.copy()
    (face,) = finder.find(image)
    assert np.array_equal(image, before)
    points = face.landmarks.points
    assert points.shape == (478, 3)
    assert points.dtype == np.float32
    assert 0.5 < face.score <= 1
    # Where one sees them in the picture: eye corners, the lips' middle, irises.
    for index, place in ((33, (193, 101)), (263, (258, 103)), (13, (225, 141)), (468, (203, 101)), (473, (245, 103))):
        assert points[index, :2] == pytest.approx(place, abs=4)
    assert (points[:468, :2] >= (face.box.x0 - 1, face.box.y0 - 1)).all()
    assert (points[:468, :2] <= (face.box.x1 + 1, face.box.y1 + 1)).all()
    assert points[1, 2] < points[234, 2]  # the nose is nearer than the temple
    assert face.head.shape == (6,)
    assert face.head[:3] == pytest.approx([5, 0, 3], abs=8)
    assert (face.head[3:] == 0).all()


def test_the_same_picture_gives_the_same_faces(finder: Any, astronaut: Image.Image) -> None:
    image = np.asarray(astronaut)
    assert np.array_equal(finder.find(image)[0].landmarks.points, finder.find(image)[0].landmarks.points)


def test_threads_get_what_one_would(finder: Any, astronaut: Image.Image) -> None:
    images = [np.asarray(astronaut), np.asarray(astronaut.transpose(Image.Transpose.FLIP_LEFT_RIGHT))]
    alone = [finder.find(image)[0].landmarks.points for image in images]
    together: dict[int, list[np.ndarray]] = {0: [], 1: []}

    def work(which: int) -> None:
        for _ in range(5):
            together[which].append(finder.find(images[which])[0].landmarks.points)

    threads = [threading.Thread(target=work, args=(which,)) for which in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for which in (0, 1):
        assert len(together[which]) == 5
        assert all(np.array_equal(points, alone[which]) for points in together[which])


def test_points_follow_the_size_and_place_of_the_face(finder: Any, astronaut: Image.Image) -> None:
    (face,) = finder.find(np.asarray(astronaut))
    points = face.landmarks.points[:468, :2]
    eyes = np.linalg.norm(points[33] - points[263])
    large = astronaut.resize((1024, 1024), Image.Resampling.LANCZOS)
    found = finder.find(np.asarray(large))[0].landmarks.points[:468, :2]
    assert np.linalg.norm((found + 0.5) / 2 - 0.5 - points, axis=1).mean() < 0.02 * eyes
    wide = Image.new("RGB", (900, 600), (90, 120, 90))
    wide.paste(astronaut, (350, 60))
    found = finder.find(np.asarray(wide))[0].landmarks.points[:468, :2]
    assert np.linalg.norm(found - (350, 60) - points, axis=1).mean() < 0.02 * eyes


def test_a_mirrored_picture_gives_mirrored_faces(finder: Any, astronaut: Image.Image) -> None:
    (face,) = finder.find(np.asarray(astronaut))
    (mirrored,) = finder.find(np.asarray(astronaut.transpose(Image.Transpose.FLIP_LEFT_RIGHT)))
    eyes = np.linalg.norm(face.landmarks.points[33, :2] - face.landmarks.points[263, :2])
    for one, other in ((33, 263), (61, 291), (468, 473), (13, 13), (152, 152)):
        assert mirrored.landmarks.points[one, 0] == pytest.approx(511 - face.landmarks.points[other, 0], abs=0.04 * float(eyes))
    assert mirrored.head[1] == pytest.approx(-face.head[1], abs=2)
    assert mirrored.head[2] == pytest.approx(-face.head[2], abs=2)


def test_several_faces_come_largest_first(finder: Any, astronaut: Image.Image) -> None:
    head = astronaut.crop((130, 0, 310, 200))
    group = Image.new("RGB", (900, 450), (120, 120, 120))
    group.paste(head.resize((180, 200)), (20, 100))
    group.paste(head.resize((342, 380)), (250, 30))
    group.paste(head.resize((252, 280)), (620, 80))
    faces = finder.find(np.asarray(group))
    centres = [(f.box.x0 + f.box.x1) / 2 for f in faces]
    assert len(faces) == 3
    assert 250 < centres[0] < 592
    assert centres[1] > 620
    assert centres[2] < 200


def test_a_small_face_in_a_large_picture_is_found(finder: Any, astronaut: Image.Image) -> None:
    rng = np.random.default_rng(0)
    scene = Image.fromarray(np.kron(rng.integers(60, 180, (7, 10, 3)), np.ones((200, 200, 1))).astype(np.uint8))  # 2000 × 1400
    head = astronaut.crop((130, 0, 310, 200)).resize((63, 70), Image.Resampling.LANCZOS)  # the face is 33 pixels wide
    scene.paste(head, (1510, 930))
    (face,) = finder.find(np.asarray(scene))
    assert (face.box.x0 + face.box.x1) / 2 == pytest.approx(1510 + 33, abs=8)
    assert (face.box.y0 + face.box.y1) / 2 == pytest.approx(930 + 44, abs=8)


@pytest.mark.parametrize("shape", [(1, 1, 3), (2, 300, 3), (200, 300, 3)])
def test_a_picture_without_a_face_has_none(finder: Any, shape: tuple[int, int, int]) -> None:
    rng = np.random.default_rng(1)
    assert finder.find(np.zeros(shape, np.uint8)) == []
    assert finder.find(rng.integers(0, 256, shape).astype(np.uint8)) == []
    assert finder.find(np.linspace(0, 255, int(np.prod(shape))).reshape(shape).astype(np.uint8)) == []
