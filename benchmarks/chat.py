"""How well the document search answers: the share of questions answered right, and of unanswerable ones refused, for each language.

    python benchmarks/chat.py                 # tests/questions/test, which nothing was fitted on
    python benchmarks/chat.py --set dev       # questions the search was fitted on
    python benchmarks/chat.py --set dev --misses
    python benchmarks/chat.py --words         # words alone
    python benchmarks/chat.py --plain         # without the deeper reader of English
    python benchmarks/chat.py --reading       # without sentence embeddings, the best of what words find is read
    python benchmarks/chat.py --speed         # time to the first word of an answer over 1,000 passages

A question is answered right when the passage that is told holds the expected words and the engine is sure enough of it to say it.
What it says with the words that it is not sure counts apart, as a right or a wrong hint; a hint does not count as a refusal.
Each question that has an answer is also asked when the passage that holds it has been taken out: then nothing must be said.
"""

import argparse
import csv
import functools
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Container, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from huashen.chat import deep, meaning
from huashen.chat.documents import Passage, passages
from huashen.chat.e5 import E5
from huashen.chat.faq import USUALLY, Faq
from huashen.chat.search import Index, Meant

QUESTIONS = Path(__file__).resolve().parent.parent / "tests" / "questions"


def asked(folder: Path) -> list[tuple[str, str]]:
    """Return the questions of a folder, each with words of the passage that answers it ("" where none does)."""
    with (folder / "questions.csv").open(encoding="utf-8", newline="") as file:
        return [(row["question"], row["expected"]) for row in csv.DictReader(file)]


def curve(said: np.ndarray, true: np.ndarray) -> float:
    """Return the chance that a true one is said to be likelier than one that is not."""
    ranks = np.empty(len(said))
    ranks[np.argsort(said, kind="stable")] = np.arange(len(said))
    return float((ranks[true].mean() - (true.sum() - 1) / 2) / (~true).sum())


class Without:
    """What is known of passages, some of which have been taken out."""

    def __init__(self, known: Meant, left: list[int]) -> None:
        self._known, self._left = known, left

    def near(self, question: str) -> tuple[NDArray[np.float32], NDArray[np.float32]] | None:
        whole = self._known.near(question)
        return whole and (whole[0][self._left], whole[1][self._left])

    def answers(self, question: str, numbers: Sequence[int]) -> NDArray[np.float32]:
        return self._known.answers(question, [self._left[number] for number in numbers])

    def deeper(self, question: str, numbers: Sequence[int]) -> NDArray[np.float32]:
        return self._known.deeper(question, [self._left[number] for number in numbers])

    def by(self, question: str) -> str:
        return self._known.by(question)


def without(index: Index, taken: Container[int]) -> Index:
    """Return an index of passages without some of them."""
    left = [number for number in range(len(index.passages)) if number not in taken]
    return Index([index.passages[number] for number in left], Without(index.meant, left) if index.meant else None)


def read(network: E5, told: Sequence[Passage], *, plain: bool) -> Meant:
    """Return what is known of passages where all weights are there; `plain`: without those of the deeper reader."""
    reader = None if plain or not meaning.in_english(told) else deep.shipped()
    return meaning.Meaning(network, told, reader=reader)


def counts(folder: Path, known: Callable[[list[Passage]], Meant] | None, *, threshold: float | None, misses: bool = False) -> Counter[str]:
    """Return how many questions of a folder were answerable, found (right passage first), right (and said), foreign, refused …

    Args:
        folder: of documents and questions.
        known: makes what is known of passages besides their words.
        threshold: how sure one has to be; the usual one when None.
        misses: whether to print what went wrong.
    """
    told = passages(folder / "docs", keep=False)
    index = Index(told, known(told) if known else None)
    found: Counter[str] = Counter(passages=len(index.passages))
    for question, expected in asked(folder):
        hits = index.search(question, count=1)
        usual, unsure = USUALLY[hits[0].by] if hits else (1.0, 1.0)
        said = bool(hits) and hits[0].sure >= (usual if threshold is None else threshold)
        hinted = bool(hits) and not said and hits[0].sure >= unsure
        first = bool(expected and hits) and expected in hits[0].passage.text
        found["answerable" if expected else "foreign"] += 1
        found["found"] += first
        found["right"] += first and said
        found["wrong"] += bool(expected) and said and not first
        found["refused"] += not expected and not said and not hinted
        found["no claim"] += not expected and not said
        if expected:  # the same question, when nothing answers it
            again = without(index, [number for number, passage in enumerate(index.passages) if expected in passage.text])
            hits_left = again.search(question, count=1)
            found["gone refused"] += not hits_left or hits_left[0].sure < (USUALLY[hits_left[0].by][0] if threshold is None else threshold)
        found["right hint"] += first and hinted
        found["wrong hint"] += bool(expected) and hinted and not first
        if misses and (said != bool(expected) or first != bool(expected)):
            print(f"{'said' if said else 'kept':5} {hits[0].sure if hits else 0:.2f} {question} | wants {expected or 'nothing'} "
                  f"| first: {hits[0].passage.text[:50] if hits else ''!r}")  # fmt: skip
    return found


def main() -> None:
    """Print a line for each set of documents and each language."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--set", default="test", help="a folder of tests/questions")
    parser.add_argument("--threshold", type=float)
    parser.add_argument("--words", action="store_true", help="words alone")
    parser.add_argument("--plain", action="store_true", help="without the deeper reader of English")
    parser.add_argument("--reading", action="store_true", help="without sentence embeddings, but reading the best passages")
    parser.add_argument("--speed", action="store_true", help="measure the time to the first word, over 1,000 passages")
    parser.add_argument("--misses", action="store_true", help="show what went wrong; do not use it on the test set")
    options = parser.parse_args()
    if options.speed and options.reading:
        raise SystemExit("--speed measures with sentence embeddings, or with --words alone")
    network = None if options.words or options.reading else meaning.network()
    known: Callable[[list[Passage]], Meant] | None = None if options.words else meaning.Reading
    if network:
        known = functools.partial(read, network, plain=options.plain)
    if options.speed:
        speed(embeddings=not options.words)
        return
    begun = time.perf_counter()
    whole: dict[str, Counter[str]] = {}
    for folder in sorted((QUESTIONS / options.set).iterdir()):
        found = counts(folder, known, threshold=options.threshold, misses=options.misses)
        show(folder.name, found)
        whole.setdefault(folder.name[:2], Counter()).update(found)
    for lang, found in whole.items():
        show(f"all {lang}", found)
    total = sum(found["answerable"] + found["foreign"] for found in whole.values())
    print(f"{1000 * (time.perf_counter() - begun) / total:.1f} ms a question, indexing included", file=sys.stderr)


def speed(*, embeddings: bool) -> None:
    """Print the time from question to the first piece of the answer, and the processor time of it, over 1,000 passages."""
    questions = [question for folder in sorted((QUESTIONS / "dev").iterdir()) for question, _ in asked(folder)][::5]
    texts = [p.text for folder in sorted((QUESTIONS / "dev").iterdir()) for p in passages(folder / "docs", keep=False)]
    with tempfile.TemporaryDirectory() as place:
        rows = [f"Room {number}: {texts[number % len(texts)]}".replace("\n", " ") for number in range(1000)]
        Path(place, "many.txt").write_text("\n\n".join(rows), "utf-8")
        used = time.process_time()
        faq = Faq(documents=place, embeddings=embeddings)
        print(f"{len(faq.library.index.passages)} passages read in {time.process_time() - used:.1f} s of processor time")
        next(faq.reply("warm up"))
        taken, used_each = [], []
        for question in questions:
            begun, used = time.perf_counter(), time.process_time()
            next(faq.reply(question))
            taken.append(1000 * (time.perf_counter() - begun))
            used_each.append(1000 * (time.process_time() - used))
    for name, values in (("time", sorted(taken)), ("processor time", sorted(used_each))):
        print(f"first word: {name} {values[len(values) // 2]:.0f} ms in the middle, {values[len(values) * 95 // 100]:.0f} ms for 95 % "
              f"of {len(values)} questions")  # fmt: skip


def show(name: str, found: Counter[str]) -> None:
    """Print one line."""
    whole, foreign = found["answerable"], found["foreign"]
    print(f"{name:16} {found['passages']:4} passages  first {found['found'] / whole:6.1%}  right {found['right'] / whole:6.1%}  "
          f"wrong {found['wrong'] / whole:6.1%}  hints right {found['right hint'] / whole:6.1%} wrong {found['wrong hint'] / whole:6.1%} "
          f"of {whole}   refused {found['refused'] / max(1, foreign):6.1%}, with hints {found['no claim'] / max(1, foreign):6.1%} "
          f"of {foreign}; with its answer taken out {found['gone refused'] / whole:6.1%}, but for hints")  # fmt: skip


if __name__ == "__main__":
    main()
