"""Reading the mouth out of Whisper's encoder."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from huashen.audio2face.whisper import RATE, STEPS, Encoder
from huashen.audio2face.whispered import LAYERS, Reader, Whispering, Windows, reader
from huashen.errors import InputError, UnreadableError
from huashen.live.build import head
from huashen.types import Audio, Floats


def sound(seconds: float, rate: int = RATE) -> Floats:
    """Return a buzz in syllables over hiss."""
    t = np.arange(round(seconds * rate)) / rate
    buzz = sum(np.sin(2 * np.pi * 130 * k * t) / k for k in range(1, 15)) * np.clip(np.sin(2 * np.pi * 3.1 * t), 0, 1)
    return np.asarray(0.1 * buzz + 0.01 * np.random.default_rng(0).standard_normal(len(t)), np.float32)


def test_encoder_is_that_of_ctranslate2(weight: Callable[[str], Path]) -> None:
    ctranslate2 = pytest.importorskip("ctranslate2", reason="wants CTranslate2: pip install 'huashen[whisper]'")
    extractor = pytest.importorskip("faster_whisper.feature_extractor", reason="wants faster-whisper: pip install 'huashen[whisper]'")
    file = weight("whisper_base")
    own = Encoder(file, layers=6)
    heard = sound(4.0)
    last = own.hear(heard)[-1]
    values = own._values
    about = last - last.mean(1, keepdims=True)
    last = about / np.sqrt((about**2).mean(1, keepdims=True) + 1e-5) * values["layer_norm/gamma"] + values["layer_norm/beta"]
    model = ctranslate2.models.Whisper(str(file.parent), device="cpu", compute_type="float32", intra_threads=1)
    mel = np.ascontiguousarray(extractor.FeatureExtractor()(heard)[None, :, :400])
    theirs = np.array(model.encode(ctranslate2.StorageView.from_array(mel)))[0]
    assert theirs.shape == last.shape == (200, 512)
    assert np.abs(last - theirs).mean() < 0.01 * np.abs(theirs).mean()
    assert np.corrcoef(last.ravel(), theirs.ravel())[0, 1] > 0.9999


def test_a_file_that_is_no_model_is_refused(tmp_path: Path) -> None:
    for content in (b"", b"\x06\0\0\0\x04\0abc\0", bytes(200)):
        (tmp_path / "model.bin").write_bytes(content)
        with pytest.raises(UnreadableError, match=r"model\.bin is no Whisper model"):
            Encoder(tmp_path / "model.bin", layers=4)


class Ramp:
    """Stands for the encoder: every layer holds how loud and how far each step of the window is."""

    def __init__(self) -> None:
        self.windows = 0

    def hear(self, sound: Floats) -> list[Floats]:
        self.windows += 1
        pieces = sound.reshape(-1, RATE // STEPS)
        held = np.stack([np.abs(pieces).mean(1), pieces.max(1), pieces[:, 0]], 1)
        return [(k + 1) * held for k in range(max(LAYERS))]


@pytest.fixture
def small() -> Reader:
    """A reader of six numbers a step."""
    dice = np.random.default_rng(1)
    layers = ((1, 1), (4, 4))
    values = {"mean": np.zeros(6, np.float32), "size": np.ones(6, np.float32)}
    shapes = {"enter": (6, 8), "wide0": (24, 8), "wide1": (24, 8), "point0": (8, 8), "point1": (8, 8), "leave": (8, 2)}
    for name, (rows, columns) in shapes.items():
        values[f"0.{name}"] = dice.standard_normal((rows, columns)).astype(np.float32) / np.float32(np.sqrt(rows))
        values[f"0.{name}_bias"] = 0.1 * dice.standard_normal(columns).astype(np.float32)
    side = np.array([-1.0, 1.0])
    return Reader(values, 1, layers, ("gap", "width"), (side, side), np.full(40, 0.5))


def told(small: Reader, sound: Floats, rate: int, step: int) -> np.ndarray:
    """Return the mouth at every step, asked for one step at a time, for sound that comes `step` samples at a time."""
    stream = Whispering(Ramp(), small)  # type: ignore[arg-type]
    found, come = [], 0
    for begin in range(0, len(sound), step):
        piece = sound[begin : begin + step]
        stream.take(Audio(piece, rate))
        come += len(piece)
        while (len(found) + 1) * rate / STEPS <= come:
            found.append(stream.run(np.zeros((2, 41), np.float32), stream.rest)[0][0])
    return np.array(found)[stream.ahead :]


@pytest.mark.parametrize("rate", [8000, 11025, 16000, 44100])
def test_however_sound_is_cut_every_step_is_told_in_time_and_the_same(small: Reader, rate: int) -> None:
    heard = sound(15.0, rate)
    whole = told(small, heard, rate, len(heard))
    assert len(whole) == 15 * STEPS - Whispering(Ramp(), small).ahead  # type: ignore[arg-type]
    assert np.ptp(whole, axis=0).min() > 0.1
    for step in (rate // STEPS, 777, 50000):
        np.testing.assert_array_equal(told(small, heard, rate, step)[: len(whole)], whole)


def test_windows_meet_where_they_should() -> None:
    heard = sound(13.0)
    found = np.concatenate(Windows(Ramp(), RATE).hear(heard))  # type: ignore[arg-type]
    pieces = heard.reshape(-1, RATE // STEPS)[: len(found)]
    np.testing.assert_allclose(found[:, 0], 2 * np.abs(pieces).mean(1), rtol=1e-6)
    np.testing.assert_allclose(found[:, 3], 4 * np.abs(pieces).mean(1), rtol=1e-6)
    assert len(found) == 3 * 4 * STEPS


def test_steps_are_read_as_if_all_came_at_once(small: Reader) -> None:
    dice = np.random.default_rng(2)
    heard = dice.standard_normal((90, 6)).astype(np.float32)
    whole = small.read(heard)
    assert whole.shape == (90 - 2 * small.reach, 2)
    np.testing.assert_allclose(small.read(heard[20 : 21 + 2 * small.reach])[0], whole[20], atol=1e-5)


def test_live_talk_refuses_a_driver_for_files(weight: Callable[[str], Path]) -> None:
    weight("whisper_base")
    with pytest.raises(InputError, match="'hear-whisper' hears 5 s ahead and is for files"):
        head("puppet", driver="hear-whisper")


def test_what_ships_is_small_and_whole() -> None:
    shipped = reader()
    assert shipped.channels[:2] == ("gap", "width")
    assert len(shipped.values["mean"]) == 512 * len(LAYERS)
    assert all(np.isfinite(v).all() for v in shipped.values.values())


def test_the_trainer_writes_what_the_reader_reads(tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="wants torch and onnx: pip install 'huashen[train]'")
    from huashen.train import whispered
    from huashen.train.audio2face import Example
    from huashen.train.clips import CHANNELS

    dice = np.random.default_rng(0)
    n = 400
    heard = dice.standard_normal((n, 12)).astype(np.float16)
    mouth = np.repeat(np.convolve(heard[:, 3], np.ones(5) / 2, "same")[:, None], len(CHANNELS), 1).astype(np.float32)
    pool = [Example(heard, mouth, np.ones(mouth.shape, bool))]  # type: ignore[arg-type]
    net = whispered.train(pool, seconds=32 * 60.0)
    steps = net.tell(heard)  # type: ignore[arg-type]
    assert np.corrcoef(steps[:, 0], mouth[:, 0])[0, 1] > 0.8
    line = np.stack([np.full(len(CHANNELS), 2.0), np.full(len(CHANNELS), 0.5)])
    side = np.array([-1.0, 1.0])
    whispered.write([net, net], line, (side, side), np.full(40, 0.5), tmp_path / "reader.npz")
    found = reader(tmp_path / "reader.npz")
    own = np.pad(found.own(heard.astype(np.float32)), ((found.reach, found.reach), (0, 0)))
    np.testing.assert_allclose(found.read(own), 2 * steps + 0.5, atol=0.03)
