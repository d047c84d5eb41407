"""How much the words of a question alone tell of whether it has an answer, in the questions that the rerankers learn from. Needs torch.

    python benchmarks/chat_bias.py

The area under the curve (0.5: nothing, 1: all) of a logistic regression over a question's tokens, fitted to the other businesses
(`huashen.train.reranker.priors`); no passage is looked at. What it tells must not be what a reranker goes by.
"""

from types import SimpleNamespace

import numpy as np
import torch
from chat import QUESTIONS, curve

from huashen.chat import meaning
from huashen.train.reranker import businesses, priors


def main() -> None:
    """Print a line for each folder and language."""
    torch.set_num_threads(1)
    network = meaning.network()
    if network is None:
        raise SystemExit(f"run: huashen weights get {meaning.CARD}")
    for name in ("train", "more", "documents", "siblings", "fit"):
        for lang in ("en", "zh"):
            every = businesses(sorted((QUESTIONS / name).glob(f"{lang}*.txt")))
            reads = [
                SimpleNamespace(asked=[network.tokens(q) for q, _ in b.questions], right=[sorted(a) for _, a in b.questions]) for b in every
            ]
            said = np.concatenate(priors(reads))  # type: ignore[arg-type]
            true = np.array([bool(right) for read in reads for right in read.right])
            print(f"{name} {lang} {len(true)} questions, {true.mean():.0%} with an answer: {curve(said, true):.3f}", flush=True)


if __name__ == "__main__":
    main()
