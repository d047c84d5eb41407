"""`say` and `sync` hand engines' own options and stages to the studio."""

import os
import subprocess
import sys
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
from synthetic import clip


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
    words += " --region mouth"
    more = ["--set", "pads=9,9,9,9", "--set", "odd-one=3", "--stage", "blend", "--stage", "unsharp:amount=0.5,radius=2"]
    assert cli.main([command, "x", "--face", "example", "-o", "out.mp4", *words.split(), *more]) == 0
    assert handed["options"] == {"pads": "-4,0,1,2", "resize_factor": 2, "crop": "0,-1,0,-1", "box": "1,2,3,4", "rotate": True,
                                 "no_smooth": True, "batch": 8, "paste": "plain", "static": True,
                                 "region": "mouth", "odd_one": "3"}  # fmt: skip
    assert list(handed["stages"]) == ["blend", "unsharp:amount=0.5,radius=2"]
    assert handed["box"] is None


@pytest.mark.parametrize("command", ["say", "sync"])
@pytest.mark.parametrize(("language", "told"), [("en", "the lips alone"), ("zh", "仅嘴唇")])
def test_the_region_stands_in_the_help_in_both_languages(command: str, language: str, told: str) -> None:
    run = subprocess.run(
        [sys.executable, "-m", "huashen", command, "--help"], capture_output=True, text=True, env=os.environ | {"HUASHEN_LANG": language}
    )
    assert run.returncode == 0
    assert "--region mouth|lower-face" in run.stdout
    assert told in run.stdout


@pytest.mark.parametrize(
    ("name", "region", "told"),
    [("clip.mp4", "jaw", "mouthbank: region cannot be 'jaw'; give one of mouth, lower-face"),
     ("face.png", "mouth", "'puppet' has no option 'region', but mouthbank has")],
)  # fmt: skip
def test_a_region_that_cannot_be_is_refused_before_any_work(tmp_path: Path, name: str, region: str, told: str) -> None:
    for file in ("sound.wav", name):
        (tmp_path / file).touch()
    if name == "clip.mp4":
        clip(tmp_path, (64, 64), frames=12).path.rename(tmp_path / name)
    with pytest.raises(InputError, match=told):
        studio.sync(tmp_path / "sound.wav", tmp_path / name, tmp_path / "out.mp4", options={"region": region})
    assert not (tmp_path / "out.mp4").exists()


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
