"""The doctor says in a sentence what is missing, and how to get it."""

import importlib
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from huashen import cli, config, doctor, registry, weights
from huashen.errors import EngineError


@pytest.fixture(autouse=True)
def english(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Speak English."""
    monkeypatch.setenv("HUASHEN_LANG", "en")
    config.language.cache_clear()
    yield
    config.language.cache_clear()


def missing(checks: Iterator[doctor.Check] | list[doctor.Check]) -> dict[str, str]:
    """Return what is missing, by name."""
    return {check.name: check.words for check in checks if check.state == "missing"}


def test_a_whole_machine_gets_exit_code_0(capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("face_detection_short_range", "face_detection_full_range", "face_landmark_with_attention", "selfie_segmentation"):
        if not weights.present(name):
            pytest.skip(f"wants the weights '{name}'")
    assert cli.main(["doctor"]) == 0
    out = capsys.readouterr().out
    assert out.endswith("everything a video needs is here\n")
    for word in ("Python", "cores", "disk", "libx264", "speaks", "HUASHEN_HOME"):
        assert word in out


def test_every_capability_of_the_default_path_is_looked_at(capsys: pytest.CaptureFixture[str]) -> None:
    cli.main(["doctor", "--json"])
    checks = json.loads(capsys.readouterr().out)
    assert all(check["state"] in ("fine", "note", "missing") and check["words"] for check in checks)


def test_a_package_that_does_not_load_is_named_with_its_cure(monkeypatch: pytest.MonkeyPatch) -> None:
    real = importlib.import_module

    def broken(name: str) -> object:
        if name == "cv2":
            raise ImportError("libGL.so.1: cannot open shared object file")
        return real(name)

    monkeypatch.setattr(importlib, "import_module", broken)
    assert missing(doctor._packages()) == {
        "opencv-python-headless": "does not load (libGL.so.1: cannot open shared object file); "
        "run: pip install --force-reinstall opencv-python-headless"
    }


def test_an_encoder_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "ENCODERS", (("libx264", True), ("no_such_codec", True), ("no_such_luxury", False)))
    checks = {check.name: check for check in doctor._encoders()}
    assert (checks["no_such_codec"].state, checks["no_such_luxury"].state) == ("missing", "note")
    assert "libx264" in checks["encoders"].words


def test_engines_that_lack_a_part_say_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    table = registry.Registry(
        "tts",
        registry.Entry("first", "x:Y", "MIT", ("", ""), programs=("no-such-program",)),
        registry.Entry("second", "x:Y", "MIT", ("", ""), modules=("no_such_module",), extra="second"),
    )
    monkeypatch.setattr(registry, "CAPABILITIES", ("tts",))
    monkeypatch.setattr(registry, "table", lambda name: table)
    first, second = doctor._engines()
    assert (first.state, "apt install no-such-program" in first.words) == ("missing", True)
    assert (second.state, "pip install 'huashen[second]'" in second.words) == ("note", True)


@pytest.mark.parametrize("offline", ["1", ""])
def test_missing_weights_without_a_network(offline: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HUASHEN_HOME", str(tmp_path))
    monkeypatch.setenv("HUASHEN_OFFLINE", offline)
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    words = missing(doctor._weights())["weights"]
    assert "face_landmark" in words
    assert "huashen weights import FILE" in words
    assert ("HUASHEN_OFFLINE" in words) == bool(offline)


def test_missing_weights_that_can_be_fetched_are_only_a_note(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HUASHEN_HOME", str(tmp_path))
    monkeypatch.delenv("HUASHEN_OFFLINE", raising=False)
    monkeypatch.setattr(doctor, "_unreachable", lambda address: "")
    (check,) = doctor._weights()
    assert (check.state, "huashen weights get" in check.words) == ("note", True)


def test_a_voice_that_fails_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    def load(capability: str) -> object:
        raise EngineError("eSpeak NG cannot be started")

    monkeypatch.setattr(registry, "load", load)
    assert missing(doctor._voice()) == {"tts espeak": "eSpeak NG cannot be started"}


def test_an_opencv_without_a_font_is_noted(monkeypatch: pytest.MonkeyPatch) -> None:
    import cv2

    (fine,) = doctor._font()
    monkeypatch.delattr(cv2, "FontFace")
    (lacking,) = doctor._font()
    assert (fine.state, lacking.state) == ("fine", "note")
    assert "opencv-python-headless>=5" in lacking.words


def test_a_home_that_may_not_be_written(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("HUASHEN_HOME", "/proc/huashen")
    monkeypatch.setattr(doctor.os, "access", lambda *_: False)
    assert "set HUASHEN_HOME to a folder" in missing(doctor._home())["HUASHEN_HOME"]
    assert cli.main(["doctor"]) == 3
    assert "MISSING" in capsys.readouterr().out
