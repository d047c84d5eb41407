"""What a material is good for follows from its numbers, and a clip's late sound is moved to its mouth."""

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from huashen import media, studio
from huashen.appraisal import Appraisal, _covered, _cuts, _moving, _times, advice, grades
from huashen.types import Audio, Frame, Video
from synthetic import clip

GOOD = Appraisal(
    seconds=240, fps=25, faces=1, eyes=140, sharpness=15, blurred=0, brightness=140, light=0.05, yaw=(-12, 12), pitch=(-5, 5), profile=0,
    covered=0, cuts=0, people=0, sound=True, speech=200, talking=220, closed=90, open=60, wide=40, round=40,
    offset=0.0, confidence=1.0, gap=0.15,
)  # fmt: skip


def test_a_good_clip_is_good_for_everything() -> None:
    assert [(grade.use, grade.level, grade.because) for grade in grades(GOOD)] == [
        ("mouthbank", "good", ()), ("wav2lip", "good", ()), ("neural", "good", ()),
    ]  # fmt: skip
    assert advice(GOOD) == ()


@pytest.mark.parametrize(
    ("change", "use", "level", "said"),
    [
        ({"eyes": 50}, "mouthbank", "fair", "50 pixels between the eye corners"),
        ({"talking": 1}, "mouthbank", "no", "nobody speaks"),
        ({"open": 2}, "mouthbank", "poor", "wide open 2 times"),
        ({"faces": 0.5}, "wav2lip", "poor", "50 % of the frames show no face"),
        ({"profile": 0.2}, "wav2lip", "fair", "look to the camera"),
        ({"covered": 0.1}, "wav2lip", "fair", "something is before the mouth"),
        ({"sound": False, "offset": None}, "neural", "no", "it has no sound"),
        ({"speech": 90}, "neural", "fair", "1.5 minutes of speech: record 2 more"),
        ({"offset": None}, "neural", "poor", "does not surely follow the sound"),
    ],
)
def test_what_is_missing_is_said_where_it_matters(change: dict[str, object], use: str, level: str, said: str) -> None:
    found = {grade.use: grade for grade in grades(replace(GOOD, **change))}[use]  # type: ignore[arg-type]
    assert found.level == level
    assert said in found.because[0]


def test_a_late_sound_is_told() -> None:
    assert "108 ms after its mouth" in advice(replace(GOOD, offset=0.108))[0]


def test_curves_are_counted() -> None:
    assert _times(np.array([True, True, False, True, False, False, True])) == 3
    time = np.arange(100) / 25
    assert not _moving(np.full(100, 0.05), 25).any()
    assert _moving(0.05 + 0.05 * np.sin(20 * time), 25).all()
    assert _cuts(np.array([0, 1, 2, 60, 1, 2, 3.0])) == 1
    assert _cuts(np.full(20, 5.0)) == 0


def test_what_lies_before_a_face_now_and_then_is_seen() -> None:
    random = np.random.default_rng(0)
    faces = [np.full((16, 24, 3), 1.0, np.float32) + random.normal(0, 0.02, (16, 24, 3)).astype(np.float32) for _ in range(40)]
    assert _covered(faces) == 0
    for face in faces[:4]:
        face[6:, 8:16] = 0.2
    assert _covered(faces) == pytest.approx(0.1)
    assert _covered(faces[:5]) is None


@pytest.mark.parametrize(("offset", "sure", "moved"), [(0.2, 0.95, 0.2), (-0.2, 0.95, -0.2), (0.2, 0.5, 0.0), (0.02, 1.0, 0.0)])
def test_a_clips_own_sound_comes_when_its_mouth_does(tmp_path: Path, offset: float, sure: float, moved: float) -> None:
    drawn = clip(tmp_path, (64, 64))
    path = tmp_path / "heard.mov"
    images = list(drawn.images(range(40)))
    beep = np.zeros(40 * 640, np.float32)
    beep[8000:8800] = 0.5  # at half a second
    frames = (Frame(image, Audio(beep[k * 640 : (k + 1) * 640], 16000), k) for k, image in enumerate(images))
    media.write_video(Video(frames, Fraction(25), (64, 64), 16000), path)
    face = replace(drawn, path=path, offset=offset, sure=sure)
    heard = np.concatenate([piece.audio.samples for piece in studio._recorded(path, face, studio._Told())])
    rate = media.probe(path).rate
    assert np.argmax(np.abs(heard) > 0.2) / rate == pytest.approx(0.5 - moved, abs=0.03)
    other = replace(face, path=drawn.path)  # another clip's sound is not moved
    kept = np.concatenate([piece.audio.samples for piece in studio._recorded(path, other, studio._Told())])
    assert np.argmax(np.abs(kept) > 0.2) / rate == pytest.approx(0.5, abs=0.03)


def test_speech_shorter_than_a_clip_lives_on(tmp_path: Path) -> None:
    from huashen.types import Speech

    drawn = clip(tmp_path, (64, 64))
    speech = Speech(Audio(np.full(8000, 0.1, np.float32), 16000))
    for end, seconds in (("trim", 0.5), ("live", 1.6)):
        made = list(studio._ended(iter([speech]), drawn, studio._Told(), end))  # type: ignore[arg-type]
        assert sum(piece.audio.seconds for piece in made) == pytest.approx(seconds)
    assert not made[-1].audio.samples.any()
