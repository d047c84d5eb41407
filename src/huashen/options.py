"""An engine's own options, given as words: NAME=VALUE. What there is, and of which kind, its constructor says."""

import inspect
import re
import types
from collections.abc import Callable, Iterable, Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from huashen import registry
from huashen.errors import HuashenError, InputError
from huashen.words import tr

OURS = ("driver", "fps", "size")
"""What the studio gives to every talking head; the user says it by options of other names."""


def pairs(words: Iterable[str]) -> dict[str, str]:
    """Read words such as "amount=0.5".

    Raises:
        InputError: one of them has no name or no "=".
    """
    found: dict[str, str] = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not equals or not name.strip():
            raise InputError(tr(f"'{word}' says no option; write NAME=VALUE", f"“{word}”不是选项；请写成 名称=值"))
        found[name.strip().replace("-", "_")] = value.strip()
    return found


def build(capability: str, word: str) -> Any:
    """Build an engine from a word such as "unsharp" or "unsharp:amount=0.5,radius=2".

    Raises:
        UnknownEngineError: there is no such engine.
        InputError: an option is unknown, or its value makes no sense.
    """
    name, _, rest = word.partition(":")
    given = pairs(re.split(r",(?=[^,=]+=)", rest)) if rest.strip() else {}  # 1,2,3 is one value
    return registry.load(capability, name.strip(), **checked(capability, name.strip(), given))


def checked(capability: str, name: str | None, given: Mapping[str, object]) -> dict[str, Any]:
    """Return options as an engine's constructor takes them, texts read as the kind it says.

    Args:
        capability: "talking_head", "stages", …
        name: the engine's; the default's when None.
        given: value by option; a text is read, any other value is handed on.

    Raises:
        InputError: the engine has no such option (the text says which engines have), or a value is of another kind.
    """
    if not given:
        return {}
    table = registry.table(capability)
    engine = table.get(name or table.names()[0]).name
    kinds = _kinds(table.load(engine))
    for option in given:
        if option not in kinds:
            raise InputError(_unknown(table, engine, option, list(kinds)))
    return {
        option: _read(value, kinds[option], f"{engine}: {option}") if isinstance(value, str) else value for option, value in given.items()
    }


def _kinds(engine: Callable[..., object]) -> dict[str, Any]:
    """Return the kind of each option of a class."""
    hints = get_type_hints(engine.__init__)
    given = inspect.signature(engine).parameters.values()
    return {p.name: hints.get(p.name, str) for p in given if p.kind is p.KEYWORD_ONLY and p.name not in OURS}


def _unknown(table: registry.Registry, engine: str, option: str, own: list[str]) -> str:
    """Return what to say of an option that an engine has not."""
    others = []
    for name in table.names():
        try:
            if name != engine and option in _kinds(table.load(name)):
                others.append(name)
        except HuashenError:  # its parts are not here: what it would take is not known
            continue
    have = ", ".join(own) or "-"
    kind = table.capability
    if others:
        which = ", ".join(others)
        return tr(
            f"the {kind} engine '{engine}' has no option '{option}', but {which} has; its own: {have}",
            f"{kind} 引擎“{engine}”没有选项“{option}”，{which} 才有；它自己的选项：{have}",
        )
    if not own:
        return tr(f"the {kind} engine '{engine}' has no options, so no '{option}'", f"{kind} 引擎“{engine}”没有选项，“{option}”也没有")
    return tr(
        f"the {kind} engine '{engine}' has no option '{option}'; there are: {have}",
        f"{kind} 引擎“{engine}”没有选项“{option}”；可用的有：{have}",
    )


_SWITCH = {"1": True, "true": True, "yes": True, "on": True, "0": False, "false": False, "no": False, "off": False}


def _read(text: str, kind: Any, what: str) -> Any:
    """Read a text as a value of a kind.

    Args:
        text: the text.
        kind: a type, as an annotation says it.
        what: engine and option, for the message.
    """
    origin, parts = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        if type(None) in parts and text.lower() in ("none", ""):
            return None
        kinds = [part for part in parts if part is not type(None)]
        return _read(text, Path if Path in kinds else kinds[0], what)
    try:
        if origin is Literal:
            if text not in parts:
                raise ValueError(text)
            return text
        if origin is tuple:
            numbers = tuple(parts[0](part) for part in text.split(","))
            if len(numbers) != len(parts):
                raise ValueError(text)
            return numbers
        if kind is bool:
            return _SWITCH[text.lower()]
        return kind(text)
    except (ValueError, KeyError, ZeroDivisionError) as error:
        english, chinese = _said(kind)
        raise InputError(tr(f"{what} cannot be '{text}'; give {english}", f"{what} 不能是“{text}”；请给出{chinese}")) from error


def _said(kind: Any) -> tuple[str, str]:
    """Return what a value has to be, in English and Chinese."""
    if get_origin(kind) is Literal:
        have = ", ".join(map(str, get_args(kind)))
        return f"one of {have}", f" {have} 之一"
    if get_origin(kind) is tuple:
        count = len(get_args(kind))
        row = ",".join(map(str, range(1, count + 1)))
        return f"{count} numbers such as {row}", f" {count} 个数，例如 {row}"
    said: dict[Any, tuple[str, str]] = {
        bool: ("yes or no", " yes 或 no"),
        int: ("a whole number", "整数"),
        float: ("a number", "数字"),
        Fraction: ("a number", "数字"),
    }
    return said.get(kind, ("another value", "其他值"))
