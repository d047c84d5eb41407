"""A session from names: face, voice, driver and engine."""

import os
from collections.abc import Iterable, Mapping
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

from huashen import registry, studio
from huashen.avatar import Avatar
from huashen.errors import InputError
from huashen.footage import Footage
from huashen.live.clock import Clock
from huashen.live.session import Session
from huashen.live.steering import Steered
from huashen.types import Style
from huashen.words import tr

if TYPE_CHECKING:
    from huashen.stages import Stage
    from huashen.talking_head import TalkingHead
    from huashen.tts import Voice

_LATEST = 1.0
"""Seconds: no live talk waits longer for a driver."""


def build(
    face: str | os.PathLike[str] | Avatar | Footage,
    *,
    tts: "str | Voice | None" = None,
    voice: str | None = None,
    lang: str | None = None,
    speed: float = 1.0,
    engine: "str | TalkingHead | None" = None,
    driver: str | None = None,
    style: str | os.PathLike[str] | Style | None = None,
    size: str | int | None = None,
    fps: Fraction | float | str = 25,
    still: bool = False,
    seed: int = 0,
    which: int | tuple[float, float] | None = None,
    box: tuple[float, float, float, float] | None = None,
    rate: int | None = None,
    clock: Clock | None = None,
    ahead: int = 2,
    patient: bool = False,
    clips: Mapping[str, str | Path] | None = None,
    stages: "Iterable[str | Stage]" = (),
) -> Session:
    """Prepare a live session.

    Args:
        face, size, which, box: as in `huashen.say`.
        tts: the engine that speaks, or a built voice, which may be shared between sessions.
        voice, lang, speed: of the voice; they mean nothing to a built one.
        engine: the engine that renders the person, or what `head` built, which may be shared between sessions of one `fps`.
        driver, still, seed: see `head`.
        style: as in `huashen.say`; it means nothing to a built engine.
        fps: frames a second.
        rate, clock, ahead, patient, clips: see `Session`.
        stages: what the person's pictures go through, in this order; names, with options as in "unsharp:amount=0.5", or stages.

    Raises:
        InputError: something of the above cannot be used.
        MissingError: an engine's parts or weights are not here.
    """
    pace = studio.as_fps(fps)
    person = studio.as_avatar(face, size=size, which=which, box=box)
    if engine is None or isinstance(engine, str):
        engine = engine or (studio.CLIP_BY if isinstance(person, Footage) else None)
        manner = studio.as_style(style, person)
        engine = head(engine, driver=driver, fps=pace, still=still, seed=seed, style=manner)
    speaker = registry.load("tts", tts, voice=voice, lang=lang, speed=speed) if tts is None or isinstance(tts, str) else tts
    return Session(
        person, head=engine, voice=speaker, fps=pace, rate=rate, clock=clock, ahead=ahead, patient=patient, clips=clips,
        stages=studio.as_stages(stages),
    )  # fmt: skip


def head(
    engine: str | None = None, *, driver: str | None = None, fps: Fraction = Fraction(25), still: bool = False, seed: int = 0,
    style: Style | None = None,
) -> "TalkingHead":  # fmt: skip
    """Build a talking head that a session can steer.

    Args:
        engine: its name; the default without.
        driver: what moves the face; without it the one that goes by what is said and, where nothing tells that, by what the one that
            hears would do.
        fps: frames a second.
        still: keep head and background still.
        seed: another number, other blinks and nods.
        style: how the mouth moves; as an average one without.

    Raises:
        InputError: the driver is for files.
        MissingError: an engine's parts or weights are not here.
    """
    from huashen.audio2face.learned import Hearing, network

    if driver is None:
        mover = registry.load("audio2face", "visemes", still=still, seed=seed, style=style, guess=lambda: Hearing(network()))
    else:
        mover = registry.load("audio2face", driver, still=still, seed=seed, style=style)
        if mover.lookahead > _LATEST:
            raise InputError(tr(
                f"the driver '{driver}' hears {mover.lookahead:.0f} s ahead and is for files; take hear or visemes for live talk",
                f"驱动“{driver}”需要预听 {mover.lookahead:.0f} 秒，只用于文件；直播请用 hear 或 visemes",
            ))  # fmt: skip
    made: TalkingHead = registry.load("talking_head", engine, driver=Steered(mover), fps=fps)
    return made
