"""sherpa-onnx: SenseVoice, or a streaming zipformer that gives words while they are spoken; the model is a folder of the user's."""

import threading
from pathlib import Path
from typing import Any

import numpy as np

from huashen import device
from huashen.asr import RATE
from huashen.asr.whole import Whole
from huashen.errors import EngineError, InputError, MissingWeightsError, UnreadableError
from huashen.types import Floats, Mark, Transcript
from huashen.words import tr


class Sherpa:
    """A recogniser of Chinese, English and more, as the model can.

    What a folder holds decides: encoder, decoder and joiner (.onnx) with tokens.txt are a streaming transducer; model.onnx or
    model.int8.onnx with tokens.txt is SenseVoice.

    Args:
        model: the folder.
        lang: for SenseVoice: "zh", "en", "yue", "ja", "ko"; found out from the sound without it.
        threads: threads of the network.

    Raises:
        InputError: no folder is named, or SenseVoice does not know the language.
        MissingWeightsError: it is not there, or lacks a file; the text names it.
        EngineError, UnreadableError: sherpa-onnx cannot load it.
    """

    def __init__(self, *, model: str | Path | None = None, lang: str = "", threads: int = 2) -> None:
        if not model:
            raise InputError(tr(
                "say where the model is, such as model=sherpa-onnx-sense-voice-zh-en-ja-ko-yue/",
                "请指明模型所在文件夹，例如 model=sherpa-onnx-sense-voice-zh-en-ja-ko-yue/",
            ))  # fmt: skip
        folder = Path(model).expanduser()
        self.lang = lang
        self.streaming = _file(folder, "*encoder*.onnx") is not None
        """Whether words come while they are spoken."""
        kinds = ("encoder", "decoder", "joiner") if self.streaming else ("model",)
        nets = {kind: _wanted(folder, f"*{kind}*.onnx") for kind in kinds}
        tokens = _wanted(folder, "tokens.txt")
        for kind, wanted in (("encoder", "decode_chunk_len"), ("decoder", "context_size"), ("model", "lang_auto")):
            if kind in nets:
                _check(Path(nets[kind]), wanted)
        _check_tokens(Path(tokens))
        known = ("zh", "en", "yue", "ja", "ko")
        if not self.streaming and lang and lang.split("-")[0] not in known:
            raise InputError(tr(
                f"SenseVoice does not know the language '{lang}'; it knows {', '.join(known)}",
                f"SenseVoice 不懂语言“{lang}”；它懂 {'、'.join(known)}",
            ))  # fmt: skip
        import sherpa_onnx

        try:
            if self.streaming:
                self._model: Any = sherpa_onnx.OnlineRecognizer.from_transducer(
                    tokens=tokens, **nets, num_threads=threads, sample_rate=RATE, feature_dim=80
                )
            else:
                self._model = sherpa_onnx.OfflineRecognizer.from_sense_voice(
                    **nets, tokens=tokens, num_threads=threads, sample_rate=RATE, language=lang.split("-")[0] or "auto", use_itn=True
                )
        except (RuntimeError, ValueError) as error:
            raise EngineError(tr(f"sherpa-onnx cannot load {folder} ({error})", f"sherpa-onnx 无法加载 {folder}（{error}）")) from error
        self._turn = threading.Lock()

    def begin(self) -> "Whole | _Stream":
        """Begin to hear an utterance."""
        return _Stream(self._model, self.lang) if self.streaming else Whole(self._hear)

    def _hear(self, sound: Floats) -> Transcript:
        with self._turn:
            stream = self._model.create_stream()
            stream.accept_waveform(RATE, sound)
            self._model.decode_stream(stream)
        result = stream.result
        lang = str(getattr(result, "lang", "")).strip("<|>")
        return Transcript(result.text.strip(), lang or self.lang, _marks(result.text.strip(), result.tokens, result.timestamps))


class _Stream:
    def __init__(self, model: Any, lang: str) -> None:
        self._model = model
        self._stream: Any = model.create_stream()
        self._lang = lang

    def feed(self, samples: Floats) -> str:
        self._stream.accept_waveform(RATE, samples)
        return self._decoded()

    def pause(self) -> None:
        """Do nothing: it understands while one speaks."""

    def resume(self) -> None:
        """Do nothing."""

    def finish(self) -> Transcript:
        # the network looks ahead: its last words come when silence follows
        self._stream.accept_waveform(RATE, np.zeros(RATE // 2, np.float32))
        self._stream.input_finished()
        text = self._decoded()
        return Transcript(text, self._lang, _marks(text, self._model.tokens(self._stream), self._model.timestamps(self._stream)))

    def close(self) -> None:
        self._stream = None

    def _decoded(self) -> str:
        while self._model.is_ready(self._stream):
            self._model.decode_stream(self._stream)
        return str(self._model.get_result(self._stream)).strip()


def _marks(text: str, tokens: list[str], times: list[float]) -> tuple[Mark, ...]:
    """Return a mark for each token, joined to words where a token does not begin one."""
    marks: list[Mark] = []
    at = 0
    for token, start in zip(tokens, times, strict=False):
        plain = token.replace("▁", " ")
        word = plain.strip()
        found = text.find(word, at) if word else -1
        if found < 0:
            continue
        at = found + len(word)
        joins = marks and not plain.startswith(" ") and word.isascii() and marks[-1].span[1] == found and marks[-1].text.isascii()
        if joins:
            before = marks.pop()
            marks.append(Mark("word", before.text + word, before.start, float(start) + 0.1, span=(before.span[0], at)))
        else:
            if marks and marks[-1].end > start:
                marks[-1] = Mark("word", marks[-1].text, marks[-1].start, max(marks[-1].start, float(start)), span=marks[-1].span)
            marks.append(Mark("word", word, float(start), float(start) + 0.1, span=(found, at)))
    return tuple(marks)


def _file(folder: Path, pattern: str) -> Path | None:
    """Return the file of a folder that fits a pattern, the quantised one where there are both; None where there is none."""
    found = sorted(folder.glob(pattern), key=lambda path: ("int8" not in path.name, path.name))
    return found[0] if found else None


def _wanted(folder: Path, pattern: str) -> str:
    found = _file(folder, pattern)
    if found is None:
        raise MissingWeightsError(tr(
            f"{folder} holds no {pattern}; give the folder of a model from https://github.com/k2-fsa/sherpa-onnx/releases",
            f"{folder} 中没有 {pattern}；请给出从 https://github.com/k2-fsa/sherpa-onnx/releases 下载的模型文件夹",
        ))  # fmt: skip
    return str(found)


def _check(net: Path, wanted: str) -> None:
    """Look whether a network says what sherpa-onnx reads from it, since that ends the whole process where it does not.

    Raises:
        UnreadableError: it is no network.
        EngineError: it is one of another kind.
    """
    about = device.onnx(net).get_modelmeta().custom_metadata_map
    if wanted not in about:
        kind = about.get("model_type") or tr("unknown", "未知")
        raise EngineError(tr(
            f"{net} is neither of a streaming transducer nor SenseVoice for sherpa-onnx (its kind: {kind}, without '{wanted}')",
            f"{net} 不是 sherpa-onnx 的流式 transducer 或 SenseVoice 模型（类型：{kind}，缺少“{wanted}”）",
        ))  # fmt: skip


def _check_tokens(tokens: Path) -> None:
    """Look whether every line of a list of tokens ends in its number.

    Raises:
        UnreadableError: one does not.
    """
    lines = tokens.read_bytes().decode("utf-8", "replace").splitlines()
    wrong = next((k for k, line in enumerate(lines, 1) if not line.rpartition(" ")[2].strip().isdigit()), 0 if lines else 1)
    if wrong:
        raise UnreadableError(tr(
            f"line {wrong} of {tokens} is no token with its number", f"{tokens} 第 {wrong} 行不是“词元 编号”的格式"
        ))  # fmt: skip
