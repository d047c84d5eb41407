"""Options of engines, given as words."""

from pathlib import Path
from typing import Any

import pytest

from huashen import options, registry
from huashen.errors import InputError, UnknownEngineError
from huashen.stages.unsharp import Unsharp


def test_texts_are_read_as_the_constructor_says() -> None:
    given: dict[str, object] = {"pads": "0,-4,2,2", "batch": "8", "no_smooth": "yes", "paste": "plain", "box": "1,2,3,4"}
    given |= {"weights": "a b.onnx", "rotate": True}
    found = options.checked("talking_head", "wav2lip", given)
    assert found == {"pads": (0, -4, 2, 2), "batch": 8, "no_smooth": True, "paste": "plain", "box": (1, 2, 3, 4),
                     "weights": Path("a b.onnx"), "rotate": True}  # fmt: skip
    assert options.checked("talking_head", "wav2lip", {"box": "none", "static": "off"}) == {"box": None, "static": False}
    assert options.checked("talking_head", "puppet", {}) == {}


@pytest.mark.parametrize(
    ("option", "value", "said"),
    [
        ("pads", "1,2,3", "wav2lip: pads cannot be '1,2,3'; give 4 numbers such as 1,2,3,4"),
        ("pads", "1,2,3,x", "4 numbers"),
        ("batch", "1.5", "a whole number"),
        ("paste", "glue", "one of blend, plain"),
        ("static", "maybe", "yes or no"),
    ],
)
def test_a_value_of_another_kind_is_refused_with_what_it_has_to_be(option: str, value: str, said: str) -> None:
    with pytest.raises(InputError) as caught:
        options.checked("talking_head", "wav2lip", {option: value})
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("engine", ["puppet", "mouthbank", None])
def test_an_option_of_another_engine_is_refused_by_its_name(engine: str | None) -> None:
    with pytest.raises(InputError, match=f"'{engine or 'puppet'}' has no option 'pads', but wav2lip has"):
        options.checked("talking_head", engine, {"pads": "0,0,0,0"})
    with pytest.raises(InputError, match=r"no option 'teeth'; there are: .*pads"):
        options.checked("talking_head", "wav2lip", {"teeth": "white"})


@pytest.mark.parametrize("ours", options.OURS)
def test_what_the_studio_gives_is_no_option(ours: str) -> None:
    with pytest.raises(InputError, match="no option"):
        options.checked("talking_head", "wav2lip", {ours: "1"})


def test_an_engine_is_built_from_a_word() -> None:
    assert isinstance(options.build("stages", "unsharp"), Unsharp)
    made: Any = options.build("stages", "unsharp: amount=0.3, radius=2")
    assert (made._amount, made._radius) == (0.3, 2.0)
    with pytest.raises(UnknownEngineError, match="there are: blend, unsharp, denoise, steady"):
        options.build("stages", "sharpen")
    for word in ("unsharp:0.5", "unsharp:=1", "unsharp:amount"):
        with pytest.raises(InputError, match="NAME=VALUE"):
            options.build("stages", word)
    with pytest.raises(InputError, match="'unsharp' has no option 'strength', but denoise has"):
        options.build("stages", "unsharp:strength=1")


def test_a_value_with_commas_is_one_value(monkeypatch: pytest.MonkeyPatch) -> None:
    class Odd:
        def __init__(self, *, pads: tuple[int, int] = (0, 0), share: float = 0) -> None:
            self.given = pads, share

    monkeypatch.setattr(registry.Registry, "load", lambda table, name=None: Odd)
    assert options.build("stages", "unsharp:pads=1,2,share=0.5").given == ((1, 2), 0.5)


@pytest.mark.parametrize("capability", registry.CAPABILITIES)
def test_every_engine_says_of_which_kind_its_options_are(capability: str) -> None:
    for entry in registry.table(capability).entries:
        if not registry.missing(entry):
            assert isinstance(options._kinds(registry.table(capability).load(entry.name)), dict)


def test_names_may_be_written_with_hyphens() -> None:
    assert options.pairs(["no-smooth=1", "pads = 1,2,3,4"]) == {"no_smooth": "1", "pads": "1,2,3,4"}
