"""The deeper reader of English: the language model in NumPy, what it is taught, and what of its reading is kept."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import toy_e5
import toy_smollm
from huashen import weights
from huashen.chat import deep, meaning, rerank, search
from huashen.chat.deep import Deep
from huashen.chat.documents import Passage
from huashen.chat.e5 import E5
from huashen.chat.library import Library
from huashen.chat.search import Index
from huashen.chat.smollm import Floats, SmolLM
from huashen.errors import UnreadableError
from toy_smollm import BASE, EPSILON, HEADS, LAYERS, PAIRS, PIECES, WIDTH


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Floats]]:
    path = tmp_path_factory.mktemp("lm") / "tiny.gguf"
    return path, toy_smollm.write(path)


@pytest.fixture(scope="module")
def model(tiny: tuple[Path, dict[str, Floats]]) -> SmolLM:
    return SmolLM(tiny[0])


def run(model: SmolLM, texts: Sequence[Sequence[int]], pasts: Any = None) -> Any:
    return model.run(texts, [model.layer(k) for k in range(model.count)], pasts)


@pytest.mark.parametrize(("text", "pieces"), [
    ("abab ab abab", ["abab", "Ġab", "Ġabab"]),
    ("caab", ["ca", "ab"]),
    ("c12 34", ["c", "1", "2", "Ġ", "3", "4"]),
    ("it's", ["i", "t", "'", "s"]),
    ("a  b\n\n", ["a", "Ġ", "Ġ", "b", "Ċ", "Ċ"]),
    ("_é", ["_", "Ã", "©"]),
    ("", []),
])  # fmt: skip
def test_bytes_are_joined_in_the_order_that_was_learned(model: SmolLM, text: str, pieces: list[str]) -> None:
    assert [PIECES[number] for number in model.tokens(text)] == pieces


def test_the_network_is_llamas(tiny: tuple[Path, dict[str, Floats]], model: SmolLM) -> None:
    w = {name: value.astype(np.float64) for name, value in tiny[1].items()}
    ids = model.tokens("ab ca abab")
    size = WIDTH // HEADS

    def normal(x: Any, name: str) -> Any:
        return x / np.sqrt((x * x).mean() + EPSILON) * w[name]

    def turned(x: Any, place: int) -> Any:
        made = x.copy()
        for k in range(size // 2):
            angle = place * BASE ** (-2 * k / size)
            made[2 * k] = x[2 * k] * np.cos(angle) - x[2 * k + 1] * np.sin(angle)
            made[2 * k + 1] = x[2 * k] * np.sin(angle) + x[2 * k + 1] * np.cos(angle)
        return made

    x = w["token_embd.weight"][ids]
    for k in range(LAYERS):
        y = np.stack([normal(row, f"blk.{k}.attn_norm.weight") for row in x])
        q, key, v = (y @ w[f"blk.{k}.attn_{name}.weight"].T for name in "qkv")
        mixed = np.zeros_like(x)
        for head in range(HEADS):
            mine, theirs = slice(head * size, (head + 1) * size), slice(head // PAIRS * size, (head // PAIRS + 1) * size)
            for place in range(len(ids)):
                asks = turned(q[place, mine], place)
                worth = np.exp([asks @ turned(key[other, theirs], other) / np.sqrt(size) for other in range(place + 1)])
                mixed[place, mine] = worth @ v[: place + 1, theirs] / worth.sum()
        x = x + mixed @ w[f"blk.{k}.attn_output.weight"].T
        y = np.stack([normal(row, f"blk.{k}.ffn_norm.weight") for row in x])
        gate = y @ w[f"blk.{k}.ffn_gate.weight"].T
        x = x + (gate / (1 + np.exp(-gate)) * (y @ w[f"blk.{k}.ffn_up.weight"].T)) @ w[f"blk.{k}.ffn_down.weight"].T
    x = np.stack([normal(row, "output_norm.weight") for row in x])
    np.testing.assert_allclose(run(model, [ids])[0][0], x, atol=1e-4)


def test_a_text_goes_on_where_another_ended_whatever_the_company(model: SmolLM) -> None:
    long, short = model.tokens("abab ca 12 ab c b a"), model.tokens("ca b")
    whole, _ = run(model, [long, short])
    _, pasts = run(model, [short[:1], long[:4]])
    rest, left = run(model, [short[1:], long[4:]], pasts)
    np.testing.assert_allclose(rest[1], whole[0][4:], atol=1e-5)
    np.testing.assert_allclose(rest[0], whole[1][1:], atol=1e-5)
    assert left[1].keys.shape == (LAYERS, PAIRS, len(long) - 4, WIDTH // HEADS)


def test_another_or_a_broken_file_is_said_to_be_one(tiny: tuple[Path, dict[str, Floats]], tmp_path: Path) -> None:
    whole = tiny[0].read_bytes()
    for content in (b"", b"something else" * 9, whole[:60], whole[:3000], whole.replace(b"head_count_kv", b"head_count_xy")):
        (tmp_path / "x.gguf").write_bytes(content)
        with pytest.raises(UnreadableError, match=r"x\.gguf is not a language model"):
            SmolLM(tmp_path / "x.gguf")
    (tmp_path / "x.gguf").write_bytes(whole[:-5000])
    broken = SmolLM(tmp_path / "x.gguf")
    with pytest.raises(UnreadableError, match="layer 1 is broken"):
        broken.layer(LAYERS - 1)


def test_it_gives_what_the_published_weights_give(weight: Callable[[str], Path]) -> None:
    """Against transformers 5 with the same file: pieces, and the first six numbers of the last state."""
    network = SmolLM(weight(deep.CARD))
    ids = network.tokens(TEXT)
    assert ids == IDS
    np.testing.assert_allclose(run(network, [ids])[0][0][-1, :6], LAST, atol=2e-3)


TEXT = "What does parking cost on 24 December?\nIt's £7.50 — don't_forget  the ticket!"
IDS = [
    1780, 1072, 16452, 1708, 335, 216, 34, 36, 4645, 47, 198, 1589, 506, 10257, 39, 30, 37, 32, 1841, 1326, 982, 79, 20262,
    216, 260, 19574, 17,
]  # fmt: skip
LAST = [-1.2789, -0.7994, 0.2523, 1.2659, 0.0773, -0.6551]


def test_what_the_package_ships_tells_apart_what_a_customer_would(weight: Callable[[str], Path]) -> None:
    reader = Deep(SmolLM(weight(deep.CARD)))
    told = ["Family rooms sleep four, with a double bed below.", "The Chart Room seats 30 and can be hired for £35 an hour."]
    assert reader.answers("How many of us fit in a family room?", told).argmax() == 0
    told = ["Bed linen is included, and your bed is made up when you arrive.", "Our garden closes at dusk."]
    right, none = reader.answers("do i have to bring my own sheets", told)
    assert right > 0 > none


torch = pytest.importorskip("torch", reason="wants torch: pip install 'huashen[train]'")

from huashen.train import deep as training  # noqa: E402
from huashen.train import reranker  # noqa: E402


@pytest.fixture(scope="module", autouse=True)
def alone() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # several wait for each other where other programs are at work
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> E5:
    path = tmp_path_factory.mktemp("e5") / "tiny.bin"
    toy_e5.write(path)
    return E5(path)


@pytest.fixture(scope="module")
def questions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What is asked is answered by the passage with an x, and nothing answers "c c c"."""
    lines = []
    for number in range(8):
        lines += [f"= business {number}", "abab ab", "ca ca", "ba a", "aba c", "x ca" if number % 2 else "ab x"]
        lines += ["? ab ab", "? ba", "? ca a", "! c c c", "! c c c c"]
    path = tmp_path_factory.mktemp("questions") / "en-made.txt"
    path.write_text("\n".join(lines), "utf-8")
    return path


@pytest.fixture(scope="module")
def reads(base: E5, model: SmolLM, questions: Path) -> list[reranker.Read]:
    found = []
    for business in reranker.businesses([questions]):
        read = reranker.Read(business, reranker.Net(base))
        training.spelled(read, business, model)
        found.append(read)
    return found


@pytest.fixture(scope="module")
def learned(reads: list[reranker.Read], model: SmolLM, tmp_path_factory: pytest.TempPathFactory) -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reranker, "WITHOUT", 0.0)
        return training.trained(reads, model, tmp_path_factory.mktemp("net") / "kept", steps=60, each=8, passages=4, rank=4, rate=2e-2)


@pytest.fixture(scope="module")
def taught(learned: Any, model: SmolLM, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("deep") / "deep.npz"
    np.savez_compressed(path, **training.packed(learned))
    return path


TOLD = ["x ca", "abab ab", "ca ca", "ba a"]


def test_it_learns_which_passage_answers_and_that_none_does(model: SmolLM, taught: Path) -> None:
    reader = Deep(model, taught)
    right, *wrong = reader.answers("ab ab", TOLD)
    assert right > 0 > max(*wrong, *reader.answers("c c c", TOLD))


def test_numpy_reads_as_torch_does(model: SmolLM, learned: Any, taught: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", dict)  # in full precision
    net = training.Net(model, 4)
    net.load_state_dict(learned.state_dict())
    exact = {name: getattr(net, name).detach().numpy() for name in ("end", "bias")}
    for letter, layers in (("a", net.narrow), ("b", net.back)):
        for number, layer in enumerate(layers):
            for part, value in layer.items():
                exact |= {f"{number}.{part}.{letter}": value.detach().numpy(), f"{number}.{part}.{letter}.step": np.ones(len(value))}
    path = taught.with_name("exact.npz")
    np.savez(path, **exact)
    with torch.no_grad():
        expected = net([[*model.tokens(text), *model.tokens(deep.asked("ba ca"))] for text in TOLD]).numpy()
    np.testing.assert_allclose(Deep(model, path).answers("ba ca", TOLD), expected, atol=0.05)  # torch has its words in half precision
    rounded = Deep(model, taught).answers("ba ca", TOLD)
    assert 0 < np.abs(rounded - expected).max() < 0.5 * np.ptp(expected)


def test_a_run_that_was_stopped_goes_on(reads: list[reranker.Read], model: SmolLM, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "_KEEP", 3)
    how = {"steps": 8, "each": 4, "passages": 3, "rank": 2}
    whole = training.trained(reads, model, tmp_path / "never", **how)
    calls = []

    def once(*given: Any) -> Any:
        calls.append(given)
        if len(calls) == 6:
            raise KeyboardInterrupt
        return reranker.score(*given)

    monkeypatch.setattr(training, "score", once)
    with pytest.raises(KeyboardInterrupt):
        training.trained(reads, model, tmp_path / "kept", **how)
    again = training.trained(reads, model, tmp_path / "kept", **how)
    assert len(calls) == 6 + 5  # three steps were kept
    for mine, theirs in zip(whole.parameters(), again.parameters(), strict=True):
        torch.testing.assert_close(mine, theirs, atol=1e-4, rtol=1e-3)


def test_the_command_trains_and_says_what_is_missing(
    questions: Path, tiny: tuple[Path, dict[str, Floats]], base: E5, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any,
) -> None:  # fmt: skip
    monkeypatch.setattr(meaning, "network", lambda: base)
    for give, words in (
        (["--questions", "99"], "40 English questions are fewer than a step has"),
        (["--device", "warp", "--questions", "4"], "torch cannot compute on warp"),
        (["--questions", "4"], "huashen weights get smollm2_135m"),
    ):
        monkeypatch.setenv("HUASHEN_HOME", str(tmp_path / "empty"))
        with pytest.raises(SystemExit, match=words):
            training.main([str(questions), "-o", str(tmp_path / "deep.npz"), *give])
        assert not list(tmp_path.glob("*.npz"))
    monkeypatch.setattr(weights, "present", lambda name: True)
    monkeypatch.setattr(weights, "path", lambda name: tiny[0])
    training.main([str(questions.parent), "-o", str(tmp_path / "deep.npz"), "--questions", "4", "--steps", "25", "--rank", "2"])
    assert [path.name for path in tmp_path.iterdir()] == ["deep.npz"]
    assert "step 25 of 25" in capsys.readouterr().err
    assert np.isfinite(Deep(SmolLM(tiny[0]), tmp_path / "deep.npz").answers("ab", ["ca", "b"])).all()


def test_what_does_not_belong_to_it_is_said_not_to(model: SmolLM, taught: Path, tmp_path: Path) -> None:
    with np.load(taught) as arrays:
        held = {name: arrays[name] for name in arrays.files}
    for wrong in ({name: value for name, value in held.items() if name != "1.attn_q.b"}, held | {"0.attn_k.a": held["0.attn_k.a"][:, :9]}):
        np.savez(tmp_path / "wrong.npz", **wrong)
        with pytest.raises(UnreadableError, match=r"wrong\.npz is not a reader for this network"):
            Deep(model, tmp_path / "wrong.npz")
    (tmp_path / "wrong.npz").write_bytes(b"no")
    with pytest.raises(UnreadableError, match="is not a reader for this network"):
        Deep(model, tmp_path / "wrong.npz")


class Counting:
    """A language model that counts the tokens it reads."""

    def __init__(self, model: SmolLM) -> None:
        self._model = model
        self.read = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)

    def run(self, texts: Sequence[Sequence[int]], *more: Any) -> Any:
        self.read += sum(map(len, texts))
        return self._model.run(texts, *more)


def test_a_passage_is_read_once_and_the_oldest_is_forgotten(model: SmolLM, taught: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    counting = Counting(model)
    reader = Deep(counting, taught)  # type: ignore[arg-type]
    first = reader.answers("ba ca", TOLD)
    asked = len(model.tokens(deep.asked("ba ca")))
    told = sum(len(model.tokens(text)) for text in TOLD)
    assert counting.read == told + asked * len(TOLD)
    again = reader.answers("ba ca", [TOLD[2], TOLD[0], TOLD[2]])
    np.testing.assert_allclose(again, first[[2, 0, 2]], atol=1e-5)
    assert counting.read == told + asked * (len(TOLD) + 3)
    monkeypatch.setattr(deep, "KEPT", len(model.tokens(TOLD[0])) + len(model.tokens(TOLD[2])))
    reader.answers("ba", [TOLD[2]])
    reader.answers("ba", [TOLD[0]])
    reader.answers("ba", ["c"])  # now the last ones asked for are kept only, as many as fit
    counting.read = 0
    reader.warm([TOLD[0]])
    assert counting.read == 0
    reader.warm([TOLD[1]])
    assert counting.read == len(model.tokens(TOLD[1]))
    counting.read = 0
    reader.warm(TOLD)  # more than can be kept
    assert counting.read == 0


def test_only_so_much_is_read_at_once(model: SmolLM, taught: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deep, "TOKENS", len(model.tokens(TOLD[0])) + len(model.tokens(TOLD[1])))
    reader = Deep(model, taught)
    assert len(reader.answers("ba ca", TOLD)) == 2
    assert len(reader.answers("ba ca", TOLD)) > 2  # two of them had been read
    assert reader.answers("ba ca", ["ab " * 999]).shape == (1,)


def told(*texts: str) -> list[Passage]:
    return [Passage("a.md", "", "", "", text) for text in texts]


@pytest.mark.parametrize(
    ("said", "deeper", "first", "read"),
    [((1, 0, -1), (-9, 0), 1, [0, 1]), ((1, 0, -1), (9, 0), 0, [0, 1]), ((9, 0, -1), (-99, 99), 0, []), ((-1, 1, 2.9), (0, 0), 2, [2, 1])],
)  # fmt: skip
def test_the_best_two_are_read_by_both_where_none_answers_for_certain(
    base: E5, monkeypatch: pytest.MonkeyPatch, said: Sequence[float], deeper: Sequence[float], first: int, read: list[int],
) -> None:  # fmt: skip
    passages = told("The boat.", "A boat.", "Boats.")
    noted: list[str] = []

    def more(question: str, texts: Sequence[str]) -> Floats:
        noted.extend(texts)
        return np.array(deeper, np.float32)

    def some(question: str, texts: Sequence[str]) -> Floats:
        return np.array([said[[passage.text for passage in passages].index(text)] for text in texts], np.float32)

    near = np.array([0.5, 0.5, 0.5], np.float32)
    monkeypatch.setattr(meaning, "head", lambda: toy_maps())
    known = meaning.Meaning(base, passages, reranker=SimpleNamespace(answers=some), reader=SimpleNamespace(answers=more))  # type: ignore[arg-type]
    monkeypatch.setattr(known, "near", lambda question: (near, near))
    monkeypatch.setattr(search, "ENOUGH", 99.0)  # all are read
    monkeypatch.setattr(search, "RANK_READ_DEEP", 1000.0)  # nothing else counts
    hit = Index(passages, known).search("what floats")[0]
    assert (hit.passage, hit.by) == (passages[first], "deep")
    assert noted == [passages[number].text for number in read]
    noted.clear()
    assert Index(passages, known).search("船几点开？")[0].by == "meaning"
    assert noted == []


def toy_maps() -> dict[str, Floats]:
    size = toy_e5.WIDTH
    shapes = {"words": (size, 16), "whole": (size, size), "words_mean": (size,), "whole_mean": (size,), "weight": (size,), "bias": ()}
    return {name: np.random.default_rng(3).normal(0, 1, shape).astype(np.float32) for name, shape in shapes.items()}


def test_documents_in_english_are_read_by_it_and_made_warm(base: E5, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    warmed: list[str] = []
    reader = SimpleNamespace(
        answers=lambda question, texts: np.full(len(texts), 9, np.float32), warm=warmed.extend,
    )  # fmt: skip
    monkeypatch.setenv("HUASHEN_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(meaning, "head", lambda: toy_maps())
    monkeypatch.setattr(meaning, "network", lambda: base)
    monkeypatch.setattr(meaning, "shipped", lambda network: reader)
    monkeypatch.setattr(meaning, "_stamp", lambda: "toy")
    monkeypatch.setattr(deep, "shipped", lambda: reader)
    (tmp_path / "en.txt").write_text("Parking costs 3 euros.\n\nDogs are welcome.", "utf-8")
    (tmp_path / "both.txt").write_text("Parking costs 3 euros.\n\n可以带狗。", "utf-8")
    assert Library(tmp_path / "en.txt").search("what does parking cost", count=1)[0].by == "deep"
    assert warmed == ["Parking costs 3 euros.", "Dogs are welcome."]
    assert Library(tmp_path / "both.txt").search("what does parking cost", count=1)[0].by == "meaning"
    assert rerank.TOKENS == deep.TOKENS
