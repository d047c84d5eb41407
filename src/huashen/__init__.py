"""Huashen (化身): a self-hosted digital-human studio. A face and words go in, a talking person comes out.

    import huashen
    huashen.say("你好，我是数字人。", face="me.jpg", out="hello.mp4")
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from huashen.avatar import Avatar
    from huashen.errors import HuashenError
    from huashen.measurement import measure
    from huashen.registry import load
    from huashen.studio import say, sync
    from huashen.types import Audio, Frame, Mark, Motion, Speech, Style, Video

__version__ = "0.1.0"

_HOMES = {
    "Avatar": "avatar", "HuashenError": "errors", "load": "registry", "measure": "measurement", "say": "studio", "sync": "studio",
    "Audio": "types", "Frame": "types", "Mark": "types", "Motion": "types", "Speech": "types", "Style": "types", "Video": "types",
}  # fmt: skip

__all__ = ["Audio", "Avatar", "Frame", "HuashenError", "Mark", "Motion", "Speech", "Style", "Video", "load", "measure", "say", "sync"]


def __getattr__(name: str) -> Any:
    """Load a public name when it is first used (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(f"module 'huashen' has no attribute '{name}'")
    return getattr(importlib.import_module(f"huashen.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
