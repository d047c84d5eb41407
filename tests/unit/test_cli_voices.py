"""`huashen voices`: what is there, what is missing, and recordings only with consent."""

import json
import wave
from pathlib import Path

import numpy as np
import pytest

from huashen.cli import main


def run(capsys: pytest.CaptureFixture[str], *line: str) -> tuple[int, str, str]:
    code = main(list(line))
    out, err = capsys.readouterr()
    return code, out, err


@pytest.fixture
def recording(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HUASHEN_HOME", str(tmp_path))
    path = tmp_path / "me.wav"
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, 16_000, 0, "NONE", ""))
        file.writeframes((3000 * np.sin(np.arange(64_000) / 20)).astype("<i2").tobytes())
    return path


def test_every_engine_says_what_it_has_or_lacks(
    recording: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "HUASHEN_TTS_URL", "ELEVENLABS_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    code, out, _ = run(capsys, "voices", "--json")
    rows = {row["name"]: row for row in json.loads(out)}
    assert code == 0
    assert rows["espeak"]["ready"]
    assert "female" in rows["espeak"]["voices"]
    assert all(row["ready"] or row["todo"] for row in rows.values())
    assert "ELEVENLABS_API_KEY" in rows["elevenlabs"]["todo"]
    assert "OPENAI_API_KEY" in rows["openai"]["todo"]
    assert "HUASHEN_TTS_URL" in rows["paddlespeech"]["todo"]
    assert "weights get fastspeech2_zh" in rows["fastspeech2"]["todo"] or "pip install" in rows["fastspeech2"]["todo"]
    code, out, _ = run(capsys, "voices", "--tts", "paddlespeech")
    assert (code, out.split()) == (0, ["female"])
    code, out, _ = run(capsys, "voices")
    assert code == 0
    assert "ELEVENLABS_API_KEY" in out


def test_a_recording_is_taken_in_only_with_consent(recording: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = run(capsys, "voices", "add", "anna", str(recording))
    assert code == 2
    assert "--consent" in err
    assert "Traceback" not in err
    code, out, _ = run(capsys, "voices", "add", "anna", str(recording), "--consent", "self", "--text", "hello")
    assert code == 0
    assert "--voice anna" in out
    kept = json.loads((recording.parent / "voices" / "cloned" / "anna" / "voice.json").read_text(encoding="utf-8"))
    assert kept["consent"]["kind"] == "self"
    assert kept["consent"]["day"]
    code, out, _ = run(capsys, "voices", "--tts", "cosyvoice")
    assert "anna" in out.split()
    assert run(capsys, "voices", "remove", "anna")[0] == 0
    assert run(capsys, "voices", "remove", "anna")[0] == 2
