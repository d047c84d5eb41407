"""Train the reranker of document search (`huashen.chat.rerank`): does this passage answer this question?

    Q=tests/questions
    python -m huashen.train.reranker $Q/{train,more,documents,siblings,worded} -o src/huashen/chat/reranker.npz --device cuda --questions 64
    python -m huashen.train.reranker $Q/train $Q/more --english all-MiniLM-L6-v2/ -o src/huashen/chat/english.npz

It begins as multilingual-e5-small, whose layers learn to read a question and a passage in one go (cross-encoder; Nogueira & Cho
2019, arXiv:1901.04085). Each question is shown with the passage that answers it and with passages of the same business that are near to
it, and has to find it, and to say that none answers once it is taken out; where none answers, with near ones only. What it learned is
written as the difference to E5, in steps of which most numbers are a few (see `packed`). A run that was stopped goes on where it was.
"""

import argparse
import copy
import itertools
import random
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from huashen import weights
from huashen.chat import meaning, minilm
from huashen.chat.documents import Passage
from huashen.chat.encoder import Encoder, Floats
from huashen.chat.minilm import MiniLM
from huashen.chat.rerank import Reranker
from huashen.errors import HuashenError, InputError, MissingWeightsError
from huashen.files import replacing
from huashen.words import tr

EPOCHS = 2
QUESTIONS = 16
"""Questions of a step."""
PASSAGES = 4
"""Passages a question is shown with."""
NEAREST = 10
"""Of how many near ones those that do not answer are drawn; the nearest is always there."""
RATE = 6e-5
END = 5
"""What the end learns faster than the layers."""
WARM = 0.08
"""Share of the steps in which the rate rises."""
WITHOUT = 0.5
"""What counts that a question with an answer has none once that is taken out, beside that it has one with it."""
PARTS = 5
"""A question's prior is told by what was fitted to the other parts of the businesses."""
DROPOUT = 0.1
"""Of what a layer adds, while it learns."""
_GROUPS = 6
"""Pairs of like length that go through the network together; on a GPU, which minds starting more than filling up, a third as many."""
_TEXTS = 64
"""Texts of like length that go through the network together."""
_KEEP = 100
"""Steps between two notes of where it is."""
STEP = 0.5
"""What differences are rounded to, in standard deviations of those of an output."""
FARTHEST = 7
"""The largest rounded difference."""


@dataclass
class Business:
    """Passages and questions of one made-up business."""

    name: str
    passages: list[Passage]
    questions: list[tuple[str, frozenset[int]]]
    """With the numbers of the passages that answer; none: it has no answer."""


def businesses(paths: Sequence[Path]) -> list[Business]:
    """Read businesses from files of lines: = business, # heading, a passage, ? question about it, ! question that nothing answers.

    Raises:
        InputError: a file cannot be read, or holds something before its first business.
    """
    found: list[Business] = []
    for path in paths:
        heading = ""
        try:
            lines = path.read_text("utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(tr(f"{path} cannot be read: {error}", f"无法读取 {path}：{error}")) from error
        for number, line in enumerate(lines, 1):
            kind, rest = line[:2], line[2:]
            if kind == "= ":
                found.append(Business(f"{path.stem}-{rest}", [], []))
                heading = ""
            elif not line.strip():
                continue
            elif not found or (kind == "? " and not found[-1].passages):
                raise InputError(tr(
                    f"{path}, line {number}: no business or passage above it", f"{path} 第 {number} 行：上面没有商家或段落",
                ))  # fmt: skip
            elif kind == "# ":
                heading = rest
            elif kind == "? ":
                found[-1].questions.append((rest, frozenset([len(found[-1].passages) - 1])))
            elif kind == "! ":
                found[-1].questions.append((rest, frozenset()))
            else:
                found[-1].passages.append(Passage("guide.md", heading, heading, "", line))
    return found


class Layer(nn.Module):
    """A layer of the network, from its matrices as `E5` holds them."""

    def __init__(self, values: Sequence[Floats], heads: int, epsilon: float) -> None:
        super().__init__()
        self.values = nn.ParameterList(nn.Parameter(torch.tensor(np.array(value.T, order="C"))) for value in values)
        self._heads, self._epsilon = heads, epsilon

    def forward(self, x: Tensor, away: Tensor) -> Tensor:
        """Return the states after this layer, (pairs, tokens, width)."""
        qkv, qkv_b, out, out_b, ln, ln_b, wide, wide_b, back, back_b, last, last_b = self.values
        b, t, n = x.shape
        q, k, v = functional.linear(x, qkv, qkv_b).view(b, t, 3, self._heads, n // self._heads).permute(2, 0, 3, 1, 4)
        if x.is_cuda:
            mixed = functional.scaled_dot_product_attention(q, k, v, away.to(q.dtype))
        else:  # the same; the function takes twice as long on a CPU when it has to learn
            mixed = torch.softmax(q @ k.transpose(2, 3) * (n // self._heads) ** -0.5 + away, -1).to(v.dtype) @ v
        found = functional.linear(mixed.transpose(1, 2).reshape(b, t, n), out, out_b)
        x = functional.layer_norm(x + functional.dropout(found, DROPOUT, self.training), (n,), ln, ln_b, self._epsilon)
        more = functional.gelu(functional.linear(x, wide, wide_b), approximate="tanh")
        made = functional.dropout(functional.linear(more, back, back_b), DROPOUT, self.training)
        return functional.layer_norm(x + made, (n,), last, last_b, self._epsilon)


class Net(nn.Module):
    """The network: pairs of a question and a passage to how well the second answers the first; 0: as likely as that nothing does."""

    def __init__(self, base: Encoder, device: str = "cpu") -> None:
        super().__init__()
        self.base = base
        self.device = torch.device(device)
        self.layers = nn.ModuleList(Layer(values, base.heads, base.epsilon) for values in base.stack)
        fast = device != "cpu" or any(torch.cpu.get_capabilities().get(name) for name in ("avx512_bf16", "amx_bf16"))
        self.precision = torch.bfloat16 if fast else torch.float32
        """What the layers compute in; the difference between the two is far below that of rounding what was learned."""
        rows = torch.tensor(base.rows(np.arange(base.words)).astype(np.float16))
        place, (weight, bias) = torch.tensor(base.place), map(torch.tensor, base.first)
        self.words, self.place, self.norm, self.norm_b = (nn.Buffer(value, persistent=False) for value in (rows, place, weight, bias))
        self.final = nn.Linear(2 * base.width, base.width)
        self.end = nn.Linear(base.width, 1)
        self.to(self.device).eval()

    def states(self, texts: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor]:
        """Return the last layer's states of texts, (texts, tokens of the longest, width), and which tokens are there (1)."""
        ids, there = np.zeros((len(texts), max(map(len, texts))), np.int64), np.zeros((len(texts), max(map(len, texts))), np.float32)
        for row, text in enumerate(texts):
            ids[row, : len(text)], there[row, : len(text)] = text, 1
        mask = torch.tensor(there, device=self.device)
        away = ((mask - 1) * 1e9)[:, None, None].to(self.precision)
        x = self.words[torch.tensor(ids, device=self.device)].float() + self.place[: ids.shape[1]]
        x = functional.layer_norm(x, x.shape[-1:], self.norm, self.norm_b, self.base.epsilon)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == torch.bfloat16):
            x = x.to(self.precision)
            for layer in self.layers:
                x = layer(x, away)
        return x.float(), mask

    def forward(self, pairs: Sequence[Sequence[int]]) -> Tensor:
        """Return a number for each pair."""
        x, mask = self.states(pairs)
        made: Tensor = self.end(torch.tanh(self.final(torch.cat([x[:, 0], _mean(x, mask)], -1))))[:, 0]
        return made


def _mean(states: Tensor, there: Tensor) -> Tensor:
    return (states * there[..., None]).sum(1) / there.sum(1, keepdim=True)


def vectors(net: Net, texts: Sequence[Sequence[int]]) -> Tensor:
    """Return what the network makes of whole texts, (texts, width), each of length 1."""
    order = sorted(range(len(texts)), key=lambda k: len(texts[k]))  # equal lengths together
    made = torch.empty(len(texts), net.base.width)
    with torch.no_grad():
        for start in range(0, len(order), _TEXTS):
            some = order[start : start + _TEXTS]
            made[some] = functional.normalize(_mean(*net.states([texts[k] for k in some])), dim=-1).cpu()
    return made


class Read:
    """A business as the network reads it."""

    def __init__(self, business: Business, net: Net) -> None:
        base = net.base
        self.pair: Callable[[Sequence[int], Sequence[int]], list[int]] = base.pair
        """Makes one text of a question's and a passage's tokens."""
        asked = [base.asked + question for question, _ in business.questions]
        told = [base.told + meaning.spelled(passage) for passage in business.passages]
        self.asked, self.told = [base.tokens(text) for text in asked], [base.tokens(text) for text in told]
        self.nearest = (vectors(net, self.asked) @ vectors(net, self.told).T).argsort(dim=1, descending=True, stable=True).tolist()
        self.right = [sorted(answers) for _, answers in business.questions]
        self.prior = [0.0] * len(self.right)
        """What the question alone says of whether it has an answer here (see `priors`)."""

    def shown(self, row: int, chance: random.Random, passages: int = PASSAGES) -> list[list[int]]:
        """Return the pairs of a question: first that which answers, where one does, then others."""
        right = self.right[row][:1]
        others = [number for number in self.nearest[row] if number not in self.right[row]][:NEAREST]
        drawn = others[:1] + chance.sample(others[1:], min(len(others[1:]), passages - 1 - len(right)))
        return [self.pair(self.asked[row], self.told[number]) for number in right + drawn]


def priors(reads: Sequence[Read], *, rounds: int = 12) -> list[list[float]]:
    """Return for each business and question the logit that it has an answer, told by its words alone.

    Who writes down questions that nothing answers asks in other words than who asks about a passage, and a network that may learn this
    reads no passages (annotation artifacts; Gururangan et al. 2018, arXiv:1803.02324). So what the question alone tells is taken out:
    the network learns what is to be added to it (Clark, Yatskar & Zettlemoyer 2019, arXiv:1909.03683). Told by a logistic regression over
    tokens and pairs of them, and how many they are, fitted to the other businesses.
    """
    size, longest = 1 << 16, 40
    bags = [[torch.tensor([(31 * a + 7919 * b) % size for a, b in [*((a, 0) for a in asked), *itertools.pairwise(asked)]])
             for asked in read.asked] for read in reads]  # fmt: skip
    told: list[list[float]] = [[] for _ in reads]
    for part in range(PARTS):
        rows = [(bag, (1 - WITHOUT) * bool(right)) for k, read in enumerate(reads) if k % PARTS != part
                for bag, right in zip(bags[k], read.right, strict=True)]  # fmt: skip
        net, long = nn.EmbeddingBag(size, 1, mode="mean"), nn.Parameter(torch.zeros(longest))
        nn.init.zeros_(net.weight)
        optimiser = torch.optim.Adam([*net.parameters(), long], lr=0.05)

        def logits(some: Sequence[Tensor], net: nn.EmbeddingBag = net, long: Tensor = long) -> Tensor:
            lengths = torch.tensor([len(bag) for bag in some])
            starts = functional.pad(lengths, (1, 0)).cumsum(0)[:-1]
            made: Tensor = net(torch.cat(list(some)), starts)[:, 0] + long[(lengths // 2).clamp(max=longest - 1)]
            return made

        for number in range(rounds * -(-len(rows) // 512)):
            some = random.Random(f"{part} {number}").sample(rows, min(512, len(rows)))
            loss = functional.binary_cross_entropy_with_logits(logits([bag for bag, _ in some]), torch.tensor([y for _, y in some]))
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
        with torch.no_grad():
            for k in range(part, len(reads), PARTS):
                told[k] = logits(bags[k]).clamp(-4, 4).tolist()
    return told


def missed(scores: Sequence[Tensor], answered: Sequence[bool], prior: Sequence[float]) -> Tensor:
    """Return the loss of questions: how unlikely each finds what is right, with the passage that answers and, by `WITHOUT`, without it.

    Args:
        scores: of each one's passages, (passages,).
        answered: whether the first of them answers; none does otherwise.
        prior: what the question alone says of whether there is an answer (see `priors`).

    Returns:
        (questions,).
    """
    told = nn.utils.rnn.pad_sequence(list(scores), batch_first=True, padding_value=-torch.inf) + scores[0].new_tensor(prior)[:, None]
    said = functional.pad(told, (1, 0))  # none first, then those that are shown
    known = torch.tensor(answered, device=said.device)
    gone = torch.zeros_like(said, dtype=torch.bool)
    gone[:, 1] = known
    without = torch.logsumexp(said.masked_fill(gone, -torch.inf), 1)
    found = torch.logsumexp(said, 1) - torch.where(known, said[:, 1], 0)
    return torch.where(known, (1 - WITHOUT) * found + WITHOUT * without, without)


class Scorer(Protocol):
    """A network that reads pairs."""

    device: torch.device

    def __call__(self, pairs: Sequence[Sequence[int]]) -> Tensor:
        """Return a number for each pair."""


def score(net: Scorer, pairs: Sequence[Sequence[int]]) -> Tensor:
    """Return what the network says of each pair; pairs of like length go through it together."""
    order = np.array(sorted(range(len(pairs)), key=lambda k: len(pairs[k])))
    groups = np.array_split(order, _GROUPS if net.device.type == "cpu" else _GROUPS // 3)
    made = torch.cat([net([pairs[k] for k in group]) for group in groups if len(group)])
    return made[torch.tensor(np.argsort(order), device=net.device)]


def begun(base: Encoder, start: Path | None = None, device: str = "cpu") -> Net:
    """Return the network as E5 is, or as it was written before.

    Raises:
        UnreadableError: what was written does not belong to `base`, or is broken.
    """
    net = Net(base, device)
    if start is not None:
        before = Reranker(base, start)
        with torch.no_grad():
            for layer, values in zip(net.layers, before.stack, strict=True):
                for value, was in zip(layer.values, values, strict=True):  # type: ignore[call-overload, arg-type]
                    value.copy_(torch.tensor(was.T.copy()))
            for part, (weight, bias) in ((net.final, before.final), (net.end, before.end)):
                part.weight.copy_(torch.tensor(weight.T.copy()))
                part.bias.copy_(torch.tensor(bias))
    return net


def trained(
    reads: Sequence[Read], base: Encoder, kept: Path, *, start: Path | None = None, epochs: int = EPOCHS, rate: float = RATE,
    most: int | None = None, each: int = QUESTIONS, passages: int = PASSAGES, device: str = "cpu", seed: int = 0,
) -> Net:  # fmt: skip
    """Train on all questions.

    Args:
        reads: the businesses.
        base: what it begins as, and is written as a difference to.
        kept: holds where it is, and is gone on from when it is there; whoever has the result may remove it.
        start: what was trained before.
        epochs: rounds over the questions.
        rate: the highest learning rate of the layers; that of the end is five times as high.
        most: steps after which it ends if it has not before; the rate falls accordingly.
        each: questions of a step.
        passages: what a question is shown with.
        device: where, as torch names it.
        seed: of what is drawn.
    """
    torch.manual_seed(seed)
    for read, prior in zip(reads, priors(reads), strict=True):
        read.prior = prior
    net = begun(base, start, device)
    net.train()
    questions = [(k, row) for k, read in enumerate(reads) for row in range(len(read.right))]
    epoch = len(questions) // each
    steps = min(epoch * epochs, most or epoch * epochs)
    ends = {"params": [*net.final.parameters(), *net.end.parameters()], "lr": END * rate}
    optimiser = torch.optim.AdamW([{"params": list(net.layers.parameters()), "lr": rate}, ends], weight_decay=0.01)
    falling = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda at: min((at + 1) / (WARM * steps), max(0.02, 1 - at / steps)))
    at = 0
    if kept.exists():
        state = torch.load(kept, map_location=device, weights_only=True)
        net.load_state_dict(state["net"])
        optimiser.load_state_dict(state["optimiser"])
        falling.load_state_dict(state["rate"])
        at = state["at"]
    began, losses = time.monotonic(), []
    order: list[tuple[int, int]] = []
    for step in range(at, steps):
        if not order or not step % epoch:
            order = random.Random(f"{seed} epoch {step // epoch}").sample(questions, len(questions))
        chance = random.Random(f"{seed} {step}")
        torch.manual_seed(chance.getrandbits(62))
        asked = order[step % epoch * each :][:each]
        shown = [reads[k].shown(row, chance, passages) for k, row in asked]
        parts = torch.split(score(net, [pair for pairs in shown for pair in pairs]), list(map(len, shown)))
        loss = missed(parts, [bool(reads[k].right[row]) for k, row in asked], [reads[k].prior[row] for k, row in asked]).mean()
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimiser.step()
        falling.step()
        losses.append(loss.item())
        if not (step + 1) % 25:
            left = (time.monotonic() - began) / (step + 1 - at) * (steps - step - 1)
            say(f"step {step + 1} of {steps}, loss {sum(losses[-25:]) / 25:.3f}, {left / 60:.0f} min to go")
        if not (step + 1) % _KEEP and step + 1 < steps:
            state = {"net": net.state_dict(), "optimiser": optimiser.state_dict(), "rate": falling.state_dict(), "at": step + 1}
            with replacing(kept) as beside:
                torch.save(state, beside)
    return net.eval()


def packed(net: Net, base: Encoder) -> dict[str, NDArray[Any]]:
    """Return what the network learned, small: matrices as rounded differences to E5, each output with its step, the rest as it is.

    Of a matrix (in, out): whole numbers from -7 to 7, and a step for each output. Differences are nearly normal, so half a standard
    deviation as a step costs 2 % of their energy, and a deflated file some three bits a number.
    """
    made: dict[str, NDArray[Any]] = {}
    if isinstance(base, MiniLM):  # all of it, so that nothing has to be fetched
        learned = copy.copy(base)
        learned.stack = [tuple(value.detach().numpy().T for value in layer.values) for layer in net.layers]  # type: ignore[union-attr]
        made = minilm.packed(learned)
        return made | _end(net)
    for k, (layer, before) in enumerate(zip(net.layers, base.stack, strict=True)):
        for place, (value, was) in enumerate(zip(layer.values, before, strict=True)):  # type: ignore[call-overload, arg-type]
            difference = value.detach().numpy().T - was
            if difference.ndim == 1:
                made[f"{k}.{place}"] = difference.astype(np.float16)
                continue
            step = (STEP * difference.std(0) + 1e-12).astype(np.float16)
            step = np.maximum(step, np.float16(6e-8))
            made[f"{k}.{place}"] = np.clip(np.round(difference / step.astype(np.float32)), -FARTHEST, FARTHEST).astype(np.int8)
            made[f"{k}.{place}.step"] = step
    return made | _end(net)


def _end(net: Net) -> dict[str, NDArray[Any]]:
    made = {}
    for name in ("final", "end"):
        part = getattr(net, name)
        made[name] = part.weight.detach().numpy().T.astype(np.float16)
        made[f"{name}.bias"] = part.bias.detach().numpy().astype(np.float16)
    return made


def say(words: str) -> None:
    """Tell how far it is."""
    sys.stderr.write(f"{words}\n")


def usable(device: str) -> None:
    """Check that torch can compute on a device.

    Raises:
        InputError: it cannot.
    """
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise InputError(tr(
            f"torch cannot compute on {device} here; leave --device out", f"torch 在这里无法使用 {device}；请去掉 --device",
        )) from error  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> None:
    """Train, and write what was learned."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", type=Path, nargs="+", help=".txt files of businesses, or folders of them")
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--start", type=Path, help="what was trained before; it goes on from there, with these questions")
    parser.add_argument("--english", type=Path, help="train the English one, from all-MiniLM-L6-v2 in this folder, or from what was "
                        "written before; of the files those whose names begin with en")  # fmt: skip
    parser.add_argument("--epochs", type=int, default=EPOCHS)
    parser.add_argument("--rate", type=float, default=RATE)
    parser.add_argument("--steps", type=int, help="it ends there, whatever the epochs")
    parser.add_argument("--questions", type=int, default=QUESTIONS, dest="each", help="of a step")
    parser.add_argument("--passages", type=int, default=PASSAGES, help="that a question is shown with")
    parser.add_argument("--device", default="cpu", help="where it is trained, as torch names it: cuda")
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    try:
        made(
            options.folders, options.output, start=options.start, english=options.english, epochs=options.epochs, rate=options.rate,
            most=options.steps, each=options.each, passages=options.passages, device=options.device,
        )  # fmt: skip
    except HuashenError as error:
        raise SystemExit(str(error)) from error


def made(
    questions: Sequence[Path], output: Path, *, start: Path | None, english: Path | None, epochs: int, rate: float,
    most: int | None, each: int, passages: int, device: str,
) -> None:  # fmt: skip
    """Train on folders of questions and write what was learned (see `trained`).

    Raises:
        InputError: there are no businesses in them, or fewer questions than a step has; or torch does not know the device.
        MissingWeightsError: E5 is not here.
        UnreadableError: what it begins as cannot be read.
    """
    files = [file for place in questions for file in ([place] if place.suffix == ".txt" else sorted(place.glob("*.txt")))]
    if english:
        files = [file for file in files if file.name.startswith("en")]
    every = businesses(files)
    usable(device)
    if 0 < sum(len(one.questions) for one in every) < each:
        raise InputError(tr(
            f"there are fewer than {each} questions, which are a step; give fewer with --questions",
            f"问题不足一步所需的 {each} 个；请用 --questions 减少",
        ))  # fmt: skip
    if not every:
        told = ", ".join(map(str, questions))
        raise InputError(tr(f"{told} holds no .txt file of businesses", f"{told} 中没有商家的 .txt 文件"))
    base: Encoder | None = meaning.network() if english is None else minilm.published(english) if english.is_dir() else minilm.read(english)
    if base is None:
        raise MissingWeightsError(tr(f"run: huashen weights get {meaning.CARD}", f"请运行：huashen weights get {meaning.CARD}"))
    start = english if english and english.is_file() else start
    say(f"{len(every)} businesses, {sum(len(one.questions) for one in every)} questions, base {english or weights.card(meaning.CARD).file}")
    net = Net(base, device)
    reads = []
    for number, business in enumerate(every, 1):
        reads.append(Read(business, net))
        if not number % 50:
            say(f"{number} businesses read")
    kept = output.with_suffix(".partial")
    learned = trained(reads, base, kept, start=start, epochs=epochs, rate=rate, most=most, each=each, passages=passages, device=device)
    with replacing(output) as beside, beside.open("wb") as file:
        np.savez_compressed(file, **packed(learned.cpu(), base))  # type: ignore[arg-type]
    kept.unlink(missing_ok=True)
    say(f"{output} {output.stat().st_size} bytes")


if __name__ == "__main__":
    main()
