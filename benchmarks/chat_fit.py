"""Fit what `chat.meaning` and `chat.search` need: the maps in head.npz, the ranking, and how sure we are. Needs torch and the weights.

    python benchmarks/chat_fit.py             # cross-validated numbers, then the constants to copy into search.py
    python benchmarks/chat_fit.py --write     # also writes src/huashen/chat/head.npz

It learns from tests/questions/train and tests/questions/dev, never from tests/questions/test. Businesses are split in three; the numbers,
the ranking and the sureness come from questions of businesses that the maps of that part were not fitted on.
"""

import argparse
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from chat import QUESTIONS, asked

from huashen.chat import meaning, search
from huashen.chat.documents import Passage, passages

HEAD = Path(search.__file__).with_name("head.npz")
SIZE = 128
PARTS = 3


@dataclass
class Business:
    """Passages and questions of one made-up business."""

    name: str
    passages: list[Passage]
    questions: list[tuple[str, frozenset[int]]]
    """With the numbers of the passages that answer; none: it has no answer."""


def businesses() -> list[Business]:
    """Return those of train (a file a language: = business, # heading, passage, ? question about it, ! foreign question) and dev."""
    found = []
    for path in sorted((QUESTIONS / "train").glob("*.txt")):
        heading = ""
        for line in path.read_text("utf-8").splitlines():
            kind, rest = line[:2], line[2:]
            if kind == "= ":
                found.append(Business(f"{path.stem}-{rest}", [], []))
            elif kind == "# ":
                heading = rest
            elif kind == "? ":
                found[-1].questions.append((rest, frozenset([len(found[-1].passages) - 1])))
            elif kind == "! ":
                found[-1].questions.append((rest, frozenset()))
            elif line:
                found[-1].passages.append(Passage("guide.md", heading, heading, "", line))
    for folder in sorted((QUESTIONS / "dev").iterdir()):
        told = passages(folder / "docs", keep=False)
        questions = [(q, frozenset(i for i, p in enumerate(told) if words and words in p.text)) for q, words in asked(folder)]
        found.append(Business(folder.name, told, questions))
    return found


class Read:
    """What the network makes of a business."""

    def __init__(self, business: Business, network: meaning.E5) -> None:
        ask = network.states([f"query: {question}" for question, _ in business.questions])
        tell = network.states([f"passage: {meaning.spelled(passage)}" for passage in business.passages])
        self.ask, self.ask_there = padded(ask)
        self.tell, self.tell_there = padded(tell)
        self.ask_mean = torch.tensor(np.stack([states.mean(0) for states in ask]))
        self.tell_mean = torch.tensor(np.stack([states.mean(0) for states in tell]))
        self.right = torch.tensor([[k in answers for k in range(len(tell))] for _, answers in business.questions])
        self.known = self.right.any(1)


def padded(states: Sequence[np.ndarray]) -> tuple[torch.Tensor, torch.Tensor]:
    """Return token states as one block, and which of them count."""
    longest = max(len(s) for s in states)
    block, there = torch.zeros(len(states), longest, states[0].shape[1]), torch.zeros(len(states), longest)
    for k, s in enumerate(states):
        block[k, : len(s)] = torch.tensor(s)
        there[k, meaning._PREFIX : len(s) - 1] = 1
    return block, there


class Head(torch.nn.Module):
    """The maps: (width, 128) for tokens, (width, width) for the whole; and a token's weight."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.words = torch.nn.Parameter(torch.linalg.qr(torch.randn(width, width))[0][:, :SIZE].clone())
        self.words_mean = torch.nn.Parameter(torch.zeros(width))
        self.whole = torch.nn.Parameter(torch.eye(width))
        self.whole_mean = torch.nn.Parameter(torch.zeros(width))
        self.weight = torch.nn.Parameter(torch.zeros(width))
        self.bias = torch.nn.Parameter(torch.tensor(0.5))
        self.scale = torch.nn.Parameter(torch.tensor([20.0, 30.0]))
        self.none = torch.nn.Parameter(torch.tensor(30.0))

    def forward(self, read: Read) -> tuple[torch.Tensor, torch.Tensor]:
        """Return how near the passages are to each question, as a whole and word by word, (questions, passages)."""
        unit = torch.nn.functional.normalize
        q = unit((read.ask - self.words_mean) @ self.words, dim=-1)
        p = unit((read.tell - self.words_mean) @ self.words, dim=-1)
        weight = torch.nn.functional.softplus(read.ask @ self.weight + self.bias) * read.ask_there
        alike = torch.einsum("qad,pbd->qpab", q, p) + (read.tell_there - 1)[None, :, None] * 9
        words = (alike.amax(-1) * (weight / weight.sum(1, keepdim=True))[:, None]).sum(-1)
        ask = unit((read.ask_mean - self.whole_mean) @ self.whole, dim=-1)
        tell = unit((read.tell_mean - self.whole_mean) @ self.whole, dim=-1)
        return ask @ tell.T, words


def trained(reads: Sequence[Read], seed: int = 0) -> Head:
    """Fit the maps so that of a business's passages the right one comes nearest, or none near enough where none is right.

    They stay close to where they began.
    """
    torch.manual_seed(seed)
    head = Head(reads[0].ask.shape[-1])
    first = {name: value.detach().clone() for name, value in head.named_parameters()}
    mapping = ("words", "whole", "words_mean", "whole_mean")
    maps = [value for name, value in head.named_parameters() if name in mapping]
    rates = [{"params": maps, "lr": 1e-3}, {"params": [head.weight, head.bias], "lr": 3e-3}, {"params": [head.scale, head.none], "lr": 0.2}]
    steps = torch.optim.AdamW(rates, weight_decay=0)
    rounds = 8
    slower = torch.optim.lr_scheduler.CosineAnnealingLR(steps, rounds * len(reads))
    order = random.Random(seed)
    for _ in range(rounds):
        for read in order.sample(list(reads), len(reads)):
            whole, words = head(read)
            near = head.scale[0] * whole + head.scale[1] * words
            chance = torch.log_softmax(torch.cat([near, head.none.expand(len(near), 1)], 1), 1)
            right = torch.cat([read.right, ~read.known[:, None]], 1)
            loss = -torch.logsumexp(chance.masked_fill(~right, -1e9), 1).mean()
            loss = loss + 1e-3 * sum(((value - first[name]) ** 2).sum() for name, value in head.named_parameters() if name in mapping)
            steps.zero_grad()
            loss.backward()
            steps.step()
            slower.step()
    return head


def ranking(sets: Sequence[tuple[torch.Tensor, torch.Tensor]], ridge: float) -> torch.Tensor:
    """Fit weights so that the right candidates come first; sets of (candidates, features) and which are right."""
    size = sets[0][0].shape[1]
    scale = torch.cat([x - x.mean(0) for x, _ in sets]).std(0) + 1e-6
    weights = torch.zeros(size, requires_grad=True)
    steps = torch.optim.LBFGS([weights], max_iter=80, line_search_fn="strong_wolfe")

    def loss() -> torch.Tensor:
        steps.zero_grad()
        total = torch.stack([-torch.logsumexp(torch.log_softmax(x / scale @ weights, 0)[right], 0) for x, right in sets]).mean()
        total = total + ridge * (weights**2).sum()
        total.backward()
        return total

    steps.step(loss)
    return (weights / scale).detach()


def logistic(x: torch.Tensor, y: torch.Tensor, ridge: float) -> tuple[torch.Tensor, float]:
    """Fit a logistic regression."""
    mean, scale = x.mean(0), x.std(0) + 1e-6
    weights = torch.zeros(x.shape[1] + 1, requires_grad=True)
    steps = torch.optim.LBFGS([weights], max_iter=200, line_search_fn="strong_wolfe")

    def loss() -> torch.Tensor:
        steps.zero_grad()
        total = torch.nn.functional.binary_cross_entropy_with_logits((x - mean) / scale @ weights[:-1] + weights[-1], y)
        total = total + ridge * (weights[:-1] ** 2).sum()
        total.backward()
        return total

    steps.step(loss)
    w = weights.detach()
    return w[:-1] / scale, float(w[-1] - (w[:-1] * mean / scale).sum())


def main() -> None:
    """Fit, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="write head.npz, fitted on all")
    options = parser.parse_args()
    torch.set_num_threads(1)
    network = meaning.network()
    if network is None:
        raise SystemExit(f"run: huashen weights get {meaning.CARD}")
    every = businesses()
    reads = [Read(business, network) for business in every]
    print("read", flush=True)
    near: list[tuple[np.ndarray, np.ndarray]] = [()] * len(every)  # type: ignore[list-item]
    for part in range(PARTS):
        head = trained([read for k, read in enumerate(reads) if k % PARTS != part])
        with torch.no_grad():
            for k in range(part, len(every), PARTS):
                whole, words = head(reads[k])
                near[k] = (whole.numpy(), words.numpy())
        print(f"part {part + 1}", flush=True)
    by_meaning(every, near)
    by_words(every)
    if options.write:
        head = trained(reads)
        arrays = {name: value.detach().numpy() for name, value in head.named_parameters() if name not in ("scale", "none")}
        np.savez_compressed(HEAD, **{name: value.astype(np.float16) for name, value in arrays.items()})
        print(f"{HEAD} {HEAD.stat().st_size} bytes")


class Known:
    """What is known of how near a business's passages are to its questions, as `search.Index` asks for it."""

    def __init__(self, business: Business, whole: np.ndarray, words: np.ndarray) -> None:
        self._rows = {question: row for row, (question, _) in enumerate(business.questions)}
        self._whole, self._words = whole, words

    def __call__(self, question: str) -> tuple[np.ndarray, np.ndarray]:
        row = self._rows[question]
        return self._whole[row], self._words[row]


def by_meaning(every: Sequence[Business], near: Sequence[tuple[np.ndarray, np.ndarray]]) -> None:
    """Fit and print the ranking and the sureness of the search with sentence embeddings."""
    fit(every, near, "_NEAR")


def by_words(every: Sequence[Business]) -> None:
    """Fit and print those of the search by words alone."""
    fit(every, None, "")


def fit(every: Sequence[Business], near: Sequence[tuple[np.ndarray, np.ndarray]] | None, name: str) -> None:
    """Fit a ranking on two parts, take its features on the third, fit the sureness on those, and print what comes of it."""
    indexes = []
    for k, business in enumerate(every):
        indexes.append(search.Index(business.passages, Known(business, *near[k]) if near else None))
    sets: list[list[tuple[torch.Tensor, torch.Tensor]]] = []
    for index, business in zip(indexes, every, strict=True):
        sets.append([])
        for question, answers in business.questions:
            evidence = index.weigh(question).evidence
            right = torch.tensor([number in answers for number in evidence])
            if right.any():
                sets[-1].append((torch.tensor([found.ranks for found in evidence.values()]), right))
    attribute = f"RANK{name}"
    rows: list[tuple[int, str, bool, bool, tuple[float, ...]]] = []
    for part in range(PARTS):
        weights = ranking([s for k, of in enumerate(sets) if k % PARTS != part for s in of], 1e-3)
        setattr(search, attribute, tuple(weights.tolist()))
        for k in range(part, len(every), PARTS):
            for question, answers in every[k].questions:
                hit = next(iter(indexes[k].search(question, count=1)), None)
                first = hit is not None and indexes[k].passages.index(hit.passage) in answers
                rows.append((k, every[k].name[:2], bool(answers), first, hit.features if hit else ()))
    size = len(next(row[4] for row in rows if row[4]))
    rows = [(*row[:4], row[4] or (0.0,) * size) for row in rows]  # nothing found: nothing speaks for it
    x, y = torch.tensor([row[4] for row in rows]), torch.tensor([float(row[3]) for row in rows])
    sure = torch.zeros(len(rows))
    held = torch.tensor([row[0] % PARTS for row in rows])
    for part in range(PARTS):
        weights, bias = logistic(x[held != part], y[held != part], 1e-3)
        sure[held == part] = torch.sigmoid(x[held == part] @ weights + bias)
    for lang in ("en", "zh"):
        mine = torch.tensor([row[1] == lang for row in rows])
        known = torch.tensor([row[2] for row in rows])
        first = y[mine & known].mean()
        for threshold in (0.4, 0.45, 0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8):
            said = sure >= threshold
            right, wrong = (y * said)[mine & known].mean(), ((1 - y) * said)[mine & known].mean()
            refused = 1 - said[mine & ~known].float().mean()
            print(f"{name or 'words'} {lang} first {first:.1%} at {threshold}: right {right:.1%} wrong {wrong:.1%} refused {refused:.1%}",
                  flush=True)  # fmt: skip
    final = ranking([s for of in sets for s in of], 1e-3)
    weights, bias = logistic(x, y, 1e-3)
    shown = lambda v: "(" + ", ".join(f"{n:.2f}" for n in v.tolist()) + ")"  # noqa: E731
    print(f"RANK{name} = {shown(final)}\nWEIGHTS{name} = {shown(weights)}\nBIAS{name} = {bias:.2f}", flush=True)


if __name__ == "__main__":
    main()
