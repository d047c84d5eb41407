"""A clip is read in any order without being held, and what was prepared is found again."""

import json
from dataclasses import replace
from fractions import Fraction
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from huashen import footage, media
from huashen.errors import NoFaceError, UnreadableError
from huashen.footage import Footage
from synthetic import clip


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Footage:
    return clip(tmp_path_factory.mktemp("clip"), (64, 72), without={20, 21})


def test_frames_in_any_order_are_those_of_the_file(drawn: Footage, monkeypatch: pytest.MonkeyPatch) -> None:
    frames = [frame.image for frame in media.read_video(drawn.path).frames]
    assert len(frames) == len(drawn) == 40
    order = [*range(40), *range(38, -1, -1), 0, 0, 7, 31, 30, 29, 5]
    for block in (footage.BLOCK, 5 * 64 * 72 * 3):
        monkeypatch.setattr(footage, "BLOCK", block)
        for k, image in zip(order, drawn.images(order), strict=True):
            np.testing.assert_array_equal(image, frames[k])


def test_a_clip_goes_there_and_back_one_frame_at_a_time(drawn: Footage) -> None:
    order = list(islice(drawn.order(Fraction(25)), 200))
    assert order[:34] == list(range(34))
    assert set(np.abs(np.diff(order))) == {1}
    assert max(order) >= 33
    assert min(order[40:]) <= 6
    assert order == list(islice(drawn.order(Fraction(25)), 200))


def test_a_clip_turns_where_the_head_moves_least(drawn: Footage) -> None:
    points = np.array(drawn.points)
    points[:, :, 0] += np.cumsum(np.where(np.isin(np.arange(40), (4, 37)), 0.0, 2.0))[:, None].astype(np.float32)
    order = list(islice(replace(drawn, points=points).order(Fraction(25)), 120))
    turns = [b for a, b, c in zip(order, order[1:], order[2:], strict=False) if a == c]
    assert turns[:3] == [37, 3, 37]  # from 3 to 4 and from 36 to 37 it stands still


def test_a_clip_whose_end_is_the_end_is_shown_to_it(drawn: Footage) -> None:
    order = list(islice(replace(drawn, through=True).order(Fraction(25)), 200))
    assert order[:40] == list(range(40))
    assert set(np.abs(np.diff(order))) == {1}
    assert order[40:47] == [38, 37, 36, 35, 34, 33, 32]
    assert max(order[60:]) <= list(islice(drawn.order(Fraction(25)), 50))[33] + 6


def test_another_rate_keeps_the_clips_own_speed(drawn: Footage) -> None:
    assert list(islice(drawn.order(Fraction(50)), 8)) == [0, 0, 1, 1, 2, 2, 3, 3]
    assert list(islice(drawn.order(Fraction(25, 2)), 4)) == [1, 3, 5, 7]


def test_faces_are_where_they_were_found(drawn: Footage) -> None:
    assert drawn.face(20) is None
    face = drawn.face(3)
    assert face is not None
    np.testing.assert_array_equal(face.landmarks.points, drawn.points[3])
    assert list(np.flatnonzero(~drawn.seen())) == [20, 21]


def test_the_mouths_kept_are_cut_out_of_the_frames(drawn: Footage) -> None:
    frame = next(drawn.images([5]))
    x, y = drawn.corners[5]
    height, width = drawn.mouths.shape[1:3]
    rows = np.clip(np.arange(y, y + height), 0, 71)
    columns = np.clip(np.arange(x, x + width), 0, 63)
    np.testing.assert_array_equal(drawn.mouths[5], frame[rows[:, None], columns])


def test_a_manifest_says_what_is_kept(drawn: Footage) -> None:
    manifest = json.loads((drawn.path.parent / "kept" / "manifest.json").read_text())
    assert (manifest["frames"], manifest["with_face"], manifest["size"], manifest["clip"]) == (40, 38, [64, 72], "drawn.mp4")


def test_an_odd_row_is_cut_off_and_not_squeezed_in(drawn: Footage) -> None:
    frame = next(drawn.images([5]))
    np.testing.assert_array_equal(drawn.fitted((64, 72)).shown(frame), frame)
    assert np.array_equal(drawn.fitted((64, 71)).shown(frame), frame[:71]) or np.array_equal(drawn.fitted((64, 71)).shown(frame), frame[1:])
    assert drawn.fitted((50, 30)).shown(frame).shape == (30, 50, 3)


def test_a_clip_with_hardly_a_face_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NoFaceError, match=r"drawn\.mp4 shows a face in 2 of its 12 frames"):
        clip(tmp_path, (64, 64), frames=12, without=range(2, 12))
    assert not (tmp_path / "kept").exists()


def test_a_file_that_is_no_clip_says_so(tmp_path: Path) -> None:
    (tmp_path / "broken.mp4").write_bytes(b"no video at all")
    with pytest.raises(UnreadableError, match=r"broken\.mp4"):
        footage.prepare(tmp_path / "broken.mp4")
