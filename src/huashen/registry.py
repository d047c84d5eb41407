"""Tables of engines. A table is literal data; nothing of an engine is imported until `load`."""

import importlib
import importlib.util
import shutil
from dataclasses import dataclass
from typing import Any, Literal

from huashen.errors import MissingPartError, UnknownEngineError
from huashen.words import tr


@dataclass(frozen=True)
class Entry:
    """One engine in a capability's table."""

    name: str
    """What the user types."""
    target: str
    """"module:Class", imported by `Registry.load` only."""
    licence: str
    """SPDX name of what runs, weights included where they differ ("code / weights")."""
    about: tuple[str, str]
    """One line in English, one in Chinese."""
    extra: str = ""
    """The extra that installs what it needs (`pip install huashen[extra]`); empty: nothing more."""
    modules: tuple[str, ...] = ()
    """Python modules that must be importable."""
    programs: tuple[str, ...] = ()
    """Programs that must be on the PATH."""
    weights: tuple[str, ...] = ()
    """Names of weight cards."""
    source: str = ""
    """Paper or project."""


class Registry:
    """The engines of one capability, the first being the default."""

    def __init__(self, capability: str, *entries: Entry) -> None:
        self.capability = capability
        self.entries = entries

    def names(self) -> list[str]:
        """Return the engines' names, the default first."""
        return [entry.name for entry in self.entries]

    def get(self, name: str) -> Entry:
        """Return the entry of that name.

        Raises:
            UnknownEngineError: there is none; the text lists those there are.
        """
        for entry in self.entries:
            if entry.name == name:
                return entry
        have = ", ".join(self.names())
        raise UnknownEngineError(tr(
            f"{self.capability} has no engine '{name}'; there are: {have}",
            f"{self.capability} 没有名为“{name}”的引擎；可用的有：{have}",
        ))  # fmt: skip

    def load(self, name: str | None = None) -> Any:
        """Return the class of an engine (the default without a name).

        Raises:
            UnknownEngineError: there is none of that name.
            MissingPartError: what it needs is not installed; the text says how to get it.
        """
        entry = self.get(name or self.entries[0].name)
        lacking = missing(entry)
        if lacking:
            if entry.extra:
                how = f"pip install 'huashen[{entry.extra}]'"
            elif set(lacking) <= set(entry.modules):
                how = "pip install " + " ".join(module.replace("_", "-") for module in lacking)
            else:
                how = tr("install it with your system's package manager", "请用系统的软件包管理器安装")
            raise MissingPartError(tr(
                f"the {self.capability} engine '{entry.name}' needs {', '.join(lacking)}; {how}",
                f"{self.capability} 引擎“{entry.name}”需要 {', '.join(lacking)}；{how}",
            ))  # fmt: skip
        module, _, attribute = entry.target.partition(":")
        return getattr(importlib.import_module(module), attribute)


def missing(entry: Entry) -> list[str]:
    """Return the modules and programs an engine needs that are not on this machine."""
    modules = [m for m in entry.modules if importlib.util.find_spec(m) is None]
    return modules + [p for p in entry.programs if shutil.which(p) is None]


Capability = Literal["face", "matting", "tts", "audio2face", "talking_head", "stages", "chat", "asr"]
CAPABILITIES: tuple[Capability, ...] = ("face", "matting", "tts", "audio2face", "talking_head", "stages", "chat", "asr")
"""The folders that hold a `TABLE`."""


def table(capability: str) -> Registry:
    """Return a capability's table.

    Raises:
        UnknownEngineError: no such capability.
    """
    if capability not in CAPABILITIES:
        have = ", ".join(CAPABILITIES)
        raise UnknownEngineError(tr(f"no capability '{capability}'; there are: {have}", f"没有“{capability}”这项能力；可用的有：{have}"))
    found = importlib.import_module(f"huashen.{capability}").TABLE
    assert isinstance(found, Registry)
    return found


def load(capability: str, name: str | None = None, **options: Any) -> Any:
    """Build an engine of a capability, the default one without a name.

    Args:
        capability: "face", "tts", …
        name: the engine's name in the table.
        options: the keyword arguments of its constructor.
    """
    return table(capability).load(name)(**options)
