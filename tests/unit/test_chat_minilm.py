"""The network that reads English: its pieces of words, its numbers, and what of it is kept."""

import json
import struct
from pathlib import Path

import numpy as np
import pytest

import toy_minilm
from huashen.chat import minilm, rerank
from huashen.chat.encoder import LONG
from huashen.errors import UnreadableError

PIECES = toy_minilm.PIECES


@pytest.mark.parametrize(("text", "pieces"), [
    ("ab aba", "ab ab ##a"),
    ("The", "[UNK]"),
    ("Café is £7.", "cafe is £ ##7 ."),
    ("it's ab-ca?", "[UNK] ' s ab - ca ?"),
    (" we\t\nwe\u00ad", "we we"),
    ("we猫b", "we 猫 b"),
    ("abx", "[UNK]"),
    ("", ""),
])  # fmt: skip
def test_words_are_cut_into_the_longest_pieces(text: str, pieces: str) -> None:
    made = toy_minilm.network().tokens(text)
    assert [PIECES[number] for number in made] == ["[CLS]", *pieces.split(), "[SEP]"]


def test_a_long_text_is_cut_off_and_a_pair_has_its_places() -> None:
    network = toy_minilm.network()
    long = network.tokens("ab " * 999)
    assert len(long) == LONG + 2
    pair = network.pair(long, long)
    assert len(pair) == minilm.PLACES
    assert pair[0] == long[0]
    assert pair.count(long[-1]) == 2
    assert np.isfinite(network.run([pair, [2, 3]])[0]).all()


def test_its_numbers_are_those_of_torchs_own_layers() -> None:
    torch = pytest.importorskip("torch", reason="wants torch: pip install 'huashen[train]'")
    held = {name: torch.tensor(value) for name, value in toy_minilm.tensors().items()}
    network = toy_minilm.network()
    batch = [network.tokens(text) for text in ("ab ca we", "we")]
    got, there = network.run(batch)
    ids = torch.tensor([[*row, *[3] * (len(batch[0]) - len(row))] for row in batch])
    x = held["embeddings.word_embeddings.weight"][ids] + held["embeddings.position_embeddings.weight"][: ids.shape[1]]
    x = x + held["embeddings.token_type_embeddings.weight"][0]
    x = torch.nn.functional.layer_norm(x, x.shape[-1:], held["embeddings.LayerNorm.weight"], held["embeddings.LayerNorm.bias"], 1e-12)
    for k in range(toy_minilm.LAYERS):
        part = {name.removeprefix(f"encoder.layer.{k}."): value for name, value in held.items() if name.startswith(f"encoder.layer.{k}.")}
        layer = torch.nn.TransformerEncoderLayer(
            toy_minilm.WIDTH, 12, toy_minilm.INNER, 0.0, activation="gelu", layer_norm_eps=1e-12, batch_first=True,
        )  # fmt: skip
        names = {"out_proj": "attention.output.dense", "linear1": "intermediate.dense", "linear2": "output.dense",
                 "norm1": "attention.output.LayerNorm", "norm2": "output.LayerNorm"}  # fmt: skip
        state = {f"{'self_attn.' if mine == 'out_proj' else ''}{mine}.{kind}": part[f"{theirs}.{kind}"]
                 for mine, theirs in names.items() for kind in ("weight", "bias")}  # fmt: skip
        for kind in ("weight", "bias"):
            state[f"self_attn.in_proj_{kind}"] = torch.cat([part[f"attention.self.{name}.{kind}"] for name in ("query", "key", "value")])
        layer.load_state_dict(state)
        with torch.no_grad():
            x = layer.train()(x, src_key_padding_mask=torch.tensor(there) == 0)
    for row, numbers in enumerate(batch):
        np.testing.assert_allclose(got[row, : len(numbers)], x[row, : len(numbers)].numpy(), atol=5e-3)  # its GELU is an approximation


def test_the_published_layout_is_read(tmp_path: Path) -> None:
    bodies, said, at = b"", {}, 0
    for name, value in {**toy_minilm.tensors(), "embeddings.position_ids": np.arange(400)}.items():
        kind = "F32" if value.dtype == np.float32 else "I64"
        said[name] = {"dtype": kind, "shape": list(value.shape), "data_offsets": [at, at + value.nbytes]}
        bodies += value.tobytes()
        at += value.nbytes
    head = json.dumps({"__metadata__": {"format": "pt"}, **said}).encode()
    (tmp_path / "model.safetensors").write_bytes(struct.pack("<Q", len(head)) + head + bodies)
    (tmp_path / "vocab.txt").write_text("\n".join(PIECES) + "\n", "utf-8")
    network = minilm.published(tmp_path)
    np.testing.assert_array_equal(network.states(["ab ca"])[0], toy_minilm.network().states(["ab ca"])[0])
    (tmp_path / "vocab.txt").write_text("\n".join(PIECES[:-1]) + "\n", "utf-8")
    with pytest.raises(UnreadableError, match="does not hold all-MiniLM-L6-v2: 22 pieces, 23 vectors"):
        minilm.published(tmp_path)
    with pytest.raises(UnreadableError, match="does not hold all-MiniLM-L6-v2"):
        minilm.published(tmp_path / "nowhere")


def test_what_is_kept_of_it_gives_nearly_the_same(tmp_path: Path) -> None:
    network = toy_minilm.network()
    np.savez_compressed(tmp_path / "x.npz", **minilm.packed(network))
    again = minilm.read(tmp_path / "x.npz")
    assert again.vocabulary == PIECES
    one, other = (net.states(["ab we ca"])[0].ravel() for net in (network, again))
    assert np.corrcoef(one, other)[0, 1] > 0.98
    for was, value in zip(network.stack[1], again.stack[1], strict=True):
        assert ((value - was) ** 2).sum() < 0.01 * (was**2).sum() + 1e-6  # a quarter of a standard deviation as a step: 0.5 %
    np.savez_compressed(tmp_path / "twice.npz", **minilm.packed(again))
    twice = minilm.read(tmp_path / "twice.npz").states(["ab we ca"])[0].ravel()
    assert np.corrcoef(other, twice)[0, 1] > 0.98


def test_another_or_a_broken_file_is_said_to_be_one(tmp_path: Path) -> None:
    made = minilm.packed(toy_minilm.network())
    np.savez_compressed(tmp_path / "less.npz", **{name: value for name, value in made.items() if "layer.1.output.dense" not in name})
    np.savez_compressed(tmp_path / "none.npz", **{name: value for name, value in made.items() if "layer" not in name})
    (tmp_path / "text.npz").write_bytes(b"PK nothing")
    for name in ("less", "none", "text", "nowhere"):
        with pytest.raises(UnreadableError, match=rf"{name}\.npz is not a reader"):
            minilm.read(tmp_path / f"{name}.npz")


def test_the_one_that_is_shipped_knows_what_answers() -> None:
    told = ["Dogs on leads are welcome in the garden and the shop.", "The garden opens at nine.", "Parking costs £3 a day, or £90 a year."]
    for question, right in (("can I bring my dog", 0), ("what time do you open?", 1), ("how much is it to leave the car", 2)):
        values = rerank.english().answers(question, told)
        assert values.argmax() == right
        assert values[right] > 0
    assert rerank.english().answers("do you sell bicycle tyres", told).max() < 0
