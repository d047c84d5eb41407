"""Train the networks that read the mouth out of Whisper's encoder (`huashen.audio2face.whispered`) on clips of talking people.

    huashen train audio2face CLIPS --whisper --work FOLDER --speaker obama,edtalk --speaker andrew --speaker feifeili \\
        --folds 3 --times 30 -o src/huashen/audio2face/hear_whisper.npz

The clips, their offsets, the losses and the scores are those of `huashen.train.audio2face`; what is heard is what the encoder's layers
hold, so the weights of Whisper base must be there.
"""

import json
import sys
from collections.abc import Iterator, Sequence
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from huashen import weights
from huashen.audio2face.whisper import Encoder
from huashen.audio2face.whispered import AHEAD, HOP, LAYERS, Windows
from huashen.errors import HuashenError, InputError
from huashen.media import read_audio
from huashen.train import audio2face
from huashen.train.audio2face import FAR, STEPS, Array, Example, Score, Take
from huashen.train.clips import CHANNELS, RATE
from huashen.types import Floats
from huashen.words import tr

SIZE = 512 * len(LAYERS)
_MISSING = 0.5
"""Share of the encoder's channels that a crop does without: there are more of them than there are minutes of people."""


class Net(audio2face.Net):
    """As the network of `hear`, looking as far ahead as back, over the encoder's layers instead of an ear."""

    def __init__(self, size: int = SIZE) -> None:
        super().__init__(layers=FAR)
        self.enter = nn.Linear(size, self.first.num_features)  # type: ignore[assignment]
        self.mean: Tensor
        self.size: Tensor
        self.register_buffer("mean", torch.zeros(size))
        self.register_buffer("size", torch.ones(size))

    def hidden(self, heard: Tensor) -> Tensor:
        """Return what the mouth is told from, (n, b, width), for what the layers hold in the network's measure."""
        x = heard.permute(1, 0, 2)
        if self.training:
            x = x * ((torch.rand(1, *x.shape[1:]) > _MISSING) / (1 - _MISSING)).to(x.dtype)
        return self.through(functional.linear(x, self.enter.weight, self.enter.bias))

    def own(self, heard: Floats) -> Floats:
        """Return what the layers hold in the network's measure, in short numbers."""
        return ((heard - self.mean.numpy()) / self.size.numpy()).astype(np.float16)  # type: ignore[no-any-return]

    def tell(self, heard: Floats) -> Array:
        """Return the mouth for what is heard, (steps, channels)."""
        x = audio2face.cut(self.own(heard).astype(np.float32), -self.behind, len(heard) + self.ahead)
        with torch.no_grad():
            return self(torch.from_numpy(x)[None])[0].T.numpy().astype(np.float64)  # type: ignore[no-any-return]


def listen(encoder: Encoder, sound: Floats, gain: float = 1.0) -> Floats:
    """Return what the encoder's layers hold, (steps, size), short numbers."""
    steps = len(sound) * STEPS // RATE
    silence = np.zeros(round((-(-steps // (HOP * STEPS)) * HOP + AHEAD) * RATE) - len(sound), np.float32)  # what the last window wants
    found = Windows(encoder, RATE).hear(np.concatenate([gain * sound, silence]))
    return np.concatenate(found)[:steps].astype(np.float16)  # type: ignore[return-value]


def train(pool: Sequence[Example], *, seconds: float, seed: int = 0, batch: int = 8, crop: float = 4.0, rate: float = 2e-3) -> Net:
    """Return a network trained on examples; see `huashen.train.audio2face.train`."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.manual_seed(seed)
    dice = np.random.default_rng(seed)
    net = Net(pool[0].heard.shape[1])
    some = np.concatenate([e.heard[::5] for e in pool]).astype(np.float32)
    net.mean.copy_(torch.from_numpy(some.mean(0)))
    net.size.copy_(torch.from_numpy(some.std(0) + 1e-3))
    pool = [replace(e, heard=net.own(e.heard)) for e in pool]
    mean: Net = deepcopy(net).eval()
    late, last = ([v for v in part.state_dict().values() if v.is_floating_point()] for part in (mean, net))
    todo = max(1, int(seconds / (batch * crop)))
    short = torch.backends.cpu.get_cpu_capability() == "AVX512"
    optimizer = torch.optim.AdamW(net.parameters(), rate, weight_decay=0.05, fused=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, todo, pct_start=0.15)
    long = np.array([len(e.mouth) * e.weight for e in pool])
    n = int(crop * STEPS)
    channel = torch.full((len(CHANNELS),), 0.3)
    channel[:2] = 1.0
    for _ in range(todo):
        picked = dice.choice(len(pool), batch, p=long / long.sum())
        crops = [_crop(pool[i], n, net, dice) for i in picked]
        heard, mouth, seen = (torch.from_numpy(np.stack(x)) for x in zip(*crops, strict=True))
        with torch.autocast("cpu", torch.bfloat16, enabled=short):
            guess = net(_disguised(heard.float(), dice)).transpose(1, 2)  # (b, n, channels)
        loss = audio2face.distance(guess, mouth, seen, channel, 0.1, 1.0)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        with torch.no_grad():
            torch._foreach_lerp_(late, last, 0.02)
    torch.set_num_threads(threads)
    return mean


def _crop(example: Example, n: int, net: Net, dice: np.random.Generator) -> tuple[Floats, Floats, Any]:
    begin = int(dice.integers(min(0, len(example.mouth) - n), max(1, len(example.mouth) - n + 1)))
    rows = ((example.heard, begin - net.behind, begin + n + net.ahead), (example.mouth, begin, begin + n), (example.seen, begin, begin + n))
    heard, mouth, seen = (audio2face.cut(*row) for row in rows)
    return heard, mouth, seen


def _disguised(heard: Tensor, dice: np.random.Generator) -> Tensor:
    """Return what the layers hold with noise, and bits missing."""
    found = heard + 0.2 * torch.randn_like(heard)
    for one in found:
        for _ in range(2):
            begin, size = int(dice.integers(0, len(one))), int(dice.integers(0, 8))
            one[begin : begin + size] = 0
    return found


def write(nets: Sequence[Net], line: Array, gap: tuple[Array, Array], usual: Array, file: Path) -> None:
    """Write networks in half precision: batch norms folded, the last layer scaled.

    Args:
        nets: trained on the same examples.
        line, gap: as `huashen.train.audio2face.calibrated` returns them.
        usual: what an ear hears of the usual voice.
        file: to write.
    """
    values: dict[str, Any] = {"mean": nets[0].mean.numpy(), "size": nets[0].size.numpy()}

    def put(name: str, weight: Floats, bias: Floats) -> None:
        values[name], values[f"{name}_bias"] = weight, bias

    for k, net in enumerate(nets):
        size, width = net.enter.weight.shape[::-1]
        enter = nn.Conv1d(size, width, 1)
        enter.load_state_dict({"weight": net.enter.weight[:, :, None], "bias": net.enter.bias})
        weight, bias = audio2face.folded(enter, net.first)
        put(f"{k}.enter", weight[:, :, 0].T, bias)
        for i in range(len(net.layers)):
            weight, bias = audio2face.folded(net.wide[i], net.norm[i])
            put(f"{k}.wide{i}", weight.transpose(2, 1, 0).reshape(-1, len(weight)), bias)
            point = net.point[i].state_dict()
            put(f"{k}.point{i}", point["weight"][:, :, 0].T.numpy(), point["bias"].numpy())
        weight, bias = (v.double().numpy() for v in net.leave.state_dict().values())
        put(f"{k}.leave", (weight[:, :, 0] * line[0][:, None]).T, bias * line[0] + line[1])
    card = {
        "count": len(nets), "layers": nets[0].layers, "channels": CHANNELS, "gap": [np.round(side, 4).tolist() for side in gap],
        "usual": usual.tolist(),
    }  # fmt: skip
    short = {name: np.asarray(v, np.float32 if name in ("mean", "size") else np.float16) for name, v in values.items()}
    with file.open("wb") as stream:
        np.savez(stream, card=np.array(json.dumps(card)), **short)  # type: ignore[arg-type]


class Teachers:
    """Networks that hear with Whisper's encoder, which listens to the clips once, however many learn from which of them.

    Args:
        takes: the clips.

    Raises:
        MissingWeightsError: Whisper's weights are neither here nor can be fetched.
    """

    def __init__(self, takes: Sequence[Take]) -> None:
        self.encoder = Encoder(weights.path("whisper_base"), layers=max(LAYERS))
        dice = np.random.default_rng(0)

        def hear(sound: Floats) -> Floats:
            return listen(self.encoder, sound, 10 ** (dice.uniform(-12, 6) / 20))

        self.heard = {t.name: listen(self.encoder, t.watched.sound) for t in takes}
        """What is heard in each clip as it is."""
        self._quiet = audio2face.shut(hear=hear)
        self._made = {t.name: (t.late, audio2face.examples(t, hear=hear)) for t in takes}

    def examples(self, taken: Take) -> list[Example]:
        """Return a clip as it is and as it would sound elsewhere, the mouth where the clip stands now."""
        late, made = self._made[taken.name]
        if late != taken.late:
            known = iter([e.heard for e in made])
            made = audio2face.examples(taken, hear=lambda sound: next(known))
            self._made[taken.name] = taken.late, made
        return made

    def train(self, takes: Sequence[Take], *, times: float, seed: int) -> Net:
        """Return a network that learned from some clips, gone through so many times."""
        seconds = times * sum(len(t.watched.sound) / RATE for t in takes)
        return train([*(e for t in takes for e in self.examples(t)), *self._quiet], seconds=seconds, seed=seed)


def fit(takes: Sequence[Take], out: Path, *, count: int = 6, times: float = 30.0, nets: int = 2) -> list[Score]:
    """Score by leaving groups of speakers out, then train on all and write the networks; see `huashen.train.audio2face.fit`.

    Args:
        takes: the clips, aligned.
        out: the file.
        count: groups of speakers.
        times: how often the clips are gone through.
        nets: networks whose mean tells the mouth.

    Returns:
        The scores of every clip by networks that did not learn from its speaker.

    Raises:
        MissingWeightsError: Whisper's weights are neither here nor can be fetched.
    """
    kept = audio2face.trusted(takes)
    teachers = Teachers(kept)
    groups = audio2face.folds(kept, count)

    def trained(group: set[str], times: float, seed: int) -> Net:
        return teachers.train([t for t in kept if t.speaker not in group], times=times, seed=seed)

    judges = {speaker: judge for group in groups for judge in [trained(group, times / 3, nets)] for speaker in group}
    kept = [audio2face.realign(t, [judges[t.speaker]], teachers.heard[t.name]) for t in kept]
    scores, said, seen = [], [], []
    for group in groups:
        judging = [trained(group, times, seed) for seed in range(nets)]
        for one in (t for t in kept if t.speaker in group):
            other = next(t for t in [*kept[kept.index(one) + 1 :], *kept] if t.speaker != one.speaker)
            scores.append(audio2face.score(judging, one, teachers.heard[one.name], teachers.heard[other.name]))
            a, b = audio2face.told(judging, one, teachers.heard[one.name])
            said.append(a)
            seen.append(b)
        sys.stdout.write(audio2face.table([s for s in scores if s.speaker in group]))
        sys.stdout.flush()
    sys.stdout.write(audio2face.table(scores))
    line, guessed, share = audio2face.calibrated(said, seen)
    ears = np.concatenate([audio2face.listen(t.watched.sound) for t in kept])
    usual = np.round((ears[:, :-1] * ears[:, -1:]).sum(0) / ears[:, -1].sum(), 4).astype(np.float64)
    write([trained(set(), times, seed) for seed in range(nets)], line, (guessed, share), usual, out)
    return scores


# What the network of `hear` learns from those that hear more


_DEEP = 48
"""Principal components of the encoder's layers that a network is to tell beside the mouth."""
_VOICE = 16.0
"""Minutes of one voice at most."""


def voices(folder: Path) -> Iterator[tuple[str, Floats]]:
    """Yield the name and the sound of every voice: the files of a folder in the folder, joined, at one level, with a pause after each."""
    for place in sorted(p for p in folder.iterdir() if p.is_dir()):
        sound: list[Floats] = []
        long = 0
        for path in sorted(p for p in place.rglob("*") if p.is_file()):
            try:
                own = np.concatenate([piece.samples for piece in read_audio(path, RATE)])
            except HuashenError as error:
                sys.stdout.write(f"left out: {error}\n")
                continue
            sound += [(0.5 / max(float(np.abs(own).max()), 0.01) * own).astype(np.float32), np.zeros(RATE // 5, np.float32)]
            long += len(own)
            if long > _VOICE * 60 * RATE:
                break
        if long > 3 * RATE:
            yield place.name, np.concatenate(sound)


class School:
    """Speech that nobody filmed, and networks that hear with Whisper's encoder, which say what the mouth does to it.

    Args:
        takes: the clips that the networks may learn from.
        folder: of speech, each folder in it of one voice.

    Raises:
        MissingWeightsError: Whisper's weights are neither here nor can be fetched.
        InputError: there is no speech in the folder.
    """

    def __init__(self, takes: Sequence[Take], folder: Path) -> None:
        self._teachers = Teachers(takes)
        self._known: dict[tuple[str, ...], list[Example]] = {}
        self._voices: list[tuple[Floats, list[tuple[Floats, float]]]] = []  # layers; what an ear hears, and how much faster
        for name, sound in voices(folder):
            dice = np.random.default_rng([0, *name.encode()])
            other = audio2face.disguises[int(dice.integers(3))](sound, dice)
            speed = float(dice.uniform(0.85, 0.93) if dice.random() < 0.5 else dice.uniform(1.08, 1.18))
            sounds = ((sound, 1.0), (other, 1.0), (audio2face.faster(sound, speed), speed))
            self._voices.append((listen(self._teachers.encoder, sound), [(audio2face.listen(s), v) for s, v in sounds]))
        if not self._voices:
            raise InputError(tr(f"{folder}: no folder of speech in it", f"{folder}：其中没有语音文件夹"))
        some = np.concatenate([layers[::7] for layers, _ in self._voices]).astype(np.float32)
        self._mean, self._size = some.mean(0), some.std(0) + 1e-3
        some = (some - self._mean) / self._size
        values, vectors = np.linalg.eigh(some.T @ some / len(some))
        self._basis = (vectors[:, -_DEEP:] / np.sqrt(values[-_DEEP:].mean())).astype(np.float32)

    def deepened(self, taken: Take, made: Sequence[Example]) -> list[Example]:
        """Return examples made of a clip, with what the encoder makes of the clip as it is."""
        deep = self._deep(self._teachers.heard[taken.name])
        return [replace(e, deep=_stretched(deep, len(e.mouth)).astype(np.float16)) for e in made]

    def taught(self, takes: Sequence[Take], share: float) -> list[Example]:
        """Return the speech with the mouth that a network says it has which learned from some clips.

        Args:
            takes: the clips.
            share: how often the speech is looked at, beside the clips.
        """
        key = tuple(f"{t.name} {t.late}" for t in takes)
        if key not in self._known:
            teacher = self._teachers.train(takes, times=30.0, seed=7)
            found = []
            for layers, heard in self._voices:
                mouth, deep = teacher.tell(layers), self._deep(layers)
                for ticks, speed in heard:
                    n = int(len(mouth) / speed)
                    own = _stretched(mouth, n).astype(np.float32)
                    found.append(Example(ticks, own, np.ones(own.shape, bool), deep=_stretched(deep, n).astype(np.float16)))
            clips = sum(len(e.mouth) for t in takes for e in self._teachers.examples(t))
            weight = share * clips / sum(len(e.mouth) for e in found)
            self._known[key] = [replace(e, weight=weight) for e in found]
        return self._known[key]

    def _deep(self, layers: Floats) -> Floats:
        return np.asarray((layers - self._mean) / self._size @ self._basis, np.float32)


def _stretched(rows: NDArray[np.floating], n: int) -> Array:
    """Return n rows in place of as many as there are."""
    steps = np.arange(n) * len(rows) / n
    return np.stack([np.interp(steps, np.arange(len(rows)), column) for column in rows.T], 1)
