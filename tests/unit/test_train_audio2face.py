"""Training the driver that hears, on drawn clips of a few seconds."""

import wave
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from huashen.audio2face.learned import FILE, Hearing, network
from huashen.audio2face.style import lips
from huashen.face.pose import rotation
from huashen.registry import load
from huashen.train.clips import CHANNELS, Watched, measure
from huashen.types import Audio, Speech

torch = pytest.importorskip("torch", reason="wants torch and onnx: pip install 'huashen[train]'")
pytest.importorskip("onnx", reason="wants torch and onnx: pip install 'huashen[train]'")

from huashen.train import audio2face as training  # noqa: E402

FPS = 25.0


def clip(seed: int, *, late: float = 0.0, other: bool = False, seconds: float = 12.0) -> Watched:
    """Return a speaker whose mouth opens with the loudness of the vowels and widens with their second formant."""
    dice = np.random.default_rng(seed)
    t = np.arange(int(seconds * training.RATE)) / training.RATE
    knots = np.arange(0, seconds + 1, 0.12)

    def curves(dice: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        size = np.where(dice.random(len(knots)) < 0.35, 0, dice.uniform(0.3, 1, len(knots)))
        return size, dice.uniform(0, 1, len(knots))

    size, front = curves(dice)
    loud, bright = np.interp(t, knots, size), np.interp(t, knots, front)
    sound = 0.15 * loud * sum(np.sin(2 * np.pi * 110 * k * t) / k for k in range(1, 8))
    sound = sound + 0.1 * loud * bright * np.sin(2 * np.pi * 2400 * t) + 1e-4 * dice.standard_normal(len(t))
    if other:
        size, front = curves(np.random.default_rng(seed + 100))
    time = (np.arange(int(seconds * FPS)) + 0.5) / FPS
    mouth = np.full((len(time), len(CHANNELS)), 0.1) + 1e-3 * dice.standard_normal((len(time), len(CHANNELS)))
    mouth[:, 0] = 0.2 * np.interp(time + late, knots, size)
    mouth[:, 1] = 0.5 + 0.1 * np.interp(time + late, knots, front * size)
    return Watched(f"clip{seed}", sound.astype(np.float32), time, mouth)


@pytest.fixture(scope="module")
def takes() -> list[training.Take]:
    """Four speakers in step, one whose sound comes 0.16 s late, one with another's sound."""
    clips = [*(clip(i) for i in range(4)), clip(4, late=0.16), clip(5, other=True)]
    made = [training.take(c, c.name) for c in clips]
    return training.align([t for t in made if t is not None])


def test_late_sound_is_found_and_wrong_sound_is_left_out(takes: list[training.Take]) -> None:
    found = {t.name: t for t in takes}
    for i in range(4):
        assert abs(found[f"clip{i}"].late) <= 0.021
    assert found["clip4"].late == pytest.approx(0.16, abs=0.021)
    assert [t.name for t in training.trusted(takes)] == [f"clip{i}" for i in range(5)]


def test_silent_clips_are_not_taken() -> None:
    one = clip(0, seconds=2.0)
    assert training.take(Watched("mute", one.sound * 0, one.time, one.mouth), "mute") is None
    assert training.take(Watched("faceless", one.sound, one.time, one.mouth * np.nan), "faceless") is None


def test_examples_stay_in_step_at_any_speed(takes: list[training.Take]) -> None:
    for example in training.examples(takes[0]):
        loud = example.heard[: 2 * len(example.mouth) : 2, -1]
        n = min(len(loud), len(example.mouth))
        assert np.corrcoef(loud[:n], example.mouth[:n, 0])[0, 1] > 0.6


def test_a_network_learns_in_a_few_steps_and_ships_as_it_is(takes: list[training.Take], tmp_path: Path) -> None:
    kept = [t for t in takes if t.trust > 0.3]
    pool = [e for t in kept[1:] for e in training.examples(t)[:2]]
    net = training.train(pool, seconds=60 * 8 * 2.0, width=16, batch=8, crop=2.0)
    heard = training.listen(kept[0].watched.sound)
    own = training.score([net], kept[0], heard, training.listen(kept[1].watched.sound))
    assert own.gap > 0.6
    assert own.gap > own.other[0] + 0.3
    assert "1 speakers" in training.table([own]).splitlines()[-1]
    said, seen = training.told([net], kept[0], heard)
    line, guessed, share = training.calibrated([said], [seen])
    file = tmp_path / "net.onnx"
    training.write([net, net], line, (guessed, share), file)
    # The streamed network says what the whole one does, once its silent past is the same.
    loaded = network(file)
    steps = net.tell(heard) * line[0] + line[1]
    np.testing.assert_array_equal(loaded.usual, training.usual(net))
    evened = training.even(heard, loaded.usual)
    ticks = np.concatenate([np.zeros((loaded.enter - 1, heard.shape[1]), np.float32), evened])
    n = (len(ticks) - loaded.enter) // 2 + 1
    whole, _ = loaded.run(ticks, loaded.rest)
    stream, state, at = [], loaded.rest, 0
    for count in np.random.default_rng(0).integers(1, 12, n):  # however many steps come at once: the same numbers, bit by bit
        count = min(count, n - at)
        if count:
            mouth, state = loaded.run(ticks[2 * at : 2 * (at + count - 1) + loaded.enter], state)
            stream.append(mouth)
        at += count
    np.testing.assert_array_equal(np.concatenate(stream), whole)
    found = whole[loaded.ahead :]
    np.testing.assert_allclose(found, steps[: len(found)], atol=1e-4)
    assert found.std(0)[0] == pytest.approx(seen.std(0)[0], rel=0.3)
    assert Hearing(loaded).hear(list(heard[:1].astype(np.float64))) == []


def test_a_network_answers_and_learns_as_plain_convolutions_would() -> None:
    torch.manual_seed(0)
    net = training.Net(8, dropout=0.0).double()
    heard = torch.rand(2, training.BANDS + 1, 2 * (9 + net.ahead + net.behind) + 2, dtype=torch.float64)
    x = torch.relu(net.first(net.enter(heard)))
    for (gap, ahead), wide, norm, point in zip(net.layers, net.wide, net.norm, net.point, strict=True):
        new = point(torch.relu(norm(wide(x))))
        x = x[:, :, 2 * gap - ahead : 2 * gap - ahead + new.shape[2]] + new
    plain = net.leave(0.25 * x[:, :, :-2] + 0.5 * x[:, :, 1:-1] + 0.25 * x[:, :, 2:])
    torch.testing.assert_close(net(heard), plain.float())
    # Past a batch norm a bias has no slope but rounding.
    weights = [p for name, p in net.named_parameters() if not name.endswith("bias") or name.startswith(("norm", "first", "leave"))]
    sums = [(y.double() * torch.arange(9)).sum() for y in (net(heard), plain)]
    for one, two in zip(*(torch.autograd.grad(s, weights) for s in sums), strict=True):
        torch.testing.assert_close(one, two, rtol=1e-4, atol=1e-4)


def test_known_speech_and_what_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "SAYINGS", {"zh": "妈妈爸爸怕麻烦。"})
    (example,) = training.spoken(speeds=(1.0,))
    loud = example.heard[: 2 * len(example.mouth) : 2, -1]
    assert np.corrcoef(loud, example.mouth[: len(loud), 0])[0, 1] > 0.3
    for quiet in training.shut(3.0):
        assert quiet.seen[:, :2].all()
        assert np.all(quiet.mouth[:, 0] == quiet.mouth[0, 0])
        assert np.isfinite(quiet.heard).all()


def test_turning_the_head_does_not_move_the_mouth() -> None:
    with np.load(Path(__file__).parents[1] / "parity" / "face_mediapipe.npz") as stored:
        points = stored["refined"].astype(np.float64)
    plain = measure(points[None].astype(np.float32))[0]
    turned = (points - points.mean(0)) @ rotation(np.array([8, -12, 10, 0, 0, 0], np.float32)).T * 1.7 + 300
    np.testing.assert_allclose(measure(turned[None].astype(np.float32))[0], plain, atol=2e-3)
    gone = measure(np.full((1, 478, 3), np.nan, np.float32))
    assert np.isnan(gone).all()


def test_what_is_trained_drives_a_face(takes: list[training.Take], tmp_path: Path) -> None:
    net = training.Net(16).eval()
    line = np.stack([np.ones(len(CHANNELS)), np.zeros(len(CHANNELS))])
    training.write([net], line, (np.array([-1.0, 1.0]), np.array([0.0, 1.0])), tmp_path / "net.onnx")
    driver = load("audio2face", "hear", file=tmp_path / "net.onnx", life=False)
    frames = list(driver.drive([Speech(Audio(takes[0].watched.sound[:16000], 16000))], Fraction(25)))
    assert len(frames) == 25


def test_the_whole_way_scores_every_speaker_and_writes_a_network(
    takes: list[training.Take], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    whole, music = training.examples, training.shut(4.0)
    monkeypatch.setattr(training, "examples", lambda taken: whole(taken)[:1])
    monkeypatch.setattr(training, "shut", lambda: music)
    monkeypatch.setattr(training, "spoken", lambda: [])
    scores = training.fit(takes, tmp_path / "net.onnx", count=2, times=8.0, nets=1, jobs=2)
    assert sorted(s.speaker for s in scores) == [f"clip{i}" for i in range(5)]
    said = capsys.readouterr().out
    assert "5 speakers" in said
    assert "as drawn\tgap " in said
    assert network(tmp_path / "net.onnx").channels == CHANNELS


def test_a_mouth_as_the_driver_draws_it_is_found_to_be_so_where_sound_and_picture_meet() -> None:
    import soxr

    said = list(load("tts", "espeak", lang="en").speak("My mother bought five big apples, and we move the blue boat."))
    sound = np.asarray(soxr.resample(np.concatenate([s.audio.samples for s in said]), said[0].audio.rate, training.RATE), np.float32)
    late, fps = 0.08, 25
    frames = load("audio2face", "hear", life=False).drive([Speech(Audio(sound, training.RATE))], Fraction(fps))
    gap, width = lips(np.array([frame.weights for frame in frames], np.float64))
    time = (np.arange(len(gap)) + 0.5) / fps - late
    mouth = np.full((len(gap), len(CHANNELS)), 0.1)
    mouth[:, 0], mouth[:, 1] = 2 * gap, 0.5 + width
    taken = training.Take("one", "one", Watched("one", sound, time, mouth), mouth, late)
    found = dict(part.split() for part in training.drawn([(taken, FILE)]).strip().replace("gap moves", "moves").split("\t")[1:])
    assert float(found["gap"]) > 0.98
    assert float(found["width"]) > 0.98
    assert float(found["moves"]) == pytest.approx(0.5, abs=0.03)


def test_speech_that_nobody_filmed_is_learned_from_but_never_from_who_heard_the_speakers_left_out(
    takes: list[training.Take], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from huashen.train import whispered

    learned: list[set[str]] = []
    pools: list[list[training.Example]] = []

    class Teachers:
        """Stands for the networks that hear with Whisper: the mouth opens with the loudness."""

        encoder = None

        def __init__(self, takes: list[training.Take]) -> None:
            self.heard = {t.name: layers(None, t.watched.sound) for t in takes}

        def examples(self, taken: training.Take) -> list[training.Example]:
            return whole(taken)[:1]

        def train(self, takes: list[training.Take], *, times: float, seed: int) -> "Teachers":
            learned.append({t.speaker for t in takes})
            return self

        def tell(self, heard: np.ndarray) -> np.ndarray:
            return np.repeat(heard[:, :1].astype(np.float64), len(CHANNELS), 1)

    def layers(encoder: None, sound: np.ndarray) -> np.ndarray:
        steps = np.abs(sound[: len(sound) // 320 * 320].reshape(-1, 320)).mean(1)
        return np.stack([steps, np.diff(steps, prepend=0.0)], 1).astype(np.float16)

    def trained(work: training._Work) -> training.Net:
        pools.append(work.pool)
        return training.Net(8).eval()

    whole = training.examples
    monkeypatch.setattr(whispered, "Teachers", Teachers)
    monkeypatch.setattr(whispered, "listen", layers)
    monkeypatch.setattr(training, "examples", lambda taken: whole(taken)[:1])
    monkeypatch.setattr(training, "shut", lambda: [])
    monkeypatch.setattr(training, "spoken", lambda: [])
    monkeypatch.setattr(training, "_done", trained)
    folder = tmp_path / "speech" / "ann"
    folder.mkdir(parents=True)
    (folder / "readme.txt").write_text("no sound")
    for name in ("1.wav", "2.wav"):
        with wave.open(str(folder / name), "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(16000)
            file.writeframes((clip(9, seconds=4.0).sound * 32767).astype("<i2").tobytes())
    training.fit(takes, tmp_path / "net.onnx", count=2, nets=1, speech=tmp_path / "speech")
    everybody = {f"clip{i}" for i in range(5)}
    groups = training.folds([t for t in takes if t.speaker in everybody], 2)
    assert learned[:2] == [everybody - group for group in groups]
    assert all(any(who == everybody - group for group in [*groups, set()]) for who in learned)
    own, taught = ([e for e in pools[-1] if (e.weight == 1.0) == known] for known in (True, False))
    assert [len(own), len(taught)] == [5, 3]
    assert sum(len(e.mouth) * e.weight for e in taught) == pytest.approx(training.TAUGHT * sum(len(e.mouth) for e in own))
    for example in taught:  # as they are, disguised, and at another speed
        n = min(len(example.mouth), len(example.heard) // 2)
        assert np.corrcoef(example.heard[: 2 * n : 2, -1], example.mouth[:n, 0])[0, 1] > 0.6
        assert example.deep is not None
        assert len(example.deep) == len(example.mouth)
    assert "readme.txt" in capsys.readouterr().out


def test_what_is_deep_is_learned_beside_the_mouth(takes: list[training.Take]) -> None:
    one = training.examples(takes[0])[0]
    deep = np.stack([np.roll(one.mouth[:, 0], k) for k in (0, 3)], 1).astype(np.float16)
    plain, taught = (training.train(pool, seconds=32 * 12.0) for pool in ([one], [replace(one, deep=deep)]))
    assert not torch.equal(plain.leave.weight, taught.leave.weight)
    assert np.corrcoef(taught.tell(one.heard)[: len(one.mouth), 0], one.mouth[:, 0])[0, 1] > 0.3


def test_command_says_what_it_wants(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from huashen import cli

    where = ["-o", str(tmp_path / "net.onnx"), "--work", str(tmp_path / "work")]
    assert cli.main(["train", "audio2face", str(tmp_path / "nowhere"), *where]) == 2
    assert "no folder of videos" in capsys.readouterr().err
    assert cli.main(["train", "audio2face", str(tmp_path), *where, "--speech", str(tmp_path / "nowhere")]) == 2
    assert "no folder of speech" in capsys.readouterr().err
    assert cli.main(["train", "audio2face", str(tmp_path), *where]) == 2
    assert "three speakers" in capsys.readouterr().err
