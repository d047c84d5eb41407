"""Train the network that hears what a mouth does (`huashen.audio2face.learned`) on clips of talking people.

    huashen train audio2face CLIPS --work FOLDER --speaker obama,edtalk --speaker andrew -o src/huashen/audio2face/hear.onnx

What the landmarks measure (`huashen.train.clips`) is what the network learns to tell from the sound, each clip by its own measure: where a
channel has its middle and how far it goes is the speaker's, not the sound's. Sound and picture of a published clip are often some frames
apart, so each clip is moved to where a filter fitted to the other speakers agrees with it best; a clip that agrees nowhere is left out.
Spoken by `espeak`, whose phones are known, comes what the clips lack; noise and music come with a mouth that stays shut.
"""

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from copy import deepcopy
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import islice
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from huashen.audio2face.ear import TICKS, Ear, Even
from huashen.audio2face.learned import Hear
from huashen.audio2face.style import lips
from huashen.errors import HuashenError, InputError
from huashen.train.clips import CHANNELS, RATE, Watched, watch
from huashen.types import Audio, Floats, Speech
from huashen.words import tr

BANDS = 40
STEPS = 50
"""Steps of the network a second: one every second tick."""
WIDTH = 96
LAYERS: tuple[tuple[int, int], ...] = ((1, 1), (1, 1), (2, 2), (4, 3), (8, 0), (4, 0))
"""Of each layer the distance between its three taps, and how many steps it looks ahead: 0.16 s in all, for live speech."""
FAR: tuple[tuple[int, int], ...] = ((1, 1), (2, 2), (4, 4), (8, 8), (4, 4), (2, 2))
"""The same for files: as far ahead as back, 0.44 s."""
_ROUND = (0.25, 0.5, 0.25)
"""Lips are slower than the network: its last layer is smoothed so."""
_ENTER = 4  # ticks the first layer takes; the last of them is the step's own
_BLOCK = 16
"""Steps the file takes at once: such a block costs twice a step, and no more than one of two does."""

Array = NDArray[np.float64]


class Net(nn.Module):
    """Dilated convolutions that look a little ahead.

    Args:
        width: channels of the hidden layers.
        layers: as `LAYERS`.
    """

    def __init__(self, width: int = WIDTH, layers: Sequence[tuple[int, int]] = LAYERS, dropout: float = 0.25) -> None:
        super().__init__()
        self.layers = tuple(layers)
        self.usual: Tensor
        self.register_buffer("usual", torch.full((BANDS,), 0.5))
        self.enter = nn.Conv1d(BANDS + 1, width, _ENTER, stride=2)
        self.first = nn.BatchNorm1d(width)
        self.wide = nn.ModuleList(nn.Conv1d(width, width, 3, dilation=gap) for gap, _ in self.layers)
        self.norm = nn.ModuleList(nn.BatchNorm1d(width) for _ in self.layers)
        self.point = nn.ModuleList(nn.Conv1d(width, width, 1) for _ in self.layers)
        self.leave = nn.Conv1d(width, len(CHANNELS), 1)
        self.dropout = dropout

    @property
    def ahead(self) -> int:
        """Steps past a step's own, one of them to smooth what is said."""
        return sum(ahead for _, ahead in self.layers) + 1

    @property
    def behind(self) -> int:
        """Steps before a step's own."""
        return sum(2 * gap - ahead for gap, ahead in self.layers) + 1

    def forward(self, heard: Tensor) -> Tensor:
        """Return the mouth, (b, channels, n), for what is heard, (b, bands + 1, 2 (n + ahead + behind) + 2)."""
        return self.said(self.hidden(heard))

    def hidden(self, heard: Tensor) -> Tensor:
        """Return what the mouth is told from, (n, b, width)."""
        # Time first: a convolution's taps are then parts of one array, and it is three matrix products that copy nothing. On a processor
        # four times as fast to train as conv1d.
        x = heard.permute(2, 0, 1)  # (ticks, b, bands + 1)
        n = (len(x) - 2) // 2
        x = torch.cat([x[k : k + 2 * n : 2] for k in range(_ENTER)], 2)
        return self.through(functional.linear(x, self.enter.weight.permute(0, 2, 1).flatten(1), self.enter.bias))

    def through(self, x: Tensor) -> Tensor:
        """Return what the layers make of what is entered, (n + ahead + behind, b, width)."""
        x = functional.relu(_normed(self.first, x))
        for (gap, ahead), wide, norm, point in zip(self.layers, self.wide, self.norm, self.point, strict=True):
            taps = wide.weight.permute(2, 1, 0).contiguous()  # type: ignore[operator]
            new = _Taps.apply(x, taps, wide.bias, gap)  # type: ignore[no-untyped-call]
            new = functional.relu(_normed(norm, new))
            new = functional.linear(new, point.weight[:, :, 0], point.bias)  # type: ignore[index,arg-type]
            if self.training and self.dropout:  # whole channels: cheaper than numbers one by one, and as good
                new = new * ((torch.rand(1, *new.shape[1:]) > self.dropout) / (1 - self.dropout)).to(new.dtype)
            x = x[2 * gap - ahead : 2 * gap - ahead + len(new)] + new
        before, own, after = _ROUND
        return before * x[:-2] + own * x[1:-1] + after * x[2:]

    def said(self, x: Tensor) -> Tensor:
        """Return the mouth, (b, channels, n)."""
        return functional.linear(x, self.leave.weight[:, :, 0], self.leave.bias).float().permute(1, 2, 0)

    def tell(self, heard: Floats) -> Array:
        """Return the mouth for what is heard, (steps, channels)."""
        n = len(heard) // 2 + 1
        with torch.no_grad():
            x = torch.from_numpy(cut(even(heard, usual(self)), -2 * self.behind + 1 - _ENTER, 2 * (n + self.ahead - 1) + 1).T.copy())
            return self(x[None])[0].T.numpy().astype(np.float64)  # type: ignore[no-any-return]


class _Taps(torch.autograd.Function):
    """A convolution of three taps, time first."""

    @staticmethod
    @torch.amp.custom_fwd(device_type="cpu", cast_inputs=torch.bfloat16)  # type: ignore[untyped-decorator]
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, gap: int) -> Tensor:
        """Return (n - 2 gap, b, out) for (n, b, in), (3, in, out) and (out,)."""
        n, b, _ = x.shape
        flat = x.contiguous().flatten(0, 1)
        ctx.save_for_backward(flat, weight)
        ctx.shape = x.shape
        ctx.parts = [slice(k * gap * b, (n + (k - 2) * gap) * b) for k in range(3)]
        new = torch.addmm(bias, flat[ctx.parts[0]], weight[0])
        for k in (1, 2):
            new.addmm_(flat[ctx.parts[k]], weight[k])
        return new.view(n - 2 * gap, b, -1)

    @staticmethod
    @torch.amp.custom_bwd(device_type="cpu")  # type: ignore[untyped-decorator]
    def backward(ctx: Any, *slopes: Tensor) -> tuple[Tensor | None, ...]:
        """Return the slopes of what `forward` took."""
        flat, weight = ctx.saved_tensors
        slope = slopes[0].flatten(0, 1)
        own, its = torch.zeros_like(flat), torch.empty_like(weight)
        for k, part in enumerate(ctx.parts):
            own[part].addmm_(slope, weight[k].t())
            torch.mm(flat[part].t(), slope, out=its[k])
        return own.view(ctx.shape), its, slope.sum(0), None


def _normed(norm: nn.Module, x: Tensor) -> Tensor:
    return norm(x.flatten(0, 1)).view_as(x)  # type: ignore[no-any-return]


@dataclass(frozen=True)
class Example:
    """Sound and what the mouth does to it."""

    heard: Floats
    """(ticks, bands + 1)."""
    mouth: Floats
    """(steps, channels), each in its own measure."""
    seen: NDArray[np.bool_]
    """(steps, channels): whether it was measured."""
    weight: float = 1.0
    deep: Floats | None = None
    """(steps, n): what a larger network makes of the sound, to be told beside the mouth while training; short numbers."""


@dataclass(frozen=True)
class Take:
    """A clip made ready."""

    name: str
    speaker: str
    watched: Watched
    mouth: Array
    """(frames, channels) in the clip's own measure; NaN where there is no face."""
    late: float = 0.0
    """Seconds by which its sound comes after its picture."""
    trust: float = 0.0
    """How well its sound and picture agree there."""


def listen(sound: Floats, rate: int = RATE) -> Floats:
    """Return what an ear hears, (ticks, BANDS + 1)."""
    return np.array(Ear(rate, bands=BANDS).hear(np.concatenate([sound, np.zeros(rate // 10, np.float32)])), np.float32)


def even(heard: Floats, usual: Array) -> Floats:
    """Return what is heard as the usual voice would have said it (`huashen.audio2face.ear.Even`)."""
    ear = Even(usual)
    return np.array([ear.hear(tick) for tick in heard.astype(np.float64)], np.float32)


def take(watched: Watched, speaker: str) -> Take | None:
    """Return a clip in its own measure; None when it is silent or a face too seldom is seen.

    The gap is in shares of its 95th percentile, 0.35 being the middle and 0.3 the unit; all else in standard deviations from the median.
    """
    mouth = watched.mouth.copy()
    good = np.isfinite(mouth[:, 0])
    if good.mean() < 0.5 or np.abs(watched.sound).max(initial=0.0) < 0.01:
        return None
    top = np.percentile(mouth[good, 0], 95)
    low, middle, high = np.percentile(mouth[good], [10, 50, 90], axis=0)
    mouth = np.clip((mouth - middle) / (np.maximum(high - low, 1e-4) / 2.56), -4, 4)
    mouth[:, 0] = np.clip((watched.mouth[:, 0] / top - 0.35) / 0.3, -2, 4)
    return Take(watched.name, speaker, watched, mouth)


def grid(taken: Take, speed: float = 1.0) -> tuple[Floats, NDArray[np.bool_]]:
    """Return the mouth at every step of the sound, moved to where they agree, and whether it is known there.

    Args:
        taken: the clip.
        speed: how much faster its sound was made.
    """
    time = (taken.watched.time + taken.late) / speed
    steps = np.arange(int(len(taken.watched.sound) / RATE / speed * STEPS)) / STEPS
    good = np.isfinite(taken.mouth[:, 0])
    after = np.searchsorted(time[good], steps)
    known = time[good]
    near = (after > 0) & (after < len(known))
    near[near] &= known[after[near]] - known[after[near] - 1] < 0.1
    mouth = np.stack([np.interp(steps, known, channel[good]) for channel in taken.mouth.T], 1)
    return mouth.astype(np.float32), np.repeat(near[:, None], len(CHANNELS), 1)


# Where sound and picture agree

_JUDGE = 3
"""Seed of the networks that say so: the same however many are trained afterwards."""

_TAPS = np.arange(-15, 16, 3)  # ticks
_OFFSETS = np.arange(-36, 37, 2)  # ticks
_RIDGE = 300.0
_LEAST = 0.2
"""Correlation of gap and width, on the average, below which a clip's sound is held to be another's."""


def align(takes: list[Take], *, rounds: int = 3) -> list[Take]:
    """Return the clips with `late` and `trust` set, each by a filter fitted to the other speakers.

    A clip that cannot be trusted is kept out of the others' filters; whoever trains leaves it out.
    """
    heard = {t.name: _smooth(listen(t.watched.sound)) for t in takes}
    for _ in range(rounds):
        sums = {t.name: _gram(t, heard[t.name]) for t in takes}
        moved = []
        for one in takes:
            others = [sums[t.name] for t in takes if t.speaker != one.speaker and (t.trust == 0 or t.trust > _LEAST)]
            left = _RIDGE * np.eye(len(others[0][0])) + sum(o[0] for o in others)
            taps: Array = np.linalg.solve(left, sum(o[1] for o in others)).astype(np.float64)
            scores = np.array([_agreement(replace(one, late=o / TICKS), heard[one.name], taps) for o in _OFFSETS])
            best = int(np.argmax(scores - np.abs(_OFFSETS) * 0.001))
            moved.append(replace(one, late=float(_OFFSETS[best]) / TICKS, trust=float(scores[best])))
        takes = moved
    return takes


def _smooth(heard: Floats) -> Floats:
    kernel = np.hanning(9)[1:-1]
    return np.stack([np.convolve(band, kernel / kernel.sum(), "same") for band in heard.T], 1).astype(np.float32)


def _windows(taken: Take, heard: Floats) -> tuple[Floats, Floats]:
    """Return the filter's view, (frames, taps × bands), and gap and width, of the frames with a face, about their means."""
    good = np.isfinite(taken.mouth[:, 0])
    place = np.round((taken.watched.time[good] + taken.late) * TICKS).astype(int)
    inside = (place >= 0) & (place < len(heard))
    at = np.clip(place[inside, None] + _TAPS, 0, len(heard) - 1)
    x = heard[at].reshape(int(inside.sum()), -1)
    y = taken.mouth[good][inside][:, :2]
    return x - x.mean(0), (y - y.mean(0)).astype(np.float32)


def _gram(taken: Take, heard: Floats) -> tuple[Array, Array]:
    x, y = _windows(taken, heard)
    return (x.T @ x).astype(np.float64), (x.T @ y).astype(np.float64)


def _agreement(taken: Take, heard: Floats, taps: Array) -> float:
    x, y = _windows(taken, heard)
    guess = x @ taps
    return float(np.mean([correlation(guess[:, i], y[:, i]) for i in range(2)]))


def correlation(one: NDArray[np.floating], two: NDArray[np.floating]) -> float:
    """Return Pearson's correlation; 0 when one of them does not move."""
    one, two = one - one.mean(), two - two.mean()
    size = float(np.sqrt((one**2).sum() * (two**2).sum()))
    return float((one * two).sum()) / size if size > 1e-9 else 0.0


# What is learned from


def examples(taken: Take, *, seed: int = 0, hear: Callable[[Floats], Floats] | None = None) -> list[Example]:
    """Return a clip as it is, and as it would sound elsewhere: with noise, in a room, by telephone, faster, slower.

    Args:
        taken: the clip.
        seed: of what is done to it.
        hear: what is heard in a sound; `listen` without it.
    """
    hear = hear or listen
    dice = np.random.default_rng([seed, *taken.name.encode()])
    plain = taken.watched.sound
    own, seen = grid(taken)
    found = [Example(hear(sound), own, seen) for sound in (plain, _noisy(plain, dice), _in_room(plain, dice), _telephoned(plain, dice))]
    for speed in (dice.uniform(0.85, 0.93), dice.uniform(1.08, 1.18)):
        mouth, known = grid(taken, speed)
        found.append(Example(hear(faster(plain, speed)), mouth, known))
    return found


def _noisy(sound: Floats, dice: np.random.Generator) -> Floats:
    spectrum = np.fft.rfft(dice.standard_normal(len(sound)))
    noise = np.fft.irfft(spectrum * np.arange(1, len(spectrum) + 1) ** -dice.uniform(0, 0.6), len(sound))
    level = np.sqrt(np.mean(sound**2)) / np.sqrt(np.mean(noise**2)) * 10 ** (-dice.uniform(10, 25) / 20)
    return np.asarray(sound + level * noise, np.float32)


def _in_room(sound: Floats, dice: np.random.Generator) -> Floats:
    t = np.arange(int(0.4 * RATE)) / RATE
    echo = dice.standard_normal(len(t)) * 10 ** (-3 * t / dice.uniform(0.2, 0.6))
    echo *= dice.uniform(0.3, 0.8) / np.sqrt(np.sum(echo**2))
    echo[0] = 1.0
    size = len(sound) + len(echo)
    return np.asarray(np.fft.irfft(np.fft.rfft(sound, size) * np.fft.rfft(echo, size), size)[: len(sound)], np.float32)


def _telephoned(sound: Floats, dice: np.random.Generator) -> Floats:
    spectrum = np.fft.rfft(sound)
    hz = np.fft.rfftfreq(len(sound), 1 / RATE)
    low, high = dice.uniform(80, 300), dice.uniform(3300, 5500)
    squeezed = np.fft.irfft(spectrum / (1 + (low / np.maximum(hz, 1)) ** 6) / (1 + (hz / high) ** 16), len(sound))
    top = np.abs(squeezed).max() * dice.uniform(0.3, 1.0)
    return np.asarray(np.tanh(2 * squeezed / top) * top / 2, np.float32)


disguises = (_noisy, _in_room, _telephoned)


def faster(sound: Floats, speed: float) -> Floats:
    """Return sound made so much faster, and higher with it."""
    import soxr

    return np.asarray(soxr.resample(sound, RATE * speed, RATE), np.float32)


SAYINGS: dict[str, str] = {
    "zh": "你好，我是数字人，很高兴认识你。爸爸妈妈不怕麻烦，每天买苹果和面包。人工智能正在改变我们的生活方式。请问火车站怎么走？",
    "en": "My mother bought five big apples and a bottle of milk. Do you move the blue boat before Bob opens the map? We were away.",
    "de": "Guten Morgen, wie geht es Ihnen heute? Die Blumen im Garten blühen schon früh. Über dem Fluss steht eine alte Brücke aus Holz.",
    "fr": "Bonjour, je suis très heureux de vous voir. Un petit bateau bleu passe sous le pont. Où avez-vous mis mes lunettes ?",
    "es": "Buenos días, me llamo Pablo y vivo en Bogotá. Mañana vamos a comprar pan, vino y queso. ¿Puedes abrir la puerta, por favor?",
    "it": "Buongiorno a tutti, oggi parliamo di musica. La pioggia cade piano sopra i tetti di Roma. Vorrei un bicchiere d'acqua.",
    "pt": "Bom dia, como vai você? Amanhã vou viajar com a minha família para o mar. O menino abriu a janela e viu a lua.",
    "ru": "Добрый день, меня зовут Мария. Мой брат купил большую белую лодку. Завтра мы поедем в Москву на поезде.",
    "ja": "こんにちは、わたしはまみです。あしたはともだちとうみへいきます。このほんはとてもおもしろいとおもいます。",
    "ko": "안녕하세요, 만나서 반갑습니다. 오늘 아침에는 비가 많이 왔어요. 우리 어머니는 빵과 우유를 샀습니다.",
    "hi": "नमस्ते, आप कैसे हैं? मेरा भाई कल बाज़ार से फल लाया था। आज मौसम बहुत अच्छा है।",
    "vi": "Xin chào, tôi rất vui được gặp bạn. Hôm nay trời đẹp và chúng tôi đi chơi ở công viên. Bạn có muốn uống cà phê không?",
    "tr": "Merhaba, bugün hava çok güzel. Annem pazardan beş büyük elma aldı. Bu kitabı okumak istiyorum.",
    "pl": "Dzień dobry, bardzo mi miło pana poznać. Moja babcia piecze chleb w każdą sobotę. Proszę zamknąć okno.",
    "ar": "مرحبا، كيف حالك اليوم؟ ذهب أخي إلى السوق واشترى خبزا وحليبا. أريد أن أشرب كوبا من الماء.",
}  # fmt: skip
"""What `espeak` says for the network to learn from."""


def spoken(*, speeds: Sequence[float] = (0.85, 1.1), weight: float = 0.5) -> list[Example]:
    """Return `SAYINGS`, each with the mouth that the `visemes` driver gives its phones.

    Args:
        speeds: of speech; a voice is made another's by raising or lowering it as it is slowed or hurried.
        weight: how often they are looked at, beside real speech of the same length.
    """
    from huashen.registry import load
    from huashen.types import ARKIT_INDEX

    driver = load("audio2face", "visemes", life=False)
    found = []
    for i, (lang, text) in enumerate(SAYINGS.items()):
        for j, speed in enumerate(speeds):
            said = list(load("tts", "espeak", lang=lang, speed=speed).speak(text))
            motions = list(driver.drive(said, Fraction(STEPS)))
            weights = {name: np.array([m.weights[k] for m in motions], np.float64) for name, k in ARKIT_INDEX.items()}
            mouth = _drawn(weights)
            rate = said[0].audio.rate
            pitch = (0.85, 1.0, 1.2)[(i + j) % 3]
            heard = listen(np.concatenate([s.audio.samples for s in said]), round(rate * pitch))
            # A frame is shown at its middle.
            time = (np.arange(len(mouth)) + 0.5) / STEPS / pitch
            steps = np.arange(int(time[-1] * STEPS)) / STEPS
            own = np.stack([np.interp(steps, time, channel) for channel in mouth.T], 1).astype(np.float32)
            seen = np.ones(own.shape, bool)
            seen[:, [CHANNELS.index(name) for name in ("corners", "upper_lip", "lower_lip", "inner_width")]] = False
            found.append(Example(heard, own, seen, weight))
    return found


def _drawn(weights: dict[str, Array]) -> Array:
    """Return what the weights make of the mouth (docs/motion.md), in the measure of `take`."""
    upper, lower, pucker, funnel = (weights[n] for n in ("mouthUpperUpLeft", "mouthLowerDownLeft", "mouthPucker", "mouthFunnel"))
    gap = 0.30 * weights["jawOpen"] * (1 - weights["mouthClose"]) + 0.035 * upper + 0.045 * lower - 0.03 * pucker
    gap = np.where(weights["mouthClose"] >= 1, 0.0, np.maximum(gap, 0.0))
    width = 0.13 * weights["mouthStretchLeft"] + 0.10 * weights["mouthSmileLeft"] - 0.17 * pucker - 0.10 * funnel
    mouth = np.zeros((len(gap), len(CHANNELS)))
    drawn = {"width": width, "protrusion": pucker + funnel, "upper": upper, "lower": lower, "jaw": weights["jawOpen"]}
    for name, values in drawn.items():
        mouth[:, CHANNELS.index(name)] = np.clip((values - np.median(values)) / max(float(values.std()), 1e-3), -4, 4)
    mouth[:, 0] = np.clip((gap / max(float(np.percentile(gap, 95)), 1e-3) - 0.35) / 0.3, -2, 4)
    return mouth


def shut(seconds: float = 40.0, *, seed: int = 0, weight: float = 0.5, hear: Callable[[Floats], Floats] | None = None) -> list[Example]:
    """Return noise, hum and music with a mouth that stays shut.

    Args:
        seconds: of each.
        seed: of the tunes.
        weight: how often they are looked at, beside real speech of the same length.
        hear: as of `examples`.
    """
    hear = hear or listen
    dice = np.random.default_rng(seed)
    n = int(seconds * RATE)
    t = np.arange(n) / RATE
    sounds = [_noisy(np.full(n, 1e-3), dice) * dice.uniform(3, 100), 0.1 * np.sin(2 * np.pi * 50 * t) + 1e-3 * dice.standard_normal(n)]
    for _ in range(5):
        music = np.zeros(n)
        at = 0.2
        while at < seconds - 2:
            long = dice.uniform(0.15, 1.2)
            part = slice(int(at * RATE), int((at + long) * RATE))
            fade = np.exp(-t[: part.stop - part.start] * dice.uniform(0.5, 5))
            for note in 110 * 2 ** (dice.integers(0, 36, dice.integers(1, 4)) / 12):
                for k in range(1, 8):
                    music[part] += fade * np.sin(2 * np.pi * k * note * t[: len(fade)]) / k ** dice.uniform(0.8, 2)
            if dice.random() < 0.5:
                music[part] += fade**4 * dice.standard_normal(len(fade))
            at += dice.choice([0.125, 0.25, 0.5])
        sounds.append(0.2 * music / np.abs(music).max())
    rest = np.zeros(len(CHANNELS), np.float32)
    rest[0] = -0.35 / 0.3
    seen = np.zeros((int(seconds * STEPS), len(CHANNELS)), bool)
    seen[:, :2] = True
    return [Example(hear(s.astype(np.float32)), np.tile(rest, (len(seen), 1)), seen, weight) for s in sounds]


# Training


def train(
    pool: Sequence[Example], *, seconds: float, seed: int = 0, width: int = WIDTH, batch: int = 8, crop: float = 4.0, rate: float = 3e-3,
    energy: float = 0.1, matching: float = 1.0, layers: Sequence[tuple[int, int]] = LAYERS, report: bool = False,
) -> Net:
    """Return a network trained on examples.

    Args:
        pool: what is learned from.
        seconds: of sound to be looked at in all: 60 times a pool of a quarter of an hour; with 25 times the gap's correlation is 0.04 less.
        seed: of the first weights and of the choice of crops.
        width: channels of the hidden layers.
        batch: crops at a time.
        crop: their length, seconds.
        rate: learning rate at its highest.
        energy: weight of how much the mouth moves.
        matching: weight of the correlation; beside it stands a smooth distance of weight 1.
        layers: as `LAYERS`.
        report: print the loss.
    """  # fmt: skip
    # The layers are small: two threads wait for each other, on a busy machine for ten times as long as the work takes.
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.manual_seed(seed)
    dice = np.random.default_rng(seed)
    net = Net(width, layers)
    loud = np.concatenate([e.heard for e in pool])
    net.usual.copy_(torch.from_numpy((loud[:, :-1] * loud[:, -1:]).sum(0) / max(float(loud[:, -1].sum()), 1e-6)))
    pool = [replace(e, heard=even(e.heard, usual(net))) for e in pool]
    mean: Net = deepcopy(net).eval()  # of the weights of late: steadier than the last
    late, last = ([v for v in part.state_dict().values() if v.is_floating_point()] for part in (mean, net))
    todo = max(1, int(seconds / (batch * crop)))
    short = torch.backends.cpu.get_cpu_capability() == "AVX512"  # elsewhere short numbers are slower than long ones
    size = max(0 if e.deep is None else e.deep.shape[1] for e in pool)
    deeper = nn.Linear(width, size) if size else nn.Identity()  # tells what is deep; not kept
    optimizer = torch.optim.AdamW([*net.parameters(), *deeper.parameters()], rate, weight_decay=0.05, fused=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, todo, pct_start=0.15)
    long = np.array([len(e.mouth) * e.weight for e in pool])
    n = int(crop * STEPS)
    channel = torch.full((len(CHANNELS),), 0.3)
    channel[:2] = 1.0
    total = 0.0
    for step in range(todo):
        picked = dice.choice(len(pool), batch, p=long / long.sum())
        crops = (_crop(pool[i], n, net, dice, size) for i in picked)
        heard, mouth, seen, deep, known = (torch.from_numpy(np.stack(x)) for x in zip(*crops, strict=True))
        with torch.autocast("cpu", torch.bfloat16, enabled=short):
            hidden = net.hidden(_disguised(heard, dice))
            guess = net.said(hidden).transpose(1, 2)  # (b, n, channels)
            told = deeper(hidden).float().transpose(0, 1) if size else deep
        loss = distance(guess, mouth, seen, channel, energy, matching)
        if size:
            loss = loss + ((told - deep.float()) ** 2)[known].sum() / told.numel()
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        with torch.no_grad():
            torch._foreach_lerp_(late, last, 0.02)
        total += float(loss.detach())
        if report and step % 50 == 49:
            sys.stdout.write(f"{step + 1} of {todo}: {total / 50:.3f}\n")
            sys.stdout.flush()
            total = 0.0
    torch.set_num_threads(threads)
    return mean


def _crop(example: Example, n: int, net: Net, dice: np.random.Generator, size: int) -> tuple[NDArray[Any], ...]:
    """Return n steps from somewhere, silent and unseen beyond the ends.

    Returns:
        (bands + 1, ticks), (n, channels), (n, channels), (n, size), and whether the last is known.
    """
    begin = int(dice.integers(min(0, len(example.mouth) - n), max(1, len(example.mouth) - n + 1)))
    ticks = 2 * np.arange(begin - net.behind, begin + n + net.ahead)[[0, -1]] + [1 - _ENTER, 1]
    heard = cut(example.heard, int(ticks[0]), int(ticks[1]))
    deep = np.zeros((n, size), np.float16) if example.deep is None else cut(example.deep, begin, begin + n)
    known = np.array(example.deep is not None)
    return np.ascontiguousarray(heard.T), cut(example.mouth, begin, begin + n), cut(example.seen, begin, begin + n), deep, known


def cut(rows: NDArray[Any], begin: int, end: int) -> NDArray[Any]:
    """Return rows begin to end, zeros beyond the ends."""
    found = np.zeros((end - begin, rows.shape[1]), rows.dtype)
    low, high = max(begin, 0), min(end, len(rows))
    if low < high:
        found[low - begin : high - begin] = rows[low:high]
    return found


def _disguised(heard: Tensor, dice: np.random.Generator) -> Tensor:
    """Return what is heard with other voices' formants, other microphones, and bits missing; silence stays silence."""
    b, bands, ticks = heard.shape
    source = np.arange(bands - 1) - dice.uniform(-2, 2, (b, 1))
    low = np.clip(np.floor(source).astype(int), 0, bands - 3)
    share = np.where((source < 0) | (source > bands - 2), np.nan, source - low)
    moving = np.zeros((b, bands - 1, bands - 1), np.float32)  # (b, to, from)
    each, to = np.arange(b)[:, None], np.arange(bands - 1)
    moving[each, to, low] = np.nan_to_num(1 - share)
    moving[each, to, low + 1] = np.nan_to_num(share)
    moved = torch.bmm(torch.from_numpy(moving), heard[:, :-1])
    knots = dice.normal(0, 0.07, (b, 6))
    tilt = np.stack([np.interp(np.linspace(0, 5, bands - 1), np.arange(6), own) for own in knots]).astype(np.float32)
    found = torch.cat([moved + torch.from_numpy(tilt)[:, :, None] * (moved > 0), heard[:, -1:]], 1)
    for one in found:
        for _ in range(2):
            band, size = int(dice.integers(0, bands - 1)), int(dice.integers(0, 7))
            one[band : min(band + size, bands - 1)] = 0
            tick, size = int(dice.integers(0, ticks)), int(dice.integers(0, 8))
            one[:, tick : tick + size] = 0
    return (found + 0.03 * torch.randn(found.shape) * (found > 0)).clamp(min=0)


def distance(guess: Tensor, mouth: Tensor, seen: Tensor, channel: Tensor, energy: float, matching: float) -> Tensor:
    """Return how far a guess is from what was seen: in step, in place, in size."""
    known = seen.float()  # (b, n, channels)
    count = known.sum(1).clamp(min=1)
    apart = (functional.smooth_l1_loss(guess, mouth, reduction="none") * known).sum(1) / count
    one = (guess - ((guess * known).sum(1) / count)[:, None]) * known
    two = (mouth - ((mouth * known).sum(1) / count)[:, None]) * known
    moving = (count > 40) & ((two**2).sum(1) / count > 1e-3)
    sizes = ((one**2).sum(1) / count + 1e-4).sqrt(), ((two**2).sum(1) / count + 1e-4).sqrt()
    match = (one * two).sum(1) / count / (sizes[0] * sizes[1])
    alive = (sizes[0] / sizes[1]).log() ** 2
    each = apart + moving * (matching * (1 - match) + energy * alive)  # (b, channels)
    return (each * channel * (count > 1)).mean() / channel.mean()


def usual(net: Net) -> Array:
    """Return the bands of the voice that a network takes every other for, (bands,)."""
    return np.asarray(np.round(net.usual.numpy().astype(np.float64), 4), np.float64)


def at(steps: Array, time: Array) -> Array:
    """Return a guess at moments, seconds."""
    return np.stack([np.interp(time * STEPS, np.arange(len(steps)), channel) for channel in steps.T], 1)


# What ships


_LIVELY = 0.8
TAUGHT = 2.0
"""How often speech that nobody filmed is looked at, beside the clips."""


def calibrated(said: Sequence[Array], seen: Sequence[Array]) -> tuple[Array, Array, Array]:
    """Return what makes guesses as large as what was seen.

    Args:
        said: (frames, channels) guessed for each clip, by networks that did not learn from its speaker.
        seen: (frames, channels) measured.

    Returns:
        (2, channels) factor and shift for every channel; then gaps as guessed (after that), and what shares of the speaker's 95th
        percentile they mean.
    """
    one, two = np.concatenate(said), np.concatenate(seen)
    factor = two.std(0) / np.maximum(one.std(0), 1e-6)
    line = np.stack([factor, two.mean(0) - factor * one.mean(0)])
    # As in `take`: a straight line. Matching quantiles would cost 0.02 of correlation.
    guessed = np.linspace(-3.0, 3.0, 49)
    share = np.clip(0.35 + 0.3 * guessed, 0.0, 1.25)
    # As lively as what was seen, a guess that is half wrong would hurry more: at 0.8 it goes hardly faster. What is shut stays shut.
    share -= (1 - _LIVELY) * (share - 0.35) * np.minimum(share / 0.3, 1.0)
    return line, guessed, share


def write(nets: Sequence[Net], line: Array, gap: tuple[Array, Array], file: Path) -> None:
    """Write networks as ONNX, a block of steps at a time: batch norms folded, the last layer scaled and smoothed.

    A block is always as long, and only as many of its steps count as it is told: so every step is computed by the same operations, however
    many come at once, and gives the same numbers, bit by bit.

    Args:
        nets: their mean tells the mouth.
        line, gap: as `calibrated` returns them.
        file: to write.
    """
    from onnx import TensorProto, checker, helper, numpy_helper, save

    nodes: list[Any] = []
    constants: list[Any] = []
    afters: list[str] = []
    count = 0

    def constant(values: NDArray[Any]) -> str:
        name = f"c{len(constants)}"
        constants.append(numpy_helper.from_array(np.ascontiguousarray(values), name))
        return name

    def node(operator: str, *inputs: str, outputs: int = 1, **ways: Any) -> list[str]:
        nonlocal count
        names = [f"t{count + i}" for i in range(outputs)]
        count += outputs
        nodes.append(helper.make_node(operator, list(inputs), names, **ways))
        return names

    def part(x: str, begin: int, size: int) -> str:
        return node("Slice", x, *(constant(np.array([v])) for v in (begin, begin + size, 2)))[0]

    def keep(x: str, gap: int) -> str:
        held = node("Concat", states.pop(0), x, axis=2)[0]  # (1, width, 2 gap + block)
        end = node("Add", "steps", constant(np.array([2 * gap])))[0]
        afters.append(node("Slice", held, "steps", end, constant(np.array([2])))[0])
        return held

    def joined(parts: Sequence[tuple[Floats, Floats]]) -> list[str]:
        return [constant(np.concatenate(values)) for values in zip(*parts, strict=True)]

    # Side by side, networks cost little more than one: most of a step's time goes to the number of nodes, not to their size.
    width = len(nets) * nets[0].enter.out_channels
    gaps = [*(gap for gap, _ in nets[0].layers), 1]
    states = node("Split", "state", constant(np.array([2 * d for d in gaps])), outputs=len(gaps), axis=2)
    enter = joined([folded(n.enter, n.first) for n in nets])
    x = node("Relu", node("Conv", "heard", *enter, strides=[2])[0])[0]  # (1, width, block)
    for i, (gap_, ahead) in enumerate(nets[0].layers):
        held = keep(x, gap_)
        wide = joined([folded(n.wide[i], n.norm[i]) for n in nets])
        y = node("Relu", node("Conv", held, *wide, dilations=[gap_], group=len(nets))[0])[0]
        point = joined([tuple(p.numpy() for p in n.point[i].state_dict().values()) for n in nets])
        y = node("Conv", y, *point, group=len(nets))[0]
        x = node("Add", part(held, 2 * gap_ - ahead, _BLOCK), y)[0]
    last = [[p.double().numpy() for p in n.leave.state_dict().values()] for n in nets]
    weight = np.concatenate([w / len(nets) for w, _ in last], 1) * line[0][:, None, None] * np.array(_ROUND)  # (channels, width, 3)
    bias = np.mean([b for _, b in last], 0) * line[0] + line[1]
    mouth = node("Conv", keep(x, 1), constant(weight.astype(np.float32)), constant(bias.astype(np.float32)))[0]
    mouth = node("Squeeze", mouth, constant(np.array([0])))[0]
    nodes.append(helper.make_node("Transpose", [mouth], ["mouth"], perm=[1, 0]))
    nodes.append(helper.make_node("Concat", afters, ["after"], axis=2))
    shape = [1, width, 2 * sum(gaps)]
    graph = helper.make_graph(
        nodes, "hear",
        [helper.make_tensor_value_info("heard", TensorProto.FLOAT, [1, BANDS + 1, 2 * (_BLOCK - 1) + _ENTER]),
         helper.make_tensor_value_info("state", TensorProto.FLOAT, shape),
         helper.make_tensor_value_info("steps", TensorProto.INT64, [1])],
        [helper.make_tensor_value_info("mouth", TensorProto.FLOAT, [_BLOCK, len(CHANNELS)]),
         helper.make_tensor_value_info("after", TensorProto.FLOAT, shape)],
        constants,
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8, producer_name="huashen")
    sides = [np.round(side, 4).tolist() for side in gap]
    card = {"ahead": nets[0].ahead, "enter": _ENTER, "channels": CHANNELS, "gap": sides, "usual": usual(nets[0]).tolist()}
    helper.set_model_props(model, {"huashen": json.dumps(card)})
    checker.check_model(model, full_check=True)
    save(model, str(file))


def folded(conv: nn.Module, norm: nn.Module) -> tuple[Floats, Floats]:
    """Return weight and bias of a convolution and the batch norm after it in one."""
    values = {**{f"conv.{k}": v for k, v in conv.state_dict().items()}, **{f"norm.{k}": v for k, v in norm.state_dict().items()}}
    names = ("conv.weight", "conv.bias", "norm.weight", "norm.bias", "norm.running_mean", "norm.running_var")
    weight, bias, scale, shift, mean, variance = (values[name].double() for name in names)
    scale = scale / torch.sqrt(variance + norm.eps)
    return (weight * scale[:, None, None]).float().numpy(), ((bias - mean) * scale + shift).float().numpy()


# How good it is


def folds(takes: Sequence[Take], count: int) -> list[set[str]]:
    """Return the speakers in groups of about the same length."""
    long: dict[str, int] = {}
    for one in takes:
        long[one.speaker] = long.get(one.speaker, 0) + len(one.mouth)
    groups: list[set[str]] = [set() for _ in range(count)]
    for speaker in sorted(long, key=lambda s: -long[s]):
        min(groups, key=lambda group: sum(long[s] for s in group)).add(speaker)
    return groups


@dataclass(frozen=True)
class Score:
    """How well a clip's mouth is told from its sound."""

    name: str
    speaker: str
    late: float
    gap: float
    """Correlation."""
    width: float
    """Correlation."""
    moves: float
    """Standard deviation of the guessed gap beside the measured one."""
    widens: float
    """The same for the width."""
    other: tuple[float, float]
    """Correlations with the sound of another speaker's clip."""


def told(nets: Sequence[Net], taken: Take, heard: Floats) -> tuple[Array, Array]:
    """Return what networks say of a clip's mouth at its frames, and what was measured there."""
    time = taken.watched.time + taken.late
    steps = np.mean([net.tell(heard) for net in nets], 0)
    ok = np.isfinite(taken.mouth[:, 0]) & (time >= 0) & (time < len(steps) / STEPS)
    return at(steps, time[ok]), taken.mouth[ok]


def score(nets: Sequence[Net], taken: Take, heard: Floats, other: Floats) -> Score:
    """Return how well a clip is told from its own sound and from another's."""
    said, seen = told(nets, taken, heard)
    foreign, its = told(nets, taken, other)
    return Score(
        taken.name, taken.speaker, taken.late, correlation(said[:, 0], seen[:, 0]), correlation(said[:, 1], seen[:, 1]),
        float(said[:, 0].std() / seen[:, 0].std()), float(said[:, 1].std() / seen[:, 1].std()),
        (correlation(foreign[:, 0], its[:, 0]), correlation(foreign[:, 1], its[:, 1])),
    )  # fmt: skip


def drawn(clips: Sequence[tuple[Take, Path]]) -> str:
    """Return a line that says how well the mouths that are drawn, gate and all, follow the real ones: the mean over the speakers.

    Args:
        clips: each with the network that is to draw it.
    """
    rows: dict[str, list[list[float]]] = {}
    for taken, file in clips:
        frames = Hear(file=file, life=False).drive([Speech(Audio(taken.watched.sound, RATE))], Fraction(STEPS))
        mouth = np.stack(lips(np.array([frame.weights for frame in frames], np.float64)), 1)
        time = taken.watched.time + taken.late
        ok = np.isfinite(taken.mouth[:, 0]) & (time >= 0) & (time < len(mouth) / STEPS)
        here, seen = at(mouth, time[ok] - 0.5 / STEPS), taken.watched.mouth[ok]  # a frame is drawn for its middle
        own = [correlation(here[:, i], seen[:, i]) for i in range(2)]
        rows.setdefault(taken.speaker, []).append([*own, float(here[:, 0].std() / seen[:, 0].std())])
    gap, width, moves = np.mean([np.mean(own, 0) for own in rows.values()], 0)
    return f"as drawn\tgap {gap:.3f}\twidth {width:.3f}\tgap moves {moves:.2f}\n"


def realign(taken: Take, nets: Sequence[Net], heard: Floats) -> Take:
    """Return a clip moved to where networks that did not learn from its speaker agree with it best."""
    steps = np.mean([net.tell(heard) for net in nets], 0)
    good = np.isfinite(taken.mouth[:, 0])
    seen = taken.mouth[good]
    offsets = np.arange(-0.36, 0.361, 0.01)
    scores = []
    for offset in offsets:
        said = at(steps, taken.watched.time[good] + offset)
        scores.append(np.mean([correlation(said[:, i], seen[:, i]) for i in range(2)]))
    best = int(np.argmax(np.array(scores) - np.abs(offsets) * 0.05))
    return replace(taken, late=float(offsets[best]), trust=float(scores[best]))


def table(scores: Sequence[Score]) -> str:
    """Return a line for every speaker and one for them all, tab-separated."""
    rows = []
    speakers = sorted({s.speaker for s in scores})
    for speaker in speakers:
        own = [s for s in scores if s.speaker == speaker]
        rows.append([float(np.mean([getattr(s, key) for s in own])) for key in ("gap", "width", "moves", "widens")]
                    + [float(np.mean([s.other[i] for s in own])) for i in range(2)])  # fmt: skip
    rows.append(np.mean(rows, 0).tolist())
    head = "speaker\tgap\twidth\tmoves\twidens\tother's gap\tother's width\n"
    lines = zip([*speakers, f"{len(speakers)} speakers"], rows, strict=True)
    return head + "".join(f"{name}\t" + "\t".join(f"{x:.2f}" for x in row) + "\n" for name, row in lines)


def gather(folder: Path, work: Path, people: Sequence[str]) -> list[Take]:
    """Return the clips of a folder, made ready and aligned; those left out are named on standard output.

    Args:
        folder: of videos.
        work: a folder for what was measured.
        people: clips with one of these words, joined by commas, in their names show one person.
    """
    takes = []
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() not in (".mp4", ".mov", ".mkv", ".webm"):
            continue
        try:
            watched = watch(path, work)
        except HuashenError as error:
            sys.stdout.write(f"left out: {error}\n")
            continue
        name = path.stem.lower()
        speaker = next((p.split(",")[0] for p in people if any(word.lower() in name for word in p.split(","))), path.stem)
        made = take(watched, speaker)
        if made is None:
            sys.stdout.write(f"left out: {path.name}, which is silent or shows too seldom a face\n")
        else:
            takes.append(made)
    if len({t.speaker for t in takes}) < 3:
        raise InputError(tr(
            f"{folder}: clips of three speakers at least are needed, there are {len({t.speaker for t in takes})}",
            f"{folder}：至少需要三个说话人的视频，现有 {len({t.speaker for t in takes})} 个",
        ))  # fmt: skip
    return align(takes)


def trusted(takes: Sequence[Take]) -> list[Take]:
    """Return the clips whose sound and picture agree; say which do not."""
    for one in takes:
        verdict = "kept" if one.trust > _LEAST else "left out"
        sys.stdout.write(f"{one.name}\tsound {1000 * one.late:+.0f} ms late\tagreement {one.trust:.2f}\t{verdict}\n")
    return [t for t in takes if t.trust > _LEAST]


@dataclass(frozen=True)
class _Work:
    """One network to be trained."""

    pool: list[Example]
    seconds: float
    seed: int
    layers: Sequence[tuple[int, int]]


def _done(work: _Work) -> Net:
    return train(work.pool, seconds=work.seconds, seed=work.seed, layers=work.layers)


def _all_done(todo: Sequence[_Work], jobs: int) -> Iterator[Net]:
    """Yield the networks in order, a few trained at the same time; how many changes nothing."""
    with ExitStack() as stack:
        run = map if jobs == 1 else stack.enter_context(ProcessPoolExecutor(jobs, get_context("spawn"))).map
        for i, net in enumerate(run(_done, todo)):
            sys.stdout.write(f"network {i + 1} of {len(todo)}\n")
            sys.stdout.flush()
            yield net


def fit(
    takes: Sequence[Take], out: Path, *, count: int = 6, times: float = 60.0, nets: int = 2, jobs: int = 1,
    layers: Sequence[tuple[int, int]] = LAYERS, speech: Path | None = None,
) -> list[Score]:  # fmt: skip
    """Score by leaving groups of speakers out, then train on all and write the network.

    Groups are left out twice: first, a third as long, to say to 10 ms where each clip's sound and picture agree; then to be scored.

    Args:
        takes: the clips, aligned.
        out: the ONNX file.
        count: groups of speakers.
        times: how often the clips are gone through.
        nets: networks whose mean tells the mouth.
        jobs: networks trained at the same time, in processes of their own.
        layers: as `LAYERS`.
        speech: a folder of speech that nobody filmed, of which networks that hear with Whisper's encoder say what the mouth does
            (`huashen.train.whispered.School`); none of them ever learned from the speakers left out.

    Returns:
        The scores of every clip by networks that did not learn from its speaker.
    """
    kept = trusted(takes)
    school = None
    if speech is not None:
        from huashen.train.whispered import School

        school = School(kept, speech)
        times *= 1 + TAUGHT
    heard = {t.name: listen(t.watched.sound) for t in kept}
    groups = folds(kept, count)
    quiet, synthetic = shut(), spoken()
    pools: dict[str, list[Example]] = {}

    def work(group: set[str], times: float, seed: int) -> _Work:
        """Return a network that does not learn from a group of speakers."""
        own = [t for t in kept if t.speaker not in group]
        pool = [e for t in own for e in pools[t.name]]
        if school:
            pool = [*(e for t in own for e in school.deepened(t, pools[t.name])), *school.taught(own, TAUGHT)]
        pool += [*synthetic, *quiet]
        return _Work(pool, times * sum(len(t.watched.sound) / RATE for t in own), seed, layers)

    pools.update({t.name: examples(t) for t in kept})
    found = _all_done([work(group, times / 3, _JUDGE) for group in groups], jobs)
    judges = {speaker: judge for group, judge in zip(groups, found, strict=True) for speaker in group}
    kept = [realign(t, [judges[t.speaker]], heard[t.name]) for t in kept]
    pools.update({t.name: examples(t) for t in kept})
    todo = [work(group, times, seed) for group in [*groups, set()] for seed in range(nets)]
    found = _all_done(todo, jobs)
    scores, said, seen = [], [], []
    judging: list[list[Net]] = []
    for group in groups:
        judging.append(list(islice(found, nets)))
        for one in (t for t in kept if t.speaker in group):
            other = next(t for t in [*kept[kept.index(one) + 1 :], *kept] if t.speaker != one.speaker)
            scores.append(score(judging[-1], one, heard[one.name], heard[other.name]))
            a, b = told(judging[-1], one, heard[one.name])
            said.append(a)
            seen.append(b)
        sys.stdout.write(table([s for s in scores if s.speaker in group]))
        sys.stdout.flush()
    sys.stdout.write(table(scores))
    line, guessed, share = calibrated(said, seen)
    with TemporaryDirectory() as folder:
        for i, own in enumerate(judging):
            write(own, line, (guessed, share), Path(folder) / f"{i}.onnx")
        sys.stdout.write(drawn([(t, Path(folder) / f"{i}.onnx") for i, group in enumerate(groups) for t in kept if t.speaker in group]))
    write(list(found), line, (guessed, share), out)
    return scores
