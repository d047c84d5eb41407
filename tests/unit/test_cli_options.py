"""`say` and `sync` hand engines' own options and stages to the studio."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import toy_wav2lip
from huashen import cli, config, studio
from huashen.cli import making
from huashen.errors import InputError, UnknownEngineError
from huashen.registry import load


@pytest.fixture
def handed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, Any]:
    """What the studio was given by the last command."""
    monkeypatch.chdir(tmp_path)
    config.language.cache_clear()
    given: dict[str, Any] = {}

    def made(*words: object, **options: Any) -> None:
        given.update(options)

    for name in ("say", "sync"):
        monkeypatch.setattr(studio, name, made)
    for name in ("fetch", "report_result"):
        monkeypatch.setattr(making, name, lambda *a, **k: None)
    return given


@pytest.mark.parametrize("command", ["say", "sync"])
def test_options_reach_the_studio_by_the_engine_s_names(command: str, handed: dict[str, Any]) -> None:
    words = "--pads -4,0,1,2 --resize-factor 2 --crop 0,-1,0,-1 --fixed-box 1,2,3,4 --rotate --no-smooth --batch 8 --paste plain --static"
    more = ["--set", "pads=9,9,9,9", "--set", "odd-one=3", "--stage", "blend", "--stage", "unsharp:amount=0.5,radius=2"]
    assert cli.main([command, "x", "--face", "example", "-o", "out.mp4", *words.split(), *more]) == 0
    assert handed["options"] == {"pads": "-4,0,1,2", "resize_factor": 2, "crop": "0,-1,0,-1", "box": "1,2,3,4", "rotate": True,
                                 "no_smooth": True, "batch": 8, "paste": "plain", "static": True, "odd_one": "3"}  # fmt: skip
    assert list(handed["stages"]) == ["blend", "unsharp:amount=0.5,radius=2"]
    assert handed["box"] is None


def test_without_any_nothing_is_handed_on(handed: dict[str, Any]) -> None:
    assert cli.main(["sync", "x.wav", "--face", "example", "-o", "out.mp4"]) == 0
    assert handed["options"] == {}
    assert not list(handed["stages"])


def test_the_studio_refuses_what_an_engine_does_not_know_before_any_work(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="'puppet' has no option 'pads', but wav2lip has"):
        studio.sync(tmp_path / "none.wav", tmp_path / "none.png", tmp_path / "out.mp4", options={"pads": "0,0,0,0"})
    with pytest.raises(UnknownEngineError, match="there are: blend"):
        studio.sync(tmp_path / "none.wav", tmp_path / "none.png", tmp_path / "out.mp4", stages=["nice"])


def test_stages_are_made_of_words_and_told_in_the_result(tmp_path: Path, astronaut: Image.Image) -> None:
    import wave

    with wave.open(str(tmp_path / "a.wav"), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16000)
        noise = np.random.default_rng(0).normal(0, 3000, 8000).astype("<i2")
        file.writeframes(noise.tobytes())
    astronaut.resize((128, 128)).save(tmp_path / "face.png")
    toy = toy_wav2lip.random(tmp_path / "toy.onnx")
    how: dict[str, Any] = {"engine": "wav2lip", "driver": "signal", "still": True}
    options = {"weights": str(toy), "paste": "plain"}
    made = studio.sync(
        tmp_path / "a.wav", tmp_path / "face.png", tmp_path / "b.mp4", options=options, stages=["blend", load("stages", "unsharp")], **how
    )
    assert made.engines["stages"] == "blend+unsharp"
    assert made.frames == 13
