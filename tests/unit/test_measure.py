"""The measure of a talking video: offsets that are known, numbers with a closed form, and inputs that cannot be judged."""

import json
import math
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image as Pictures

import huashen
from huashen import cli, measurement
from huashen.errors import OutputError, UnreadableError
from huashen.flow import first_sample
from huashen.measurement import Curves, Measurement
from huashen.media import read_image, read_video, write_video
from huashen.ops import sync
from huashen.plot import check_goal, plot
from huashen.report import report, verdict
from huashen.types import Audio, Floats, Frame, Image, Video

Array = NDArray[np.float64]
FPS = Fraction(25)


def babble(seconds: float, seed: int) -> Floats:
    """Noise in bands that open and close like syllables, with pauses."""
    random = np.random.default_rng(seed)
    n = int(seconds * sync.RATE)
    time = np.arange(n) / sync.RATE
    sound = np.zeros(n)
    for low, high in ((200, 700), (700, 1800), (1800, 4000), (4000, 7000)):
        spectrum = np.fft.rfft(random.standard_normal(n))
        hz = np.fft.rfftfreq(n, 1 / sync.RATE)
        spectrum[(hz < low) | (hz > high)] = 0
        knots = np.arange(0, seconds + 0.2, 0.08)
        sound += np.fft.irfft(spectrum, n) * np.interp(time, knots, random.gamma(0.6, 1.0, len(knots)))
    return (0.1 * sound / np.abs(sound).max()).astype(np.float32)


def follower(sound: Floats, late: float, noise: float, seed: int, fps: float = 25.0) -> tuple[Array, Array, Array]:
    """What the filter hears, frame times, and a mouth that does what the filter expects, the sound coming `late` seconds after it."""
    heard = sync.levels(sync.Bands().hear(sound))
    time = (np.arange(int(len(sound) / sync.RATE * fps)) + 0.5) / fps
    expected = sync.guess(heard)[:, :3]
    at = (time + late) * sync.TICKS
    mouth = np.stack([np.interp(at, np.arange(len(expected)), column) / column.std() for column in expected.T], 1)
    return heard, time, 0.1 + 0.03 * (mouth + noise * np.random.default_rng(seed).standard_normal(mouth.shape))


# Sync


@pytest.mark.parametrize("late", [-0.43, -0.2, -0.04, 0.0, 0.08, 0.2, 0.41])
@pytest.mark.parametrize("fps", [25.0, 30.0])
def test_a_known_offset_is_found(late: float, fps: float) -> None:
    heard, time, mouth = follower(babble(8, 1), late, 1.0, 2, fps)
    match = sync.match(heard, time, mouth)
    assert match is not None
    assert match.offset == pytest.approx(late, abs=0.02)
    assert match.confidence > 0.9
    assert match.chance > 4


def test_another_sound_is_no_match() -> None:
    sounds = [sync.levels(sync.Bands().hear(babble(8, seed))) for seed in range(8)]
    told, agreements = 0, []
    for seed in range(8):
        _, time, mouth = follower(babble(8, 100 + seed), 0.0, 1.0, seed)
        match = sync.match(sounds[seed], time, mouth)
        assert match is not None
        told += match.confidence >= sync.SURE
        agreements.append(float(match.scores[len(match.scores) // 2]))
    assert told == 0
    assert abs(np.mean(agreements)) < 0.08


def test_frames_without_a_face_do_not_count() -> None:
    heard, time, mouth = follower(babble(8, 3), 0.12, 0.7, 4)
    mouth[60:90] = np.nan
    match = sync.match(heard, time, mouth)
    assert match is not None
    assert match.offset == pytest.approx(0.12, abs=0.012)


def test_too_little_is_not_judged() -> None:
    heard, time, mouth = follower(babble(8, 5), 0.0, 0.5, 6)
    assert sync.match(heard, time, np.full_like(mouth, np.nan)) is None
    assert sync.match(heard, time[:20], mouth[:20]) is None
    assert sync.match(np.zeros((0, sync.BANDS)), time, mouth) is None
    assert sync.match(np.zeros((800, sync.BANDS)), time, mouth) is None


@settings(max_examples=20, deadline=None)
@given(st.lists(st.integers(0, 3000), max_size=12))
def test_chunking_does_not_change_what_is_heard(cuts: list[int]) -> None:
    sound = babble(0.5, 7)
    ear = sync.Bands()
    pieces = np.split(sound, np.cumsum(cuts))
    heard = np.concatenate([ear.hear(np.asarray(piece, np.float32)) for piece in pieces])
    np.testing.assert_array_equal(heard, sync.Bands().hear(sound))


def test_a_guess_is_the_filter_laid_over_the_sound() -> None:
    random = np.random.default_rng(8)
    heard, taps = random.standard_normal((90, sync.BANDS)), random.standard_normal((len(sync.TAPS), sync.BANDS, 6))
    at = 47
    direct = sum(heard[at + lag] @ weights for lag, weights in zip(sync.TAPS, taps, strict=True))
    np.testing.assert_allclose(sync.guess(heard, taps)[at], direct)


def test_loudness_does_not_change_what_the_filter_hears() -> None:
    sound = babble(2, 9)
    loud, soft = (sync.levels(sync.Bands().hear(np.asarray(sound * gain, np.float32))) for gain in (1.0, 0.25))
    np.testing.assert_allclose(loud, soft, atol=0.02)


@pytest.mark.parametrize("late", [-1.3, 0.0, 2.57])
def test_the_same_speech_is_aligned_and_another_is_not(late: float) -> None:
    sound, noise = babble(6, 15), 0.003 * np.random.default_rng(16).standard_normal(6 * sync.RATE).astype(np.float32)
    cut = round(abs(late) * sync.RATE)
    other = np.asarray(0.5 * sound + noise, np.float32)
    a, b = (sound, other[cut:]) if late > 0 else (sound[cut:], other)
    bands = [sync.Bands().hear(v) for v in (a, b, babble(6, 17))]
    assert measurement._sound_lag(bands[0], bands[1]) == pytest.approx(late, abs=0.011)
    assert measurement._sound_lag(bands[0], bands[2]) == 0


# Pictures


def test_motion_is_explained_and_flicker_is_not() -> None:
    import cv2

    random = np.random.default_rng(10)
    big = cv2.GaussianBlur(random.integers(0, 255, (200, 200), dtype=np.uint8), (0, 0), 3)
    before, now = (np.ascontiguousarray(big[y : y + 160, x : x + 160], np.uint8) for y, x in ((20, 20), (18, 23)))
    inside = np.zeros(now.shape, bool)
    inside[16:-16, 16:-16] = True
    flow = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST)
    plain = np.abs(before.astype(float) - now)[inside].mean()
    assert measurement._unexplained(flow, before, now, inside) < 0.25 * plain
    brighter = np.clip(now.astype(int) + 6, 0, 255).astype(np.uint8)
    assert measurement._unexplained(flow, now, brighter, inside) == pytest.approx(6, abs=0.6)


def test_ssim_is_the_published_formula() -> None:
    random = np.random.default_rng(11)
    a = random.integers(0, 255, (40, 40), dtype=np.uint8)
    b = np.clip(a.astype(int) + random.integers(-40, 40, a.shape), 0, 255).astype(np.uint8)
    one = np.zeros(a.shape, bool)
    one[20, 20] = True
    taps = np.exp(-0.5 * (np.arange(-5, 6) / 1.5) ** 2)
    window = np.outer(taps, taps) / taps.sum() ** 2
    x, y = (v[15:26, 15:26].astype(float) for v in (a, b))
    mx, my = (window * x).sum(), (window * y).sum()
    xx, yy, xy = (window * x * x).sum() - mx**2, (window * y * y).sum() - my**2, (window * x * y).sum() - mx * my
    direct = ((2 * mx * my + 6.5025) * (2 * xy + 58.5225)) / ((mx**2 + my**2 + 6.5025) * (xx + yy + 58.5225))
    assert measurement._ssim(a, b, one) == pytest.approx(direct, abs=1e-4)
    assert measurement._ssim(a, a, np.ones(a.shape, bool)) == pytest.approx(1, abs=1e-5)


def test_the_fast_share_of_a_curve_is_its_spectrum() -> None:
    time = np.arange(250) / 25
    slow, fast = np.sin(2 * np.pi * 2 * time), np.sin(2 * np.pi * 10 * time)
    assert measurement._fast_share(slow, 25) == pytest.approx(0, abs=1e-6)
    assert measurement._fast_share(fast, 25) == pytest.approx(1, abs=1e-6)
    assert measurement._fast_share(slow + fast / 2, 25) == pytest.approx(0.2, abs=1e-3)
    assert measurement._fast_share(slow, 15) is None
    assert measurement._fast_share(np.full(250, np.nan), 25) is None


# What is said of sound


def bands_of(sound: Floats) -> Floats:
    return sync.Bands().hear(sound)


def test_steady_sounds_are_not_taken_for_speech() -> None:
    random = np.random.default_rng(12)
    noise = (0.1 * random.standard_normal(4 * sync.RATE)).astype(np.float32)
    time = np.arange(4 * sync.RATE) / sync.RATE
    chord = sum(0.1 * np.sin(2 * np.pi * hz * time) for hz in (220, 277, 330)).astype(np.float32)  # type: ignore[union-attr]
    for sound, like in ((noise, False), (chord, False), (babble(4, 13), True)):
        bands = bands_of(sound)
        assert measurement.like_speech(bands, measurement.speaking(bands)) is like


def test_nothing_is_said_in_digital_silence() -> None:
    assert not measurement.speaking(bands_of(np.zeros(sync.RATE, np.float32))).any()
    assert not measurement.speaking(np.zeros((0, sync.BANDS), np.float32)).any()


def curves_of(gap: Array, speaking: NDArray[np.bool_]) -> Curves:
    """Curves in which only the gap and the speech matter."""
    n = len(gap)
    return Curves(
        time=(np.arange(n) + 0.5) / 25,
        gap=gap,
        width=np.full(n, 0.5),
        protrusion=np.full(n, 0.1),
        teeth=np.full(n, np.nan),
        lips=np.zeros((n, len(measurement.LIPS), 2), np.float32),
        area=np.zeros((n, 4), np.float32),
        bands=np.zeros((len(speaking), sync.BANDS), np.float32),
        wave=np.zeros((0, 2), np.float32),
        speaking=speaking,
        upper=np.zeros((0, 32, 32), np.float32),
        shape=np.zeros((0, 38, 2), np.float32),
        thumbs=(),
        match=None,
    )


@pytest.mark.parametrize("late", [0, 160])
def test_the_gap_in_silence_is_told_where_the_sound_fits_the_mouth(late: int) -> None:
    gap = np.concatenate([np.full(50, 0.2), np.full(50, 0.01)])
    speaking = np.roll(np.repeat([True, False], 200), late // 10)
    notes: list[str] = []
    found = measurement._silence(curves_of(gap, speaking), float(late), notes)
    assert found is not None
    assert found.gap == pytest.approx(0.01)
    assert found.gap_p95 == pytest.approx(0.01)
    assert found.speaking_gap_p95 == pytest.approx(0.2)
    assert not notes
    assert found.motion == pytest.approx(0, abs=1e-9)
    if late:  # left where the sound is, the silence would hold some of the speech
        unmoved = measurement._silence(curves_of(gap, speaking), 0.0, notes)
        assert unmoved is not None
        assert unmoved.motion is not None
        assert unmoved.motion > 0.1


# Whole videos


def film(path: Path, image: Callable[[int], Image], count: int, sound: Floats | None = None, size: tuple[int, int] = (256, 256)) -> Path:
    """Write a video."""

    def frames() -> Iterator[Frame]:
        for k in range(count):
            begin, end = (first_sample(i, sync.RATE, FPS) for i in (k, k + 1))
            samples = np.zeros(0, np.float32) if sound is None else sound[begin:end]
            yield Frame(image(k), Audio(samples, sync.RATE if sound is not None else 0), k)

    write_video(Video(frames(), FPS, size, sync.RATE if sound is not None else 0), path)
    return path


@pytest.fixture(scope="module")
def grey(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A silent second without a face."""
    shade = np.linspace(0, 255, 256).astype(np.uint8)
    picture = np.repeat(np.broadcast_to(shade, (256, 256))[..., None], 3, 2).copy()
    return film(tmp_path_factory.mktemp("grey") / "grey.mp4", lambda k: picture, 25)


@pytest.fixture(scope="module")
def portrait(weight: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three seconds of the example portrait, moving to the right and back, with babble."""
    for card in ("face_landmark_with_attention", "face_detection_short_range", "face_detection_full_range"):
        weight(card)
    whole = read_image(weight("astronaut"))

    def image(k: int) -> Image:
        left = 100 + round(8 * math.sin(2 * math.pi * k / 50))
        return np.ascontiguousarray(whole[20:276, left : left + 256])

    return film(tmp_path_factory.mktemp("portrait") / "portrait.mp4", image, 75, babble(3, 14))


@pytest.fixture(scope="module")
def of_portrait(portrait: Path) -> Measurement:
    return huashen.measure(portrait, portrait)


def test_without_a_face_and_sound_everything_is_none_and_said(grey: Path, weight: Callable[[str], Path]) -> None:
    weight("face_detection_short_range")
    found = huashen.measure(grey)
    assert found.frames == 25
    assert found.picture.faces == 0
    assert found.mouth is None
    assert found.sync is None
    assert found.silence is None
    assert {value for name, value in found.values()["picture"].items() if name not in ("faces", "flicker_outside")} == {None}
    assert any("no face" in note for note in found.notes)
    assert any("no sound" in note for note in found.notes)
    assert not verdict(found)[1]


def test_a_still_mouth_follows_no_sound(of_portrait: Measurement) -> None:
    assert of_portrait.picture.faces == 1
    assert of_portrait.sync is None or of_portrait.sync.offset_ms is None
    assert of_portrait.mouth is not None
    assert of_portrait.mouth.gap_std < 0.01


def test_a_picture_that_is_moved_neither_flickers_nor_drifts(of_portrait: Measurement) -> None:
    look = of_portrait.picture
    assert look.flicker_face is not None
    assert look.flicker_face < 2.5
    assert look.identity_drift is not None
    assert look.identity_drift < 0.02
    assert look.identity_worst is not None
    assert look.identity_worst < 0.05


def test_a_video_against_itself_is_the_same(of_portrait: Measurement) -> None:
    same = of_portrait.against
    assert same is not None
    assert same.gap == pytest.approx(1)
    assert same.motion_ratio == pytest.approx(1)
    assert same.landmark_distance == pytest.approx(0, abs=1e-6)
    assert same.shape_distance == pytest.approx(0, abs=1e-6)
    assert same.lag_ms == pytest.approx(0, abs=1e-6)
    assert same.psnr is not None
    assert same.psnr > 60
    assert same.ssim == pytest.approx(1, abs=1e-4)


def test_the_command_prints_json_and_draws(portrait: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    chart = tmp_path / "chart.png"
    assert cli.main(["measure", str(portrait), "--json", "--plot", str(chart)]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["picture"]["faces"] == 1
    assert told["against"] is None
    assert isinstance(told["notes"], list)
    with Pictures.open(chart) as picture:
        assert picture.size[0] == 1640
        pixels = np.asarray(picture.convert("RGB")).astype(int)
    assert (np.abs(pixels - (212, 62, 42)).sum(2) < 12).sum() > 500  # the curves
    assert cli.main(["measure", str(portrait), "--plot", str(chart)]) == 4  # it is there already


def test_a_plot_shows_the_reference_and_fits_without_face_or_sound(of_portrait: Measurement, grey: Path) -> None:
    both = plot(of_portrait)
    assert (np.abs(both.astype(int) - (26, 102, 190)).sum(2) < 12).any()
    alone = plot(huashen.measure(grey))
    assert alone.shape[1] == both.shape[1]
    assert alone.shape[0] < both.shape[0]


def test_the_report_is_lines_of_words(of_portrait: Measurement) -> None:
    lines = report(of_portrait)
    assert lines[0].startswith(str(of_portrait.path))
    assert any(line.startswith("note: ") for line in lines)
    assert all("\n" not in line for line in lines)


def test_unreadable_files_are_errors(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"no video")
    for path in (broken, tmp_path / "missing.mp4"):
        with pytest.raises(UnreadableError, match=path.name):
            huashen.measure(path)
        assert cli.main(["measure", str(path)]) == 2
        assert capsys.readouterr().err.count("\n") == 1


def test_a_plot_goes_only_where_it_may(grey: Path, tmp_path: Path) -> None:
    for path in (tmp_path / "plot.pdf", tmp_path / "nowhere" / "plot.png"):
        with pytest.raises(OutputError):
            check_goal(path, overwrite=True)
    picture = tmp_path / "in.png"
    picture.write_bytes(b"x")
    with pytest.raises(OutputError, match="input"):
        check_goal(picture, overwrite=True, inputs=(picture,))


def test_two_people_side_by_side_are_told_and_a_thumbnail_is_none(portrait: Path, weight: Callable[[str], Path], tmp_path: Path) -> None:
    alone = next(iter(read_video(portrait).frames)).image
    pair = np.concatenate([alone, alone[:, ::-1]], 1)
    small = alone.copy()
    small[:64, :64] = alone[::4, ::4]
    for name, image, told in (("pair", pair, True), ("small", small, False)):
        film(tmp_path / f"{name}.mp4", lambda _, image=image: image, 12, size=(image.shape[1], image.shape[0]))  # type: ignore[misc]
        found = huashen.measure(tmp_path / f"{name}.mp4")
        assert any("2 faces" in note for note in found.notes) is told, name


def test_music_is_said_to_be_no_voice_and_the_rest_is_judged(portrait: Path, weight: Callable[[str], Path], tmp_path: Path) -> None:
    alone = next(iter(read_video(portrait).frames)).image
    t = np.arange(3 * 16000) / 16000
    tune = 0.1 * sum(np.sin(2 * np.pi * k * 220 * 2 ** (np.floor(4 * t) % 5 / 12) * t) / k for k in range(1, 7))
    found = huashen.measure(film(tmp_path / "tune.mp4", lambda _: alone, 75, np.asarray(tune, np.float32)))
    assert found.sync is None
    assert found.sound is not None
    assert found.sound.voice == pytest.approx(0, abs=0.1)
    assert found.silence is not None
    assert found.silence.gap is not None
    assert any("no voice is heard" in note for note in found.notes)
    assert found.values()["sound"]["rate"] == 16000
