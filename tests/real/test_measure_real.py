"""The measure on real clips: whose sound is late, whose is not theirs, who has none."""

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

import huashen
from huashen.flow import slices
from huashen.media import read_audio, read_video, write_video
from huashen.types import Audio, Frame, Video

pytestmark = [pytest.mark.real, pytest.mark.slow]


def clip(real: Path, name: str) -> Path:
    path = real / "clips" / name
    if not path.is_file():
        pytest.skip(f"wants the clip {name}")
    return path


def with_sound(video: Path, sound: Path, out: Path, *, late: float = 0.0) -> Path:
    """Write a video with a sound that begins `late` seconds later than it did."""
    source = read_video(video)
    rate = 16000

    def chunks() -> Iterator[Audio]:
        skip = round(-late * rate)
        if skip < 0:
            yield Audio(np.zeros(-skip, np.float32), rate)
        for chunk in read_audio(sound, rate):
            samples = chunk.samples[max(0, skip) :]
            skip = max(0, skip - len(chunk.samples))
            yield Audio(samples, rate)

    def frames() -> Iterator[Frame]:
        audio = slices(chunks(), source.fps)
        for frame in source.frames:
            yield Frame(frame.image, next(audio, Audio(np.zeros(int(rate / source.fps), np.float32), rate)), frame.index)

    write_video(Video(frames(), source.fps, source.size, rate), out)
    return out


@pytest.mark.parametrize(("name", "late"), [("edtalk_obama.mp4", 230), ("style_Obama_clip1.mp4", 160), ("style_Obama_clip3.mp4", 160)])
def test_late_sound_is_found(real: Path, name: str, late: float) -> None:
    found = huashen.measure(clip(real, name)).sync
    assert found is not None
    assert found.offset_ms == pytest.approx(late, abs=25)
    assert found.confidence > 0.9


@pytest.mark.parametrize("late", [-0.32, 0.0, 0.2])
def test_moved_sound_is_found(real: Path, tmp_path: Path, late: float) -> None:
    name = clip(real, "vasa_17.mp4")
    found = huashen.measure(with_sound(name, name, tmp_path / "moved.mp4", late=late)).sync
    assert found is not None
    assert found.offset_ms == pytest.approx(1000 * late, abs=45)
    assert found.confidence > 0.9


def test_another_sound_is_no_match(real: Path, tmp_path: Path) -> None:
    foreign = with_sound(clip(real, "vasa_17.mp4"), clip(real, "vasa_l2.mp4"), tmp_path / "foreign.mp4")
    found = huashen.measure(foreign, clip(real, "vasa_17.mp4"))
    assert found.sync is not None
    assert found.sync.offset_ms is None
    assert found.sync.confidence < 0.5
    assert found.against is not None  # the pictures are the same all the same
    assert found.against.gap is not None
    assert found.against.gap > 0.97
    assert found.against.psnr is not None
    assert found.against.psnr > 35
    assert any("does not follow" in note for note in found.notes)


def test_a_silent_clip_is_said_to_be_one(real: Path) -> None:
    found = huashen.measure(clip(real, "muse_yongen.mp4"))
    assert found.sync is None
    assert found.silence is None
    assert found.mouth is not None
    assert found.mouth.gap_p95 < 0.05
    assert any("no sound" in note for note in found.notes)


def test_another_speaker_moves_otherwise(real: Path) -> None:
    found = huashen.measure(clip(real, "sad_katie.mp4"), clip(real, "sad_radio2.mp4"))
    assert found.against is not None
    assert found.against.gap is not None
    assert found.against.gap < 0.3
    assert found.against.identity is not None
    assert found.against.identity < 0.95
    assert found.fps == Fraction(25)
