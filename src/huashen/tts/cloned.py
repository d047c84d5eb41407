"""Recordings whose voice is taken on, each with who agreed to it: `HUASHEN_HOME/voices/cloned/NAME`.

No engine clones a voice from a bare file: `huashen voices add NAME FILE --consent …` takes a recording in under a name first.
"""

import json
import re
import shutil
import wave
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from huashen import config, media
from huashen.errors import InputError, OutputError, UnreadableError
from huashen.words import tr

SHORTEST, LONGEST = 3.0, 30.0
"""Seconds that a recording may have."""
RATE = 24_000


@dataclass(frozen=True)
class Recording:
    """A voice to take on."""

    name: str
    text: str
    """What is said in it; may be empty."""
    lang: str
    """What language that is in."""
    there: str
    """Its path on the machine of a GPT-SoVITS server, where that is another than this one."""
    consent: dict[str, str]
    """Who agreed: see `huashen.persons.Consent`."""

    @property
    def path(self) -> Path:
        """The recording, a WAV file."""
        return folder() / self.name / "voice.wav"


def folder() -> Path:
    """Return where the recordings lie."""
    return config.home() / "voices" / "cloned"


def names() -> list[str]:
    """Return the names of the recordings that are here."""
    return sorted(path.parent.name for path in folder().glob("*/voice.json"))


def find(name: str) -> Recording:
    """Return a recording by its name.

    Raises:
        InputError: there is none; a bare file is told how to become one.
        UnreadableError: what is kept of it is broken.
    """
    if name not in names():
        have = ", ".join(names()) or tr("none yet", "暂无")
        raise InputError(tr(
            f"'{name}' is no voice that was taken in with the speaker's consent (there: {have}); "
            "run: huashen voices add NAME FILE --consent …",
            f"“{name}”不是已征得说话人同意的声音（已有：{have}）；请运行：huashen voices add 名字 文件 --consent …",
        ))  # fmt: skip
    try:
        return Recording(**json.loads((folder() / name / "voice.json").read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise UnreadableError(tr(
            f"what is kept of the voice '{name}' is broken; run: huashen voices remove {name}",
            f"声音“{name}”的资料已损坏；请运行：huashen voices remove {name}",
        )) from error  # fmt: skip


def add(name: str, source: str, consent: Mapping[str, str], *, text: str = "", lang: str = "zh", there: str = "") -> Recording:
    """Take a recording in.

    Args:
        name: what to call it.
        source: a sound file, or a clip with sound, of 3 to 30 s.
        consent: who agreed to it.
        text: what is said in it.
        lang: what language that is in.
        there: its path on the machine of a GPT-SoVITS server.

    Raises:
        InputError: the name cannot be used or is taken, nobody agreed, or the recording is too short or too long.
        UnreadableError: it is no sound.
        OutputError: it cannot be kept.
    """
    if not re.fullmatch(r"\w[\w-]{0,63}", name):
        raise InputError(tr(
            f"a voice cannot be called '{name}'; use letters, digits, - and _", f"声音不能叫“{name}”；请用文字、数字、- 和 _"
        ))  # fmt: skip
    if name in names():
        raise InputError(tr(
            f"there is a voice '{name}' already; run: huashen voices remove {name}",
            f"已有声音“{name}”；请运行：huashen voices remove {name}",
        ))  # fmt: skip
    if not consent.get("kind"):
        raise InputError(tr(f"nobody's consent is given for the voice in {source}", f"缺少对 {source} 中声音的同意凭证"))
    sound = np.concatenate([piece.samples for piece in media.read_audio(source, RATE)] or [np.zeros(0, np.float32)])
    seconds = len(sound) / RATE
    if not SHORTEST <= seconds <= LONGEST:
        raise InputError(tr(
            f"{source} is {seconds:.1f} s long; a recording to take a voice from has {SHORTEST:g} to {LONGEST:g} s",
            f"{source} 长 {seconds:.1f} 秒；用于克隆声音的录音应为 {SHORTEST:g} 到 {LONGEST:g} 秒",
        ))  # fmt: skip
    made = Recording(name, " ".join(text.split()), lang, there, dict(consent))
    place = folder() / name
    try:
        place.mkdir(parents=True, exist_ok=True)
        with wave.open(str(made.path), "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(RATE)
            file.writeframes((np.clip(sound, -1, 1) * 32767).astype("<i2").tobytes())
        (place / "voice.json").write_text(json.dumps(asdict(made), ensure_ascii=False, indent=2), encoding="utf-8")
    except OSError as error:
        raise OutputError(tr(f"cannot write to {place} ({error.strerror})", f"无法写入 {place}（{error.strerror}）")) from error
    return made


def remove(name: str) -> None:
    """Delete a recording.

    Raises:
        InputError: there is none of that name.
    """
    if name not in names():
        raise InputError(tr(f"there is no voice '{name}'", f"没有声音“{name}”"))
    shutil.rmtree(folder() / name)
