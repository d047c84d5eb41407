"""`import huashen` and `huashen --help` load nothing heavy and answer at once."""

import json
import resource
import subprocess
import sys

import pytest

HEAVY = ["numpy", "cv2", "av", "PIL", "onnxruntime", "torch", "pydantic", "scipy", "soxr", "ai_edge_litert", "espeakng_loader", "rich"]


def loaded(code: str) -> list[str]:
    """Return the heavy modules that are loaded after some code ran in a fresh Python."""
    ask = f"{code}\nimport sys, json; sys.stderr.write(json.dumps([m for m in {HEAVY} if m in sys.modules]))"
    ran = subprocess.run([sys.executable, "-c", ask], capture_output=True, text=True, check=True)
    found: list[str] = json.loads(ran.stderr)
    return found


def test_the_measure_itself_sees_a_heavy_module() -> None:
    assert loaded("import numpy") == ["numpy"]


def test_importing_huashen_loads_nothing_heavy() -> None:
    assert loaded("import huashen") == []


def test_help_loads_nothing_heavy() -> None:
    assert loaded("from huashen import cli; assert cli.main(['--help']) == 0") == []


@pytest.mark.parametrize("words", [["--version"], ["say", "--help"], ["weights", "list", "--help"]])
def test_help_of_a_command_loads_no_more_than_typer_does(words: list[str]) -> None:
    assert set(loaded(f"from huashen import cli; assert cli.main({words!r}) == 0")) <= {"pydantic"}


def test_listing_engines_imports_none() -> None:
    assert set(loaded("from huashen import cli; cli.main(['engines'])")) <= {"numpy", "pydantic"}


def test_public_names_are_there_and_others_are_not() -> None:
    import huashen

    for name in huashen.__all__:
        assert getattr(huashen, name) is not None
    assert set(huashen.__all__) <= set(dir(huashen))
    with pytest.raises(AttributeError, match="no attribute 'sing'"):
        _ = huashen.sing


def test_help_answers_within_a_quarter_of_a_second() -> None:
    def spent() -> float:  # processor time: what else the machine does is not counted
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        return used.ru_utime + used.ru_stime

    best = float("inf")
    for _ in range(12):
        begin = spent()
        subprocess.run([sys.executable, "-m", "huashen", "--help"], capture_output=True, check=True)
        best = min(best, spent() - begin)
        if best < 0.25:
            break
    assert best < 0.25
