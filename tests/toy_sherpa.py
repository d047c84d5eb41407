"""Tiny models for sherpa-onnx, in and out as its real ones have it: they know four tones, each of which stands for a token."""

from pathlib import Path
from typing import Any

import numpy as np

RATE = 16_000
TONES = {"▁hello": 400.0, "▁bo": 900.0, "b": 1700.0, "好": 3000.0}
"""What a tone of that many Hz stands for."""
SPECIAL = ("<|zh|>", "<|en|>", "<|NEUTRAL|>", "<|Speech|>", "<|withitn|>", "<|woitn|>")
BINS = 80


def sound(*tokens: str, each: float = 0.4, gap: float = 0.2) -> np.ndarray[Any, np.dtype[np.float32]]:
    """Return tones with pauses between them; "" is a pause of its own."""
    time = np.arange(round(each * RATE)) / RATE
    pieces = []
    for token in tokens:
        pieces.append(0.3 * np.sin(2 * np.pi * TONES[token] * time) if token else np.zeros(len(time)))
        pieces.append(np.zeros(round(gap * RATE)))
    return np.concatenate(pieces).astype(np.float32)


def _filters(offset: float) -> tuple[Any, Any]:
    """Return weights (80, tokens) and bias that turn a log mel spectrum into how far each tone stands above what counts as sound."""
    mel = np.array([1127 * np.log(1 + hz / 700) for hz in (20, 7600)])
    centres = np.linspace(*mel, BINS + 2)[1:-1]
    weights = np.zeros((BINS, len(TONES)), np.float32)
    for k, hz in enumerate(TONES.values()):
        weights[np.argmin(np.abs(centres - 1127 * np.log(1 + hz / 700))), k] = 1
    return weights, np.full(len(TONES), -offset, np.float32)


def _save(path: Path, nodes: list[Any], inputs: list[Any], outputs: list[Any], constants: dict[str, Any], about: dict[str, Any]) -> None:
    import onnx
    from onnx import helper, numpy_helper

    held = [numpy_helper.from_array(value, name) for name, value in constants.items()]
    graph = helper.make_graph(nodes, path.stem, inputs, outputs, held)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    for name, value in about.items():
        entry = model.metadata_props.add()
        entry.key, entry.value = name, str(value)
    onnx.save(model, str(path))


def _tokens(folder: Path, names: list[str]) -> None:
    (folder / "tokens.txt").write_text("".join(f"{name} {k}\n" for k, name in enumerate(names)), encoding="utf-8")


def zipformer(folder: Path) -> Path:
    """Write a streaming zipformer transducer: one symbol a tone, since its decoder forbids the symbol before."""
    from onnx import TensorProto, helper

    folder.mkdir(parents=True, exist_ok=True)
    names = ["<blk>", *TONES]
    _tokens(folder, names)
    size, chunk, whole, dim, kernel, left = len(names), 32, 45, 8, 3, 4
    value = helper.make_tensor_value_info
    floats, longs = TensorProto.FLOAT, TensorProto.INT64
    weights, bias = _filters(2.0)
    weights, bias = np.concatenate([np.zeros((BINS, 1), np.float32), weights], 1), np.concatenate([np.zeros(1, np.float32), bias])
    shapes = {
        "cached_key_0": (floats, [left, "N", dim]), "cached_nonlin_attn_0": (floats, [1, "N", left, 3 * dim // 4]),
        "cached_val1_0": (floats, [left, "N", dim]), "cached_val2_0": (floats, [left, "N", dim]),
        "cached_conv1_0": (floats, ["N", dim, kernel // 2]), "cached_conv2_0": (floats, ["N", dim, kernel // 2]),
        "embed_states": (floats, ["N", 128, 3, 19]), "processed_lens": (longs, ["N"]),
    }  # fmt: skip
    nodes = [
        helper.make_node("Slice", ["x", "first", "past", "axis", "step"], ["frames"]),
        helper.make_node("MatMul", ["frames", "weights"], ["bands"]), helper.make_node("Add", ["bands", "bias"], ["encoder_out"]),
        *(helper.make_node("Identity", [name], [f"new_{name}"]) for name in shapes),
    ]  # fmt: skip
    _save(
        folder / "encoder-epoch-1.onnx", nodes,
        [value("x", floats, ["N", whole, BINS]), *(value(name, kind, shape) for name, (kind, shape) in shapes.items())],
        [value("encoder_out", floats, ["N", chunk // 4, size]), *(value(f"new_{n}", kind, shape) for n, (kind, shape) in shapes.items())],
        {"weights": weights, "bias": bias, "first": np.array([0]), "past": np.array([chunk]), "axis": np.array([1]), "step": np.array([4])},
        {"model_type": "zipformer2", "version": 1, "encoder_dims": dim, "query_head_dims": dim, "value_head_dims": dim, "num_heads": 1,
         "num_encoder_layers": 1, "cnn_module_kernels": kernel, "left_context_len": left, "T": whole, "decode_chunk_len": chunk},
    )  # fmt: skip
    _save(
        folder / "decoder-epoch-1.onnx",
        [helper.make_node("Gather", ["y", "last"], ["before"], axis=1), helper.make_node("Gather", ["table", "before"], ["decoder_out"])],
        [value("y", longs, ["N", 2])], [value("decoder_out", floats, ["N", size])],
        {"last": np.array(1), "table": (-100 * np.eye(size) * (np.arange(size) > 0)).astype(np.float32)},
        {"vocab_size": size, "context_size": 2},
    )  # fmt: skip
    _save(
        folder / "joiner-epoch-1.onnx", [helper.make_node("Add", ["encoder_out", "decoder_out"], ["logit"])],
        [value("encoder_out", floats, ["N", size]), value("decoder_out", floats, ["N", size])], [value("logit", floats, ["N", size])],
        {}, {"joiner_dim": size},
    )  # fmt: skip
    return folder


def sense_voice(folder: Path) -> Path:
    """Write a SenseVoice: four tokens that tell of the sound, then one symbol a frame of seven spectra."""
    from onnx import TensorProto, helper

    folder.mkdir(parents=True, exist_ok=True)
    names = ["<unk>", *TONES, *SPECIAL]
    _tokens(folder, names)
    size = len(names)
    value = helper.make_tensor_value_info
    weights, bias = _filters(22.0)  # it is fed with samples of 16 bits: 20.8 more than floats
    wide = np.zeros((7 * BINS, size), np.float32)
    wide[3 * BINS : 4 * BINS, 1 : len(TONES) + 1] = weights
    full = np.full(size, -1000, np.float32)
    full[0], full[1 : len(TONES) + 1] = 0, bias
    rows = 50 * np.eye(size, dtype=np.float32)
    spoken = np.array([[names.index("<|zh|>")], [names.index("<|zh|>")], [names.index("<|en|>")]])  # auto, zh, en
    rest = np.array([[names.index(name) for name in ("<|NEUTRAL|>", "<|Speech|>")]])
    norm = np.array([[names.index("<|withitn|>")], [names.index("<|woitn|>")]])
    nodes = [
        helper.make_node("MatMul", ["x", "weights"], ["bands"]), helper.make_node("Add", ["bands", "bias"], ["heard"]),
        helper.make_node("Gather", ["spoken", "language"], ["first"]), helper.make_node("Gather", ["norm", "text_norm"], ["last"]),
        helper.make_node("Concat", ["first", "rest", "last"], ["told"], axis=1), helper.make_node("Gather", ["rows", "told"], ["lead"]),
        helper.make_node("Concat", ["lead", "heard"], ["logits"], axis=1),
    ]  # fmt: skip
    ints = TensorProto.INT32
    _save(
        folder / "model.int8.onnx", nodes,
        [value("x", TensorProto.FLOAT, [1, "T", 7 * BINS]), value("x_length", ints, [1]), value("language", ints, [1]),
         value("text_norm", ints, [1])],
        [value("logits", TensorProto.FLOAT, [1, "L", size])],
        {"weights": wide, "bias": full, "rows": rows, "spoken": spoken, "rest": rest, "norm": norm},
        {"model_type": "sense_voice_ctc", "comment": "tiny", "vocab_size": size, "blank_id": 0, "lfr_window_size": 7, "lfr_window_shift": 6,
         "normalize_samples": 0, "with_itn": 0, "without_itn": 1, "lang_auto": 0, "lang_zh": 1, "lang_en": 2, "lang_ja": 0, "lang_ko": 0,
         "lang_yue": 0, "neg_mean": ",".join(["0"] * 7 * BINS), "inv_stddev": ",".join(["1"] * 7 * BINS)},
    )  # fmt: skip
    return folder
