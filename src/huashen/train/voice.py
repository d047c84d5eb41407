"""Train the little network that tells voices from everything else (`huashen.audio2face.voice`).

    python -m huashen.train.voice --speech FOLDER --other FOLDER -o src/huashen/audio2face/voice.npz

Speech is sound files in which one person speaks; other is music, instruments, noises. Scenes of ten seconds are made of them: speech alone,
with noise and music behind it, by telephone, clipped, in a room; and music, noise, hum, claps, drums and silence without any. A moment is
to be called a voice if somebody speaks about then, short pauses included.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from huashen.audio2face.ear import TICKS, Ear
from huashen.audio2face.voice import BANDS, LATES
from huashen.errors import NoSpeechError, UnreadableError
from huashen.media import read_audio
from huashen.types import Floats

RATE = 16000
SECONDS = 10
STEPS = TICKS // 2
"""Steps of the network a second."""
_ENTER, _HIDDEN = 24, 48
_CUT = 250  # steps of a scene that are gone through at once
_BEFORE, _AFTER = 6, 25
"""Steps that a voice counts before and after it is loud."""
_LIVE = 0.45  # s of a file's beginning or end that may be silent within speech


class Net(nn.Module):
    """Says how surely a voice is heard, of the moments `LATES` steps before each."""

    def __init__(self) -> None:
        super().__init__()
        self.enter = nn.Linear(2 * (BANDS + 1), _ENTER)
        self.remember = nn.GRU(_ENTER, _HIDDEN, batch_first=True)
        self.leave = nn.Linear(_HIDDEN, len(LATES))

    def forward(self, heard: Tensor) -> Tensor:
        """Return logits (b, n, lates) for what is heard, (b, n, 2 · (BANDS + 1))."""
        states, _ = self.remember(functional.relu(self.enter(heard)))
        return self.leave(states)  # type: ignore[no-any-return]


def gather(folders: Sequence[Path], dice: np.random.Generator, *, seconds: float = 40.0) -> list[Floats]:
    """Return what the sound files of folders hold, of long ones a part."""
    found = []
    for file in sorted(file for folder in folders for file in folder.rglob("*") if file.is_file()):
        try:
            sound = np.concatenate([piece.samples for piece in read_audio(file, rate=RATE)])
        except (UnreadableError, NoSpeechError):
            continue
        size = int(seconds * RATE)
        begin = int(dice.integers(0, max(1, len(sound) - size)))
        sound = sound[begin : begin + size]
        if np.abs(sound).max(initial=0) > 0.003:
            found.append((0.3 * sound / np.sqrt(np.mean(sound[np.abs(sound) > 1e-4] ** 2)).clip(1e-3)).astype(np.float32) * np.float32(0.3))
    return found


def scene(speech: Sequence[Floats], other: Sequence[Floats], dice: np.random.Generator) -> tuple[Floats, Floats, NDArray[np.bool_]]:
    """Return ten seconds of sound, and for every step whether a voice is heard and whether that is sure."""
    n = SECONDS * RATE
    voice, noise = np.zeros(n, np.float32), np.zeros(n, np.float32)
    kind = dice.random()
    if kind < 0.55:
        at = int(float(dice.choice([0.0, 0.0, dice.uniform(0, 1), dice.uniform(1, 6)])) * RATE)  # often in the middle of a word
        end = n if dice.random() < 0.6 else int(dice.uniform(4, 10) * RATE)
        gain = dice.uniform(0.4, 1.5)
        while at < end:
            piece = _varied(_part(speech[int(dice.integers(len(speech)))], int(dice.uniform(1, 8) * RATE), dice), dice)[: end - at]
            voice[at : at + len(piece)] += gain * piece
            at += len(piece) + int(dice.choice([0.0, 0.15, 0.4, 1.5]) * RATE * dice.uniform(0.5, 1.5))
    loud = _loud(voice)
    if kind > 0.5 or dice.random() < 0.35:
        back = np.zeros(n, np.float32)
        at = 0 if dice.random() < 0.6 else int(dice.uniform(0, 3) * RATE)
        while at < n:
            size = int(dice.uniform(2, 10) * RATE)
            piece = made(dice, size) if dice.random() < 0.4 else _varied(_part(other[int(dice.integers(len(other)))], size, dice), dice)
            back[at : at + len(piece)] += piece[: n - at]
            at += len(piece) + (int(dice.uniform(0, 2) * RATE) if dice.random() < 0.4 else 0)
        noise += back * (1.0 if kind > 0.55 else 10 ** (-dice.uniform(6, 25) / 20))
    sound = voice + noise
    if dice.random() < 0.4:
        sound = _room(sound, dice)
    if dice.random() < 0.3:  # a telephone or a poor microphone
        spectrum = np.fft.rfft(sound)
        hz = np.fft.rfftfreq(n, 1 / RATE)
        low, high = dice.uniform(50, 350), dice.choice([3400, 4000, 5500, 7000])
        sound = np.fft.irfft(spectrum / (1 + (low / np.maximum(hz, 1)) ** 4) / (1 + (hz / high) ** 16), n)
    if dice.random() < 0.15:
        top = np.percentile(np.abs(sound), 99.9) * dice.uniform(0.15, 0.7)
        sound = np.clip(sound, -top, top)
    sound = sound * 10 ** (dice.uniform(-30, 6) / 20) + 10 ** (-dice.uniform(55, 95) / 20) * dice.standard_normal(n)
    near, sure = _spread(loud, _BEFORE, _AFTER), np.ones(len(loud), bool)
    sure[_spread(loud, _BEFORE + 8, _AFTER + 40) & ~near] = False  # who has stopped or is about to begin may be held for speaking
    return sound.astype(np.float32), near.astype(np.float32), sure


def _loud(voice: Floats) -> NDArray[np.bool_]:
    """Return for every step whether the voice is no more than 35 dB below its loudest."""
    size = RATE // STEPS
    power = (voice[: len(voice) // size * size].reshape(-1, size) ** 2).mean(1)
    return np.asarray(power > max(float(np.percentile(power, 98)) * 10**-3.5, 1e-9))


def _spread(loud: NDArray[np.bool_], before: int, after: int) -> NDArray[np.bool_]:
    held = np.convolve(loud, np.ones(before + after + 1))
    return np.asarray(held[before : before + len(loud)] > 0.5)


def _part(sound: Floats, size: int, dice: np.random.Generator) -> Floats:
    begin = int(dice.integers(0, max(1, len(sound) - size)))
    return sound[begin : begin + size]


def _varied(sound: Floats, dice: np.random.Generator) -> Floats:
    """Return a sound a little faster and higher, or slower and lower."""
    speed = dice.uniform(0.8, 1.25)
    return np.asarray(np.interp(np.arange(0, len(sound) - 1, speed), np.arange(len(sound)), sound), np.float32)


def _room(sound: Floats, dice: np.random.Generator) -> Floats:
    size = RATE // 2
    echo = dice.standard_normal(size) * np.exp(-np.arange(size) / RATE / dice.uniform(0.02, 0.2)) * dice.uniform(0.01, 0.06)
    echo[0] = 1.0
    whole = len(sound) + size
    return np.asarray(np.fft.irfft(np.fft.rfft(sound, whole) * np.fft.rfft(echo, whole), whole)[: len(sound)], np.float32)


def made(dice: np.random.Generator, n: int) -> Floats:
    """Return a sound that is no voice: noise, a hum, tones, claps, clicks, sirens, plucked and bowed notes of no instrument."""
    t = np.arange(n) / RATE
    kind = int(dice.integers(0, 8))
    if kind == 0:
        spectrum = np.fft.rfft(dice.standard_normal(n)) * np.arange(1, n // 2 + 2) ** -dice.uniform(0, 0.8)
        sound = np.fft.irfft(spectrum, n) * (1 + dice.uniform(0, 0.8) * np.sin(2 * np.pi * dice.uniform(0.1, 6) * t))
    elif kind == 1:
        hz = dice.choice([50, 60, 100, 120, dice.uniform(40, 400)])
        sound = sum(
            dice.uniform(0, 1) / k * np.sin(2 * np.pi * k * hz * t + dice.uniform(0, 6)) for k in range(1, int(dice.integers(2, 25)))
        )
    elif kind == 2:  # claps, knocks
        sound = np.zeros(n)
        at, gap = 0.0, dice.uniform(0.15, 0.7)
        while at < n / RATE:
            i, size = int(at * RATE), RATE // 4
            burst = dice.standard_normal(size) * np.exp(-np.arange(size) / RATE / dice.uniform(0.004, 0.04))
            burst = np.convolve(burst, np.hanning(int(dice.choice([3, 8, 20]))), "same") * dice.uniform(0.4, 1)
            sound[i : i + size] += burst[: n - i]
            at += gap * dice.uniform(0.7, 1.3) if dice.random() < 0.5 else gap
    elif kind == 3:  # siren, chirps
        hz = dice.uniform(300, 1500) * (1 + dice.uniform(0.1, 0.5) * np.sin(2 * np.pi * dice.uniform(0.2, 3) * t))
        sound = np.sin(2 * np.pi * np.cumsum(hz) / RATE)
    else:  # notes
        sound = np.zeros(n)
        partials, fall = int(dice.integers(1, 18)), dice.uniform(0.3, 2.5)
        length, decay = dice.uniform(0.12, 0.9), dice.choice([0.0, 2.0, 5.0, 12.0])
        root, vibrato = dice.uniform(90, 600), dice.choice([0, 0, 0.005, 0.015])
        for begin in np.arange(0, n / RATE, length):
            for _ in range(int(dice.choice([1, 1, 1, 3, 4]))):
                hz = root * 2 ** (dice.integers(-7, 13) / 12)
                i, size = int(begin * RATE), int(length * dice.uniform(0.5, 1.05) * RATE)
                s = np.arange(min(size, n - i)) / RATE
                phase = 2 * np.pi * hz * s + hz * vibrato / 5.5 * np.sin(2 * np.pi * 5.5 * s)
                tone = sum(np.sin(k * phase) / k**fall for k in range(1, partials + 1) if k * hz < RATE / 2)
                edge = np.minimum(1, np.minimum(s, s[-1:] - s) / dice.choice([0.003, 0.02, 0.08])) if len(s) else s
                sound[i : i + len(s)] += np.asarray(tone) * edge * np.exp(-decay * s)
    sound = np.asarray(sound)
    return np.asarray(0.09 * sound / max(float(np.sqrt(np.mean(sound**2))), 1e-6), np.float32)


def heard(sound: Floats) -> Floats:
    """Return what the network hears of a sound, (steps, 2 · (BANDS + 1))."""
    ticks = np.array([np.zeros(BANDS + 1), *Ear(RATE, bands=BANDS).hear(sound)], np.float32)  # a step ends with an even tick, from 0
    return ticks[: len(ticks) // 2 * 2].reshape(-1, 2 * (BANDS + 1))


def _disguised(heard: Tensor, dice: np.random.Generator) -> Tensor:
    """Return what is heard, (b, n, 2 · (BANDS + 1)), with other voices' formants and other microphones; silence stays silence."""
    b, n = heard.shape[:2]
    bands = heard.view(b, n, 2, BANDS + 1)
    source = np.clip(np.arange(BANDS) - dice.uniform(-2, 2, (b, 1)), 0, BANDS - 1.001)
    low = torch.from_numpy(source.astype(np.int64))[:, None, None].expand(b, n, 2, BANDS)
    share = torch.from_numpy((source % 1).astype(np.float32))[:, None, None]
    moved = bands.gather(3, low) * (1 - share) + bands.gather(3, low + 1) * share
    bends = dice.normal(0, 0.08, (b, 6))
    tilt = np.stack([np.interp(np.linspace(0, 5, BANDS), np.arange(6), bend) for bend in bends]).astype(np.float32)
    moved = (moved + torch.from_numpy(tilt)[:, None, None] * (moved > 0)).clamp(0, 1.2)
    return torch.cat([moved, bands[..., -1:]], 3).flatten(2)


def fit(scenes: Sequence[tuple[Floats, Floats, NDArray[np.bool_]]], *, passes: int = 60, seed: int = 0, begin: Path | None = None) -> Net:
    """Train a network on scenes as (heard, voice, sure), or one that was trained before further."""
    torch.manual_seed(seed)
    dice = np.random.default_rng(seed)
    size = min(len(one[0]) for one in scenes)
    x = torch.from_numpy(np.stack([one[0][:size] for one in scenes]))
    y = torch.from_numpy(np.stack([one[1][:size] for one in scenes]))
    known = torch.from_numpy(np.stack([one[2][:size] for one in scenes])).float()
    net = Net()
    if begin is not None:
        with np.load(begin) as stored:
            net.load_state_dict({name: torch.from_numpy(stored[name.replace(".", "_")].astype(np.float32)) for name in net.state_dict()})
    batch = 100
    steps = passes * (len(x) // batch)
    optimiser = torch.optim.AdamW(net.parameters(), lr=5e-3, weight_decay=1e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 5e-3, total_steps=steps)
    for k in range(passes):
        order = dice.permutation(len(x))[: len(x) // batch * batch].reshape(-1, batch)
        total = 0.0
        for rows in order:
            first = int(dice.integers(0, size - _CUT + 1))
            cut = (rows, slice(first, first + _CUT))
            mine, theirs, sure = x[cut], y[cut], known[cut]
            if dice.random() < 0.6:  # one scene breaks off and another begins: speech after music, music after speech
                at, other = int(dice.integers(_CUT // 5, 4 * _CUT // 5)), torch.from_numpy(dice.permutation(batch))
                mine, theirs, sure = (torch.cat([one[:, :at], one[other, at:]], 1) for one in (mine, theirs, sure))
            quiet = torch.zeros(batch, STEPS, x.shape[2])  # a second of nothing before, as every stream begins
            said = net(torch.cat([quiet, _disguised(mine, dice)], 1))[:, STEPS:]
            loss = torch.zeros(())
            for i, late in enumerate(LATES):
                wrong = functional.binary_cross_entropy_with_logits(said[:, late:, i], theirs[:, :-late], reduction="none")
                loss = loss + (wrong * sure[:, :-late]).mean() / len(LATES)
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(net.parameters(), 1.0)
            optimiser.step()
            schedule.step()
            total += float(loss.detach())
        _say(f"pass {k + 1} of {passes}: loss {total / len(order):.4f}")
    return net


def write(net: Net, file: Path) -> None:
    """Write a network as arrays."""
    stored = {name.replace(".", "_"): value.detach().numpy().astype(np.float16) for name, value in net.state_dict().items()}
    np.savez_compressed(file, **stored)  # type: ignore[arg-type]


def _say(words: str) -> None:
    sys.stderr.write(f"{words}\n")


def main() -> None:
    """Train and write it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--speech", type=Path, nargs="+", required=True, help="folders of files in which somebody speaks")
    parser.add_argument("--other", type=Path, nargs="+", required=True, help="folders of music, instruments and noises")
    parser.add_argument("--scenes", type=int, default=1200)
    parser.add_argument("--passes", type=int, default=60)
    parser.add_argument("--begin", type=Path, help="a network that was trained before")
    parser.add_argument("-o", "--out", type=Path, required=True)
    given = parser.parse_args()
    dice = np.random.default_rng(1)
    speech, other = gather(given.speech, dice), gather(given.other, dice)
    _say(f"{sum(map(len, speech)) / RATE / 60:.0f} minutes of speech, {sum(map(len, other)) / RATE / 60:.0f} of other sounds")
    scenes = []
    for k in range(given.scenes):
        if k % 100 == 0:
            _say(f"{k} scenes of {given.scenes}")
        sound, voice, sure = scene(speech, other, dice)
        scenes.append((heard(sound), voice, sure))
    write(fit(scenes, passes=given.passes, begin=given.begin), given.out)


if __name__ == "__main__":
    main()
