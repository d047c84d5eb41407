"""Fit what the document search needs: how sure of an answer we are, and what it stands on. Needs torch and the weights.

    python benchmarks/chat_fit.py             # numbers of questions that nothing learned from, then the constants for search.py
    python benchmarks/chat_fit.py --new       # measure tests/questions/blind, unseen and sealed too
    python benchmarks/chat_fit.py --deep      # the same with the deeper reader, for English
    python benchmarks/chat_fit.py --reading   # the same without sentence embeddings, for English
    python benchmarks/chat_fit.py --passages  # also what comes of it for the businesses of tests/questions/fit
    python benchmarks/chat_fit.py --first     # the first search: cross-validated numbers, then the constants for search.py
    python benchmarks/chat_fit.py --first --write   # also writes src/huashen/chat/head.npz

The maps in head.npz learn from the files MAPS of tests/questions, the ranking of the first search from what they did not learn from: dev
and the files RANKED, three parts in turn unseen. The search by words alone learns from dev and the files FIRST. The rerankers learned from
all these files (`huashen.train.reranker`). How sure an answer is, is fitted to the whole documents of DOCUMENTS, from which no reranker
learned, cross-validated: a fifth of the businesses at a time unseen. Each question that has an answer is asked twice, the second time with
the passage that answers it taken out; without that, how a question is asked tells too much of whether it has an answer. Nothing learns from
tests/questions/test, blind, unseen, sealed, closed and fit.
"""

import argparse
import functools
import itertools
import random
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import torch
from chat import QUESTIONS, asked, curve, without

from huashen.chat import deep, meaning, search
from huashen.chat.documents import passages
from huashen.train.reranker import Business, Net, businesses

HEAD = Path(search.__file__).with_name("head.npz")
SIZE = 128
ROUNDS = 3
PARTS = 3
FIFTHS = 5
DOCUMENTS = ("dev", "natural", "held", "fresh")
NEW = ("blind", "unseen", "sealed")
FIRST = ("train/en", "train/en-[12]", "train/zh", "train/zh-1")
MAPS = ("train/*", "more/*", "documents/*", "siblings/en-[a-d]", "siblings/zh-[ab]")
RANKED = ("siblings/en-e", "siblings/zh-c")


def documents(name: str) -> list[Business]:
    """Return the businesses of a folder that has whole documents."""
    found = []
    for folder in sorted((QUESTIONS / name).iterdir()):
        told = passages(folder / "docs", keep=False)
        questions = [(q, frozenset(i for i, p in enumerate(told) if words and words in p.text)) for q, words in asked(folder)]
        found.append(Business(f"{folder.name} of {name}", told, questions))
    return found


def learned_from(names: Sequence[str]) -> list[Business]:
    """Return the businesses of files of tests/questions."""
    return businesses([file for name in names for file in sorted(QUESTIONS.glob(f"{name}.txt"))])


class Read:
    """What the network makes of the tokens of a business's questions and passages.

    Args:
        net: the network of sentence embeddings, as torch has it.
        asked: tokens of each question.
        told: tokens of each passage.
        right: which passages answer, (questions, passages).
    """

    def __init__(self, net: Net, asked: Sequence[Sequence[int]], told: Sequence[Sequence[int]], right: torch.Tensor) -> None:
        self.ask, self.ask_there, self.ask_mean = states(net, asked)
        self.tell, self.tell_there, self.tell_mean = states(net, told)
        self.right = right.to(net.device)
        self.known = self.right.any(1)


def read(business: Business, net: Net) -> Read:
    """Return what the network makes of a business."""
    asked = [net.base.tokens(net.base.asked + question) for question, _ in business.questions]
    told = [net.base.tokens(net.base.told + meaning.spelled(passage)) for passage in business.passages]
    right = [[k in answers for k in range(len(told))] for _, answers in business.questions]
    return Read(net, asked, told, torch.tensor(right))


def states(net: Net, texts: Sequence[Sequence[int]]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return token states, which of them count, and the mean of each text's."""
    with torch.no_grad():
        made, there = net.states(texts)
        mean = (made * there[..., None]).sum(1) / there.sum(1, keepdim=True)
    there[:, : meaning._PREFIX] = 0
    there[torch.arange(len(texts)), torch.tensor([len(text) - 1 for text in texts])] = 0
    return made.half(), there, mean


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
        q = unit((read.ask.float() - self.words_mean) @ self.words, dim=-1)
        p = unit((read.tell.float() - self.words_mean) @ self.words, dim=-1)
        weight = torch.nn.functional.softplus(read.ask.float() @ self.weight + self.bias) * read.ask_there
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
    head = Head(reads[0].ask.shape[-1]).to(reads[0].ask.device)
    first = {name: value.detach().clone() for name, value in head.named_parameters()}
    mapping = ("words", "whole", "words_mean", "whole_mean")
    maps = [value for name, value in head.named_parameters() if name in mapping]
    rates = [{"params": maps, "lr": 1e-3}, {"params": [head.weight, head.bias], "lr": 3e-3}, {"params": [head.scale, head.none], "lr": 0.2}]
    steps = torch.optim.AdamW(rates, weight_decay=0)
    slower = torch.optim.lr_scheduler.CosineAnnealingLR(steps, ROUNDS * len(reads))
    order = random.Random(seed)
    for _ in range(ROUNDS):
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
    parser.add_argument("--first", action="store_true", help="the first search")
    parser.add_argument("--deep", action="store_true", help="with the deeper reader")
    parser.add_argument("--reading", action="store_true", help="without sentence embeddings")
    parser.add_argument("--new", action="store_true", help="measure tests/questions/blind, unseen and sealed too")
    parser.add_argument("--passages", action="store_true", help="measure tests/questions/fit too")
    parser.add_argument("--write", action="store_true", help="with --first: write head.npz")
    parser.add_argument("--device", default="cpu", help="with --first: where it is fitted, as torch names it: cuda")
    parser.add_argument("--jobs", type=int, default=2, help="processes")
    options = parser.parse_args()
    torch.set_num_threads(2 if options.first else 1)
    network = meaning.network()
    if network is None:
        raise SystemExit(f"run: huashen weights get {meaning.CARD}")
    if options.first:
        first(network, device=options.device, write=options.write)
    else:
        by = "reading" if options.reading else "deep" if options.deep else "meaning"
        if by == "deep" and deep.shipped() is None:
            raise SystemExit(f"run: huashen weights get {deep.CARD}")
        second(options.jobs, by, new=options.new, also=options.passages)


def first(network: meaning.E5, *, device: str, write: bool) -> None:
    """Fit the first search: the maps, the rankings, and how sure one is where only words are compared."""
    net = Net(network, device)
    head = trained([read(business, net) for business in learned_from(MAPS)])
    if write:
        np.savez_compressed(HEAD, **packed(head))
        print(f"{HEAD} {HEAD.stat().st_size} bytes", flush=True)
    ranked = learned_from(RANKED) + documents("dev")
    with torch.no_grad():
        near = [tuple(values.cpu().numpy() for values in head(read(business, net))) for business in ranked]
    fit(ranked, near, "_NEAR")
    fit(learned_from(FIRST) + documents("dev"), None, "")


def packed(head: Head) -> dict[str, np.ndarray]:
    """Return the maps as head.npz holds them."""
    named = ((name, value.detach().cpu().numpy()) for name, value in head.named_parameters() if name not in ("scale", "none"))
    return {name: value.astype(np.float16) for name, value in named}


Reads = Callable[[str, Sequence[int]], np.ndarray]


class Told:
    """What is known of passages, with what has been asked kept."""

    def __init__(self, known: search.Meant) -> None:
        self._meaning: search.Meant | None = known
        self._near: dict[str, tuple[np.ndarray, np.ndarray] | None] = {}
        self._answers: dict[tuple[str, int], float] = {}
        self._deeper: dict[tuple[str, int], float] = {}
        self._by: dict[str, str] = {}

    def near(self, question: str) -> tuple[np.ndarray, np.ndarray] | None:
        if question not in self._near and self._meaning is not None:
            self._near[question] = self._meaning.near(question)
        return self._near[question]

    def answers(self, question: str, numbers: Sequence[int]) -> np.ndarray:
        return self._read(self._answers, self._meaning and self._meaning.answers, question, numbers)

    def deeper(self, question: str, numbers: Sequence[int]) -> np.ndarray:
        return self._read(self._deeper, self._meaning and self._meaning.deeper, question, numbers)

    @staticmethod
    def _read(kept: dict[tuple[str, int], float], read: Reads | None, question: str, numbers: Sequence[int]) -> np.ndarray:
        new = [number for number in numbers if (question, number) not in kept]
        if new and read is not None:
            kept |= {(question, number): value for number, value in zip(new, read(question, new).tolist(), strict=False)}
        known = itertools.takewhile(lambda number: (question, number) in kept, numbers)
        return np.array([kept[question, number] for number in known], np.float32)

    def by(self, question: str) -> str:
        if question not in self._by and self._meaning is not None:
            self._by[question] = self._meaning.by(question)
        return self._by[question]


def told(business: Business, by: str = "meaning") -> tuple[list[tuple[list[tuple[float, float]], list[bool]]], search.Index]:
    """Return for each question what speaks for the passages that were read, and which are right; and the index, which has all read."""
    network = meaning.network()
    assert network is not None
    reader = deep.shipped() if by == "deep" else None
    known = meaning.Reading(business.passages) if by == "reading" else meaning.Meaning(network, business.passages, reader=reader)
    known_of = Told(known)
    index = search.Index(business.passages, known_of)
    found = []
    for question, answers in business.questions:
        evidence = index.weigh(question).evidence
        best = sorted(evidence, key=lambda number: (-evidence[number].score, number))[: search.READ]
        read = known_of.answers(question, best).tolist()
        rows = [(evidence[number].score, value) for number, value in zip(best, read, strict=False)]
        found.append((rows, [number in answers for number in best[: len(rows)]]))
        index.search(question, count=1)  # what it reads is kept
        if answers:
            without(index, answers).search(question, count=1)
    known_of._meaning = None  # all that is needed of it has been kept
    return found, index


def second(jobs: int, by: str, *, new: bool, also: bool) -> None:
    """Fit the ranking of what was read, and how sure one is of it; print both and what comes of them.

    Args:
        jobs: processes.
        by: what finds passages: "meaning", "deep", or "reading"; the last two read only English.
        new: measure the whole documents of NEW too, to which nothing is fitted.
        also: measure lists of passages too, to which nothing is fitted.
    """
    every = [business for name in DOCUMENTS for business in documents(name)]
    whole = len(every)
    every += [business for name in NEW for business in documents(name)] if new else []
    every += businesses(sorted((QUESTIONS / "fit").glob("*.txt"))) if also else []
    if by != "meaning":
        every = [business for business in every if business.name.startswith("en")]
        whole = sum(business.name.endswith(DOCUMENTS) for business in every)
    with ProcessPoolExecutor(jobs) as pool:
        made = list(pool.map(functools.partial(told, by=by), every))
    name = {"meaning": "_NEAR", "deep": "_DEEP", "reading": ""}[by]
    trust = f"RANK_READ{name}"
    if by != "deep":  # which passages are read twice depends on it, so it stays as it is
        sets = [(torch.tensor(rows), torch.tensor(right)) for found, _ in made[:whole] for rows, right in found if any(right)]
        weights = ranking(sets, 1e-4)
        setattr(search, trust, float(weights[1] / weights[0]))
    search.sure = lambda features, by: 0.0  # not known yet
    rows = []
    highest: dict[str, dict[str, list[float]]] = {}
    for k, (business, (_, index)) in enumerate(zip(every, made, strict=True)):
        kind = f"{business.name[:2]} {'documents' if k < whole else business.name.partition(' of ')[2] or 'passages'}"
        values: dict[str, dict[int, float]] = {}
        for (question, number), value in index.meant._answers.items():  # type: ignore[union-attr]
            values.setdefault(question, {})[number] = value
        for question, answers in business.questions:
            if read := values.get(question):
                best = highest.setdefault(kind, {})
                best.setdefault("known" if answers else "unknown", []).append(max(read.values()))
                if answers and (left := read.keys() - answers):
                    best.setdefault("taken out", []).append(max(read[number] for number in left))
            hit = next(iter(index.search(question, count=1)), None)
            first = hit is not None and index.passages.index(hit.passage) in answers
            rows.append((k, kind, "known" if answers else "unknown", first, _features(hit, by)))
            if answers:
                hit = next(iter(without(index, answers).search(question, count=1)), None)
                rows.append((k, kind, "taken out", False, _features(hit, by)))
    share = sum(any(right) for found, _ in made for _, right in found) / sum(row[2] == "known" for row in rows)
    firsts = [[value for _, value in rows[: search.AT_ONCE]] for found, _ in made for rows, right in found if any(right)]
    enough = np.mean([max(values) >= search.ENOUGH for values in firsts])
    print(f"{len(every)} businesses; of the questions that have an answer it is among what was read of {share:.1%}; "
          f"where it is, one of the first {search.AT_ONCE} answers so well that it would do to read these for {enough:.1%}\n"
          f"{trust} = {getattr(search, trust):.2f}")  # fmt: skip
    for kind, best in sorted(highest.items()):  # what the reranker alone tells apart
        for other in ("unknown", "taken out"):
            values_of = np.array(best["known"] + best[other])
            print(f"{kind}: area under the curve of the best that was read, known against {other}: "
                  f"{curve(values_of, np.arange(len(values_of)) < len(best['known'])):.3f}")  # fmt: skip
    sureness(rows, name or "_READ", FIFTHS, whole)


def _features(hit: search.Hit | None, by: str) -> tuple[float, ...]:
    """Return what a hit is judged by; nothing where there is none, or its question is not taken for English."""
    return hit.features if hit and hit.by == by else ()


class Known:
    """What is known of how near a business's passages are to its questions, as `search.Index` asks for it."""

    def __init__(self, business: Business, whole: np.ndarray, words: np.ndarray) -> None:
        self._rows = {question: row for row, (question, _) in enumerate(business.questions)}
        self._whole, self._words = whole, words

    def near(self, question: str) -> tuple[np.ndarray, np.ndarray]:
        row = self._rows[question]
        return self._whole[row], self._words[row]

    def answers(self, question: str, numbers: Sequence[int]) -> np.ndarray:
        return np.zeros(len(numbers), np.float32)

    deeper = answers

    def by(self, question: str) -> str:
        return "meaning"


def fit(every: Sequence[Business], near: Sequence[tuple[np.ndarray, np.ndarray]] | None, name: str) -> None:
    """Fit a ranking on two parts, print how often it is right on the third; where only words are compared, fit the sureness on those."""
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
    rows: list[Row] = []
    for part in range(PARTS):
        weights = ranking([s for k, of in enumerate(sets) if k % PARTS != part for s in of], 1e-3)
        setattr(search, attribute, tuple(weights.tolist()))
        for k in range(part, len(every), PARTS):
            for question, answers in every[k].questions:
                hit = next(iter(indexes[k].search(question, count=1)), None)
                first = hit is not None and indexes[k].passages.index(hit.passage) in answers
                rows.append((k, every[k].name[:2], "known" if answers else "unknown", first, hit.features if hit else ()))
    final = ranking([s for of in sets for s in of], 1e-3)
    print(f"RANK{name} = {shown(final)}", flush=True)
    if near is None:
        sureness(rows, name)
    else:
        for lang in ("en", "zh"):
            right = [row[3] for row in rows if row[1:3] == (lang, "known")]
            print(f"{lang} first {np.mean(right):.1%}", flush=True)


def shown(values: torch.Tensor) -> str:
    """Return numbers as a tuple of Python."""
    return "(" + ", ".join(f"{number:.2f}" for number in values.tolist()) + ")"


Row = tuple[int, str, str, bool, tuple[float, ...]]
"""Number of the business, kind of question, whether its answer is there ("known"), was never ("unknown") or has been taken out, whether
what was found is right, and what that is judged by."""


def sureness(rows: list[Row], name: str, parts: int = PARTS, fitted: int | None = None) -> None:
    """Fit how sure one is; print cross-validated numbers of each kind, and the constants.

    Args:
        rows: questions.
        name: of the constants.
        parts: in turn unseen.
        fitted: so many businesses are fitted to; the others are only measured. All when None.
    """
    size = len(next(row[4] for row in rows if row[4]))
    x = torch.tensor([row[4] or (0.0,) * size for row in rows])  # nothing found: nothing speaks for it
    known, unknown, taken = (torch.tensor([row[2] == state for row in rows]) for state in ("known", "unknown", "taken out"))
    y = torch.tensor([float(row[3]) for row in rows])
    sure = torch.zeros(len(rows))
    learns = torch.tensor([fitted is None or row[0] < fitted for row in rows])
    held = torch.tensor([row[0] % parts for row in rows])
    for part in range(parts):
        weights, bias = logistic(x[learns & (held != part)], y[learns & (held != part)], 1e-3)
        sure[held == part] = torch.sigmoid(x[held == part] @ weights + bias)
    for kind in sorted({row[1] for row in rows}):
        mine = torch.tensor([row[1] == kind for row in rows])
        first = y[mine & known].mean()
        for threshold in np.arange(0.2, 0.91, 0.05).tolist():
            said = sure >= threshold
            right, wrong = (y * said)[mine & known].mean(), ((1 - y) * said)[mine & known].mean()
            refused, gone = (1 - said[mine & which].float().mean() for which in (unknown, taken))
            print(f"{name or 'words'} {kind} first {first:.1%} at {threshold:.2f}: right {right:.1%} wrong {wrong:.1%} "
                  f"refused {refused:.1%} of {int((mine & unknown).sum())}, with its answer taken out {gone:.1%}", flush=True)  # fmt: skip
    weights, bias = logistic(x[learns], y[learns], 1e-3)
    print(f"WEIGHTS{name} = {shown(weights)}\nBIAS{name} = {bias:.2f}", flush=True)


if __name__ == "__main__":
    main()
