"""The reranker: what it learns, what of it is kept, and what NumPy makes of that."""

import itertools
import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import toy_e5
import toy_minilm
from huashen.chat import minilm, rerank
from huashen.chat.e5 import E5
from huashen.errors import InputError, UnreadableError

torch = pytest.importorskip("torch", reason="wants torch: pip install 'huashen[train]'")

from huashen.train import reranker as training  # noqa: E402

told_apart = training.priors  # as it is where a test has put another in its place
TOLD = ["abab ab", "ca ca", "ba a", "aba c", "c", "ca ba", "a", "bab"]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> E5:
    path = tmp_path_factory.mktemp("e5") / "tiny.bin"
    toy_e5.write(path)
    return E5(path)


@pytest.fixture(scope="module", autouse=True)
def short() -> Iterator[None]:
    """The tiny network learns fast."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "priors", lambda reads: [read.prior for read in reads])
        for name, value in (("DROPOUT", 0.0), ("END", 1), ("_KEEP", 10), ("WITHOUT", 0.0)):
            patch.setattr(training, name, value)
        threads = torch.get_num_threads()
        torch.set_num_threads(1)  # several wait for each other where other programs are at work
        yield
        torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def reads(base: E5, tmp_path_factory: pytest.TempPathFactory) -> list[training.Read]:
    """Businesses where what is asked is answered by the passage with "我们", and nothing answers "c c c"."""
    lines = []
    for number in range(8):
        lines += [f"= business {number}", *random.Random(number).sample(TOLD, 5), "我们 ca" if number % 2 else "ab 我们"]
        lines += ["? ab ab", "? ba", "? ca a", "! c c c", "! c c c c"]
    path = tmp_path_factory.mktemp("questions") / "made.txt"
    path.write_text("\n".join(lines), "utf-8")
    return [training.Read(business, training.Net(base)) for business in training.businesses([path])]


@pytest.fixture(scope="module")
def learned(base: E5, reads: list[training.Read], tmp_path_factory: pytest.TempPathFactory) -> Any:
    return training.trained(reads, base, tmp_path_factory.mktemp("net") / "kept", epochs=160, rate=1e-2)


def pairs_of(base: E5, question: str, told: Sequence[str]) -> list[list[int]]:
    asked = base.tokens(f"query: {question}")
    return [[*asked, asked[-1], *base.tokens(f"passage: {text}")[1:]] for text in told]


def test_it_learns_which_passage_answers_and_that_none_does(base: E5, learned: Any) -> None:
    with torch.no_grad():
        right, *wrong = training.score(learned, pairs_of(base, "ab ab", ["我们 ca", *TOLD])).tolist()
        none = training.score(learned, pairs_of(base, "c c c", ["我们 ca", *TOLD])).tolist()
    assert right > 0 > max(*wrong, *none)


def test_what_the_words_of_a_question_give_away_is_told_and_not_learned(base: E5, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Questions with "a" always have an answer and those with "c" never, but that is not the passages' doing."""
    lines = []
    for number in range(10):
        lines += [f"= business {number}", *random.Random(number).sample(TOLD, 5), "我们 ca" if number % 2 else "ab 我们"]
        lines += ["? ab ab", "? ba ab", "? ab a", "! c ca c", "! ca c c"]
    (tmp_path / "made.txt").write_text("\n".join(lines), "utf-8")
    reads = [training.Read(business, training.Net(base)) for business in training.businesses([tmp_path / "made.txt"])]
    monkeypatch.setattr(training, "WITHOUT", 0.5)
    priors = np.array(told_apart(reads))
    assert priors.shape == (10, 5)
    assert abs(priors[:, :3]).max() < 1 < -priors[:, 3:].max()  # shown without their answer every other time, and never with one
    answer = base.pair(reads[0].asked[0], reads[0].told[reads[0].right[0][0]])
    shown = [reads[0].shown(0, random.Random(number)) for number in range(20)]
    assert all(len(pairs) == training.PASSAGES and pairs[0] == answer and answer not in pairs[1:] for pairs in shown)
    assert len(reads[0].shown(3, random.Random(0))) == training.PASSAGES
    means = []
    for prior in (50.0, -50.0):  # where the question tells that there is an answer, the network has but to say when there is none
        monkeypatch.setattr(training, "priors", lambda reads, prior=prior: [[prior] * len(read.right) for read in reads])
        net = training.trained(reads, base, tmp_path / f"kept{prior}", epochs=4, rate=1e-2)
        with torch.no_grad():
            means.append(training.score(net, pairs_of(base, "ab ab", TOLD)).mean().item())
    assert means[0] < means[1] - 0.1


def test_a_question_has_its_answer_and_none_without_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "WITHOUT", 0.25)
    scores = torch.tensor([2.0, 1.0, -1.0])
    e = np.exp
    found, gone = e(2) / (1 + e(2) + e(1) + e(-1)), 1 / (1 + e(1) + e(-1))
    none, fewer = 1 / (1 + e(2) + e(1) + e(-1)), 1 / (1 + e(2) + e(1))
    lost = training.missed([scores, scores, scores - 3, scores[:2]], [True, False, False, False], [0.0, 0.0, 3.0, 0.0])
    expected = [-0.75 * np.log(found) - 0.25 * np.log(gone), -np.log(none), -np.log(none), -np.log(fewer)]
    np.testing.assert_allclose(lost, expected, atol=1e-5)


def test_the_nearest_are_those_of_the_network_it_begins_as(base: E5, reads: list[training.Read]) -> None:
    texts = ["query: ab ab", "query: ba", "passage: 我们 ca ab ab"]
    made = training.vectors(training.Net(base), [base.tokens(text) for text in texts]).numpy()
    means = [states.mean(0) for states in base.states(texts)]
    np.testing.assert_allclose(made, [mean / np.linalg.norm(mean) for mean in means], atol=0.02)
    assert sorted(reads[0].nearest[0]) == list(range(6))


def test_the_english_one_is_written_whole_and_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "en.txt").write_text("= shop\nab ca\n? ab\n? ca we\nab b\n? b\n! we is\nca b b\nwe we\n? we\n" * 4, "utf-8")
    (tmp_path / "zh.txt").write_text("not a line of a business", "utf-8")  # not English: not read
    np.savez_compressed(tmp_path / "start.npz", **training.packed(training.Net(toy_minilm.network()), toy_minilm.network()))
    options = ["--english", str(tmp_path / "start.npz"), "--epochs", "9", "--steps", "2", "--threads", "1"]
    monkeypatch.setattr(training, "QUESTIONS", 5)
    training.main([str(tmp_path), *options, "-o", str(tmp_path / "made.npz")])
    again = rerank.Reranker(minilm.read(tmp_path / "made.npz"), tmp_path / "made.npz")
    assert np.isfinite(again.answers("ab ca", ["we", "b b"])).all()
    before = minilm.read(tmp_path / "start.npz")
    assert any((one != other).any() for one, other in zip(before.stack[0], again.stack[0], strict=True))


def test_a_run_that_was_stopped_ends_as_one_that_was_not(base: E5, reads: list[training.Read], tmp_path: Path,
                                                         monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    monkeypatch.setattr(training, "DROPOUT", 0.1)
    whole = training.trained(reads, base, tmp_path / "whole", epochs=12, rate=1e-2)

    class StoppedError(Exception):
        pass

    real, steps = training.score, []

    def stopping(net: Any, pairs: Sequence[Sequence[int]]) -> Any:
        steps.append(1)
        if len(steps) == 15:
            raise StoppedError
        return real(net, pairs)

    monkeypatch.setattr(training, "score", stopping)
    with pytest.raises(StoppedError):
        training.trained(reads, base, tmp_path / "half", epochs=12, rate=1e-2)
    monkeypatch.setattr(training, "score", real)
    assert (tmp_path / "half").exists()
    again = training.trained(reads, base, tmp_path / "half", epochs=12, rate=1e-2)
    for one, other in zip(whole.parameters(), again.parameters(), strict=True):
        torch.testing.assert_close(one, other)


def test_numpy_gives_the_numbers_of_torch(base: E5, tmp_path: Path) -> None:
    torch.manual_seed(2)
    net = training.Net(base)
    with torch.no_grad():
        for value in net.layers.parameters():
            value += 0.1 * torch.randn_like(value)
        net.end.weight *= 20
    net.precision = torch.float32
    made = training.packed(net, base)
    np.savez_compressed(tmp_path / "learned.npz", **made)
    with torch.no_grad():
        for k, place in itertools.product(range(2), range(12)):  # the network as it is after rounding
            rounded = made[f"{k}.{place}"].astype(np.float32) * made.get(f"{k}.{place}.step", np.float32(1))
            value, was = net.layers[k].values[place], base.stack[k][place]
            lost = rounded.T - (value.numpy() - was.T)
            assert (lost**2).sum() < 0.05 * ((value.numpy() - was.T) ** 2).sum() + 1e-6
            value.copy_(torch.tensor(np.array((was + rounded).T, order="C")))
        told = [*TOLD, "我们 ab", "ab 我们 ca"]
        expected = training.score(net, pairs_of(base, "ab ca", told)).numpy()
    assert expected.std() > 0.01
    got = rerank.Reranker(base, tmp_path / "learned.npz").answers("ab ca", told)
    np.testing.assert_allclose(got, expected, atol=2e-3)


def test_it_goes_on_from_what_was_written(base: E5, learned: Any, tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "first.npz", **training.packed(learned, base))
    np.savez_compressed(tmp_path / "again.npz", **training.packed(training.begun(base, tmp_path / "first.npz"), base))
    first, again = (rerank.Reranker(base, tmp_path / f"{name}.npz").answers("ab ca", [*TOLD, "我们 ca"]) for name in ("first", "again"))
    assert np.corrcoef(first, again)[0, 1] > 0.9  # rounded twice


def test_what_it_reads_for_a_question_is_limited(base: E5, reads: list[training.Read], tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "learned.npz", **training.packed(training.Net(base), base))
    network = rerank.Reranker(base, tmp_path / "learned.npz")
    long = "abc " * 200
    assert len(network.answers("ab", [long] * 9)) == rerank.TOKENS // len([*base.tokens("query: ab"), *base.tokens(f"passage: {long}")])
    assert len(network.answers(long * 9, [long])) == 1
    np.testing.assert_allclose(network.answers("ab", ["ca", long, "ab"])[[0, 2]], network.answers("ab", ["ca", "ab"]), atol=1e-4)


@pytest.mark.parametrize("change", [lambda made: made.pop("final"), lambda made: made.update({"0.0": np.zeros((3, 3), np.int8)})])
def test_another_or_a_broken_file_is_said_to_be_one(base: E5, tmp_path: Path, change: Any) -> None:
    made = training.packed(training.Net(base), base)
    change(made)
    np.savez_compressed(tmp_path / "x.npz", **made)
    with pytest.raises(UnreadableError, match=r"x\.npz is not a reranker"):
        rerank.Reranker(base, tmp_path / "x.npz")
    (tmp_path / "x.npz").write_bytes(b"PK nothing")
    with pytest.raises(UnreadableError, match=r"x\.npz is not a reranker"):
        rerank.Reranker(base, tmp_path / "x.npz")


def test_questions_without_a_passage_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("= shop\n? where?\n", "utf-8")
    with pytest.raises(InputError, match="line 2"):
        training.businesses([tmp_path / "a.txt"])
    with pytest.raises(InputError, match="cannot be read"):
        training.businesses([tmp_path / "missing.txt"])
    with pytest.raises(SystemExit, match=r"holds no \.txt file"):
        training.main([str(tmp_path / "none"), "-o", str(tmp_path / "x.npz")])
    with pytest.raises(SystemExit, match="line 2"):
        training.main([str(tmp_path), "-o", str(tmp_path / "x.npz")])
    assert not (tmp_path / "x.npz").exists()


def test_what_cannot_be_trained_on_or_with_is_said_before_anything_is_read(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("= shop\nopen daily\n? when?\n! why?\n", "utf-8")
    out = tmp_path / "x.npz"
    with pytest.raises(SystemExit, match="fewer than 3 questions"):
        training.main([str(tmp_path), "-o", str(out), "--questions", "3"])
    with pytest.raises(SystemExit, match="cannot compute on nowhere here"):
        training.main([str(tmp_path), "-o", str(out), "--questions", "2", "--device", "nowhere"])
    assert not out.exists()
