"""Where settings come from. Only this module and `weights` read the environment."""

import locale
import os
from dataclasses import dataclass, fields
from functools import lru_cache
from pathlib import Path
from typing import Literal, get_type_hints

FILE = "huashen.toml"
CACHE = 5_000_000_000
"""Bytes that the clips given as files may take, unless huashen.toml says otherwise."""


@lru_cache(maxsize=1)
def language() -> Literal["en", "zh"]:
    """Return the language of texts: `HUASHEN_LANG`, else that of the locale, else English."""
    for name in ("HUASHEN_LANG", "LC_ALL", "LC_MESSAGES", "LANG"):
        value = os.environ.get(name, "")
        if value:
            return "zh" if value.lower().startswith("zh") else "en"
    return "zh" if (locale.getlocale()[0] or "").lower().startswith(("zh", "chinese")) else "en"


def home() -> Path:
    """Return the folder for weights and prepared avatars: `HUASHEN_HOME`, else `~/.cache/huashen`."""
    value = os.environ.get("HUASHEN_HOME")
    return Path(value).expanduser() if value else Path.home() / ".cache" / "huashen"


def offline() -> bool:
    """Return whether `HUASHEN_OFFLINE` forbids fetching anything."""
    return os.environ.get("HUASHEN_OFFLINE", "") not in ("", "0", "no", "false")


def service_url() -> str | None:
    """Return the address of the language model's service: `OPENAI_BASE_URL`."""
    return os.environ.get("OPENAI_BASE_URL") or None


def speech_url() -> str | None:
    """Return the address of the server that speaks: `HUASHEN_TTS_URL`."""
    return os.environ.get("HUASHEN_TTS_URL") or None


def elevenlabs_key() -> str:
    """Return the key of ElevenLabs: `ELEVENLABS_API_KEY`; empty when there is none."""
    return os.environ.get("ELEVENLABS_API_KEY", "")


def service_key() -> str:
    """Return the key of the language model's service: `OPENAI_API_KEY`; empty when there is none."""
    return os.environ.get("OPENAI_API_KEY", "")


@dataclass(frozen=True)
class Settings:
    """The command line's defaults, as a `huashen.toml` gives them; None: not said there."""

    face: str | None = None
    tts: str | None = None
    voice: str | None = None
    lang: str | None = None
    speed: float | int | None = None
    size: str | int | None = None
    fps: str | float | int | None = None
    subtitles: str | None = None
    chat: str | None = None
    chat_url: str | None = None
    chat_model: str | None = None
    asr: str | None = None
    cache: str | int | None = None
    """How much room the clips given as files may take on the disk, such as "5 GB"."""
    source: str = ""
    """Not a key: the files that were read."""
    ours: bool = True
    """Not a key: whether `chat_url` is the user's own, from `HUASHEN_HOME`, and not from whoever wrote the working folder."""

    def chat_key(self) -> str:
        """Return the key for `chat_url`: the environment's, unless the working folder's file could be sending it to a stranger.

        Raises:
            InputError: it could: there is a key, and the address is neither `OPENAI_BASE_URL` nor on this machine.
        """
        from urllib.parse import urlsplit

        from huashen.errors import InputError
        from huashen.words import tr

        key, url = service_key(), self.chat_url
        if not key or not url or self.ours or url.rstrip("/") in ((service_url() or "").rstrip("/"), "https://api.openai.com/v1"):
            return key
        if urlsplit(url).hostname in ("localhost", "127.0.0.1", "::1"):
            return key
        raise InputError(tr(
            f"{FILE} of this folder names {url}, where OPENAI_API_KEY is not sent unasked; give --url, or set OPENAI_BASE_URL to it",
            f"此文件夹的 {FILE} 指定了 {url}，不会擅自把 OPENAI_API_KEY 发往该地址；请用 --url 给出该地址，或设置 OPENAI_BASE_URL",
        ))  # fmt: skip


def settings(folder: Path | None = None) -> Settings:
    """Read `huashen.toml` in `HUASHEN_HOME`, then the one in a folder (the working one by default), whose values win.

    Raises:
        InputError: a file is no TOML, has an unknown key or a value of the wrong kind; the text names file and key.
    """
    paths = [path for path in (home() / FILE, (folder or Path()) / FILE) if path.is_file()]
    if not paths:
        return Settings()
    merged: dict[str, object] = {}
    ours = True
    for path in paths:
        values = _read(path)
        if "chat_url" in values:
            ours = path.resolve() == (home() / FILE).resolve()
        merged |= values
    return Settings(**merged, source=", ".join(map(str, paths)), ours=ours)  # type: ignore[arg-type]


def _read(path: Path) -> dict[str, object]:
    import tomllib

    from pydantic import ConfigDict, TypeAdapter, ValidationError

    from huashen.errors import InputError
    from huashen.words import tr

    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(tr(f"{path} is not valid TOML: {error}", f"{path} 不是有效的 TOML：{error}")) from error
    keys = [field.name for field in fields(Settings) if field.name not in ("source", "ours")]
    for key in values:
        if key not in keys:
            have = ", ".join(keys)
            raise InputError(tr(f"{path} has an unknown key '{key}'; there are: {have}", f"{path} 中有未知的键“{key}”；可用的有：{have}"))
    kinds = get_type_hints(Settings)
    for key, value in values.items():
        try:
            TypeAdapter(kinds[key], config=ConfigDict(strict=True)).validate_python(value)
        except ValidationError as error:
            raise InputError(tr(
                f"{path}: {key} cannot be {value!r}; give {_kinds(key, 'en')}",
                f"{path}：{key} 不能是 {value!r}；请给出{_kinds(key, 'zh')}",
            )) from error  # fmt: skip
    if "cache" in values:
        as_bytes(values["cache"], str(path))
    if "face" in values and values["face"] != "example" and not (home() / "avatars" / values["face"] / "manifest.json").is_file():
        values["face"] = str(path.parent / Path(values["face"]).expanduser())
    return values


def cache_limit() -> int:
    """Return how many bytes the clips given as files may take: `cache` of huashen.toml, else `CACHE`."""
    told = settings()
    return CACHE if told.cache is None else as_bytes(told.cache, told.source)


def as_bytes(value: str | int, where: str) -> int:
    """Return a size such as 5000000, "500 MB" or "2.5 GB" in bytes.

    Args:
        value: that.
        where: what it stands in, for the message.

    Raises:
        InputError: it is none.
    """
    import re

    from huashen.errors import InputError
    from huashen.words import tr

    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([KMGT]?)i?B?", str(value).strip(), re.IGNORECASE)
    if match is None:
        raise InputError(tr(
            f"{where}: cache cannot be {value!r}; give {_kinds('cache', 'en')}",
            f"{where}：cache 不能是 {value!r}；请给出{_kinds('cache', 'zh')}",
        ))  # fmt: skip
    return round(float(match[1]) * float(1000 ** " KMGT".index(match[2].upper() or " ")))


def _kinds(key: str, lang: Literal["en", "zh"]) -> str:
    kinds = {
        "speed": ("a number such as 1.0", "数字，例如 1.0"),
        "size": ("a number or a text such as 512, \"512x512\" or \"720p\"", "数字或文本，例如 512、\"512x512\" 或 \"720p\""),
        "cache": ("a number of bytes or a text such as \"5 GB\"", "字节数，或文本，例如 \"5 GB\""),
        "fps": ("a number or a text such as 25 or \"30000/1001\"", "数字或文本，例如 25 或 \"30000/1001\""),
    }  # fmt: skip
    english, chinese = kinds.get(key, ("a text in quotes", "带引号的文本"))
    return chinese if lang == "zh" else english


def one_thread_for_matrices() -> None:
    """Let NumPy's matrix products use one thread, unless the user has said otherwise; must come before NumPy is imported.

    Ours are small, and threads that wait for the next one take the processors from the encoder (17 frames a second instead of 64).
    """
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
