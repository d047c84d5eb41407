"""Train the deeper reader of English (`huashen.chat.deep`): what SmolLM2 needs to tell whether a passage answers a question.

    Q=tests/questions
    python -m huashen.train.deep $Q/{train,more,documents,siblings,worded} -o src/huashen/chat/deep.npz --device cuda

The questions, what each is shown with and what it has to say are those of `huashen.train.reranker`. The language model stays as it is; to
each of its matrices a product of two narrow ones is added (LoRA; Hu et al. 2021, arXiv:2106.09685), and the last token's state is
read against a direction that begins as that from " No" to " Yes". A run that was stopped goes on where it was.
"""

import argparse
import random
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from huashen import weights
from huashen.chat import meaning
from huashen.chat.deep import CARD, PASSAGE, QUESTION, SCALE, asked
from huashen.chat.smollm import MATRICES, SmolLM
from huashen.errors import HuashenError, InputError, MissingWeightsError
from huashen.files import replacing
from huashen.train import reranker
from huashen.train.reranker import Business, Read, businesses, missed, priors, say, score
from huashen.words import tr

RANK = 32
"""Of what is added to a matrix."""
RATE = 1e-3
QUESTIONS = 64
PASSAGES = 8
EPOCHS = 3
WARM = 0.04
"""Share of the steps in which the rate rises."""
STEP = 0.25
"""What is learned is rounded to, in standard deviations of a row."""
_KEEP = 100
"""Steps between two notes of where it is."""


class Net(nn.Module):
    """The network: pairs of a passage and a question to how well the first answers the second; 0: as likely as that nothing does."""

    def __init__(self, base: SmolLM, rank: int = RANK, device: str = "cpu") -> None:
        super().__init__()
        self.base = base
        self.device = torch.device(device)
        fast = device != "cpu" or any(torch.cpu.get_capabilities().get(name) for name in ("avx512_bf16", "amx_bf16"))
        kind = self.precision = torch.bfloat16 if fast else torch.float32
        layers = [base.layer(number) for number in range(base.count)]
        self.fixed = [{part: torch.tensor(layer.matrices[part]).to(device, kind) for part in MATRICES} for layer in layers]
        self.norms = [tuple(torch.tensor(value).to(device, kind) for value in (layer.attention, layer.forward)) for layer in layers]
        sizes = {part: value.shape for part, value in self.fixed[0].items()}
        self.narrow = nn.ModuleList(
            nn.ParameterDict({part: torch.randn(rank, into) * into**-0.5 for part, (_, into) in sizes.items()}) for _ in layers
        )
        self.back = nn.ModuleList(
            nn.ParameterDict({part: torch.zeros(out, rank) for part, (out, _) in sizes.items()}) for _ in layers
        )
        yes, no = (base.rows(base.tokens(word)[:1])[0] for word in (" Yes", " No"))
        self.end, self.bias = nn.Parameter(torch.tensor(yes - no)), nn.Parameter(torch.zeros(()))
        self.norm = nn.Buffer(torch.tensor(base.norm).to(kind), persistent=False)
        self.words = nn.Buffer(torch.tensor(base.rows(range(base.words)).astype(np.float16)), persistent=False)
        self.turns = nn.Buffer(torch.tensor(base.turns), persistent=False)
        self.to(self.device)

    def forward(self, pairs: Sequence[Sequence[int]]) -> Tensor:
        """Return a number for each pair."""
        lengths = torch.tensor([len(pair) for pair in pairs], device=self.device)
        ids = np.zeros((len(pairs), max(map(len, pairs))), np.int64)  # what fills up comes last, where nothing looks back at it
        for row, pair in enumerate(pairs):
            ids[row, : len(pair)] = pair
        x = self.words[torch.tensor(ids, device=self.device)].to(self.precision)
        angles = torch.arange(x.shape[1], device=self.device)[:, None] * self.turns
        cos, sin = angles.cos().to(self.precision)[:, None], angles.sin().to(self.precision)[:, None]
        for number, norms in enumerate(self.norms):
            x = self._layer(x, number, norms, cos, sin)
        last = x[torch.arange(len(pairs), device=self.device), lengths - 1]
        state = functional.rms_norm(last, last.shape[-1:], self.norm, float(self.base.epsilon)).float()
        return state @ self.end + self.bias

    def _layer(self, x: Tensor, number: int, norms: tuple[Tensor, ...], cos: Tensor, sin: Tensor) -> Tensor:
        base, (b, t, n) = self.base, x.shape
        narrow: Any = self.narrow[number]
        back: Any = self.back[number]

        def times(value: Tensor, part: str) -> Tensor:
            low = functional.linear(value, narrow[part].to(value.dtype))
            return functional.linear(value, self.fixed[number][part]) + SCALE * functional.linear(low, back[part].to(value.dtype))

        def turned(value: Tensor) -> Tensor:
            left, right = value[..., 0::2], value[..., 1::2]
            return torch.stack([left * cos - right * sin, left * sin + right * cos], -1).flatten(-2)

        y = functional.rms_norm(x, (n,), norms[0], float(base.epsilon))
        q = turned(times(y, "attn_q").view(b, t, base.heads, base.size))
        k = turned(times(y, "attn_k").view(b, t, base.pairs, base.size))
        v = times(y, "attn_v").view(b, t, base.pairs, base.size)
        k, v = (value.repeat_interleave(base.heads // base.pairs, 2).transpose(1, 2) for value in (k, v))
        mixed = functional.scaled_dot_product_attention(q.transpose(1, 2), k, v, is_causal=True)
        x = x + times(mixed.transpose(1, 2).reshape(b, t, n), "attn_output")
        y = functional.rms_norm(x, (n,), norms[1], float(base.epsilon))
        return x + times(functional.silu(times(y, "ffn_gate")) * times(y, "ffn_up"), "ffn_down")


def spelled(read: Read, business: Business, base: SmolLM) -> None:
    """Let a business be shown in the language model's tokens, the passage first."""
    read.asked = [base.tokens(asked(question))[:QUESTION] for question, _ in business.questions]
    read.told = [base.tokens(meaning.spelled(passage))[:PASSAGE] for passage in business.passages]
    read.pair = lambda question, passage: [*passage, *question]


def trained(
    reads: Sequence[Read], base: SmolLM, kept: Path, *, steps: int, rate: float = RATE, each: int = QUESTIONS, passages: int = PASSAGES,
    rank: int = RANK, device: str = "cpu", seed: int = 0,
) -> Net:  # fmt: skip
    """Train on all questions.

    Args:
        reads: the businesses, with what each question says by itself (`priors`).
        base: what it begins as.
        kept: holds where it is, and is gone on from when it is there; whoever has the result may remove it.
        steps: how many.
        rate: the highest learning rate.
        each: questions of a step.
        passages: what a question is shown with.
        rank: of what is added to a matrix.
        device: where, as torch names it.
        seed: of what is drawn.
    """
    torch.manual_seed(seed)
    net = Net(base, rank, device).train()
    questions = [(k, row) for k, read in enumerate(reads) for row in range(len(read.right))]
    epoch = len(questions) // each
    optimiser = torch.optim.AdamW(net.parameters(), lr=rate, weight_decay=0, betas=(0.9, 0.98))
    falling = torch.optim.lr_scheduler.LambdaLR(
        optimiser, lambda at: min(1, at / (WARM * steps) + 0.02, max(0.01, (1 - at / steps) / 0.9)),
    )  # fmt: skip
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
        some = order[step % epoch * each :][:each]
        shown = [reads[k].shown(row, chance, passages) for k, row in some]
        parts = torch.split(score(net, [pair for pairs in shown for pair in pairs]), list(map(len, shown)))
        loss = missed(parts, [bool(reads[k].right[row]) for k, row in some], [reads[k].prior[row] for k, row in some]).mean()
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


def packed(net: Net) -> dict[str, NDArray[Any]]:
    """Return what the network learned, small: whole numbers, with a step for each row."""
    made: dict[str, NDArray[Any]] = {
        "end": net.end.detach().cpu().numpy().astype(np.float16), "bias": net.bias.detach().cpu().numpy().astype(np.float16),
    }  # fmt: skip
    for letter, layers in (("a", net.narrow), ("b", net.back)):
        for number, layer in enumerate(layers):
            for part, value in layer.items():  # type: ignore[operator]
                rows = value.detach().float().cpu().numpy()
                step = np.maximum(STEP * rows.std(1), 6e-8).astype(np.float16)
                whole = np.round(rows / step.astype(np.float32)[:, None])
                made |= {f"{number}.{part}.{letter}": np.clip(whole, -127, 127).astype(np.int8), f"{number}.{part}.{letter}.step": step}
    return made


def main(arguments: Sequence[str] | None = None) -> None:
    """Train, and write what was learned."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", type=Path, nargs="+", help=".txt files of businesses, or folders of them; en*")
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--epochs", type=int, default=EPOCHS)
    parser.add_argument("--steps", type=int, help="it ends there, whatever the epochs")
    parser.add_argument("--rate", type=float, default=RATE)
    parser.add_argument("--rank", type=int, default=RANK, help="of what is added to a matrix")
    parser.add_argument("--questions", type=int, default=QUESTIONS, dest="each", help="of a step")
    parser.add_argument("--passages", type=int, default=PASSAGES, help="that a question is shown with")
    parser.add_argument("--device", default="cpu", help="where it is trained, as torch names it: cuda")
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    try:
        made(
            options.folders, options.output, epochs=options.epochs, most=options.steps, rate=options.rate, rank=options.rank,
            each=options.each, passages=options.passages, device=options.device,
        )  # fmt: skip
    except HuashenError as error:
        raise SystemExit(str(error)) from error


def made(
    questions: Sequence[Path], output: Path, *, epochs: int, most: int | None, rate: float, rank: int, each: int, passages: int,
    device: str,
) -> None:  # fmt: skip
    """Train on folders of questions and write what was learned (see `trained`).

    Raises:
        InputError: there are fewer English questions than a step has; or torch does not know the device.
        MissingWeightsError: the language model, or E5, which tells which passages are near to a question, is not here.
        UnreadableError: one of them cannot be read.
    """
    reranker.usable(device)
    files = [file for place in questions for file in ([place] if place.suffix == ".txt" else sorted(place.glob("*.txt")))]
    every = businesses([file for file in files if file.name.startswith("en")])
    count = sum(len(one.questions) for one in every)
    if count < each:
        raise InputError(tr(
            f"{count} English questions are fewer than a step has, which is {each}; give more, or fewer with --questions",
            f"英语问题 {count} 个，不足一步所需的 {each} 个；请增加问题，或用 --questions 减少",
        ))  # fmt: skip
    near = meaning.network()
    for name, there in ((CARD, weights.present(CARD)), (meaning.CARD, near is not None)):
        if not there:
            raise MissingWeightsError(tr(f"run: huashen weights get {name}", f"请运行：huashen weights get {name}"))
    assert near is not None
    base = SmolLM(weights.path(CARD))
    say(f"{len(every)} businesses, {count} questions")
    net = reranker.Net(near, device)
    reads = []
    for number, business in enumerate(every, 1):
        reads.append(Read(business, net))
        if not number % 50:
            say(f"{number} businesses read")
    del net
    for read, prior, business in zip(reads, priors(reads), every, strict=True):
        read.prior = prior
        spelled(read, business, base)
    kept = output.with_suffix(".partial")
    steps = min(count // each * epochs, most or count // each * epochs)
    learned = trained(reads, base, kept, steps=steps, rate=rate, each=each, passages=passages, rank=rank, device=device)
    with replacing(output) as beside, beside.open("wb") as file:
        np.savez_compressed(file, **packed(learned))  # type: ignore[arg-type]
    kept.unlink(missing_ok=True)
    say(f"{output} {output.stat().st_size} bytes")


if __name__ == "__main__":
    main()
