"""What a server offers - faces, voices, engines, answers, ears - and its limits."""

import hashlib
import inspect
import ipaddress
import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from huashen import config, persons, registry, studio, weights
from huashen.config import Settings
from huashen.errors import HuashenError, InputError, NoFaceError, TooLargeError, UnreadableError
from huashen.words import tr

if TYPE_CHECKING:
    from huashen.asr.ears import Ears
    from huashen.avatar import Avatar
    from huashen.chat import Chat
    from huashen.footage import Footage
    from huashen.stages import Stage
    from huashen.types import Box, Style

PREPARED = 8
"""Prepared faces kept at hand."""
BACKGROUNDS = ("original", "blur", "studio", "green", "white")
"""What may stand behind a person; a colour is written #rrggbb."""


@dataclass(frozen=True)
class Limits:
    """What one server takes on. Everything that comes from outside is held against these."""

    sessions: int = 4
    """At the same time; two cores draw five at 512×512, if nothing else runs (docs/benchmarks.md)."""
    text: int = 2000
    """Characters of one text."""
    waiting: int = 8
    """Texts that may wait to be said."""
    requests: int = 120
    """Requests a minute to one session."""
    upload: int = 20_000_000
    """Bytes of a picture."""
    uploads: int = 32
    """Pictures kept at the same time."""
    lease: float = 7.0
    """Seconds after which a session that nobody sees is ended."""
    hours: float = 12.0
    """Longest session."""


@dataclass(frozen=True)
class Seen:
    """A face on offer."""

    id: str
    name: str
    source: str
    """A path, "example" or the name of a prepared avatar."""
    uploaded: float = 0.0
    """When (monotonic seconds); 0: offered by whoever runs the server."""


@dataclass
class House:
    """What is on offer. Usable from any thread.

    Args:
        faces: pictures, clips, names of avatars; the first is the default.
        defaults: tts, voice, lang, driver, engine, size, fps, background: what a session has if it does not ask for something else.
        chats: engines that answer, by name, the first being the default; built beforehand, so that an index is read once.
        ears: builds a recogniser for a session; None: nobody listens.
        limits: what one server takes on.
        folder: where uploaded pictures lie; None: none may be uploaded.
        ice_servers: for WebRTC, as browsers take them.
        gestures: clips for gestures, by name.
        stages: what every session's pictures go through.
        style: how mouths move where a session asks for no other; a face's own without.
    """

    faces: list[Seen]
    defaults: dict[str, Any] = field(default_factory=dict)
    chats: "dict[str, Chat]" = field(default_factory=dict)
    ears: "Callable[[], Ears] | None" = None
    limits: Limits = field(default_factory=Limits)
    folder: Path | None = None
    ice_servers: list[dict[str, Any]] = field(default_factory=list)
    gestures: dict[str, Path] = field(default_factory=dict)
    stages: "list[Stage]" = field(default_factory=list)
    style: "Style | None" = None

    def __post_init__(self) -> None:
        self._lock = threading.Lock()
        self._prepared: OrderedDict[tuple[str, str, str], Avatar | Footage] = OrderedDict()
        self._preparing = threading.Lock()
        self._styles: dict[str, Style] = {}  # of faces, by id
        self._may: dict[str, bool] = {}

    def face(self, id: str | None) -> Seen:
        """Return a face on offer, the default without an id.

        Raises:
            InputError: there is none of that id.
        """
        with self._lock:
            for seen in self.faces:
                if id is None or seen.id == id:
                    return seen
        raise InputError(tr(f"there is no face '{id}' here; GET /v1/house lists them", f"没有形象“{id}”；可用 GET /v1/house 列出"))

    def prepare(self, seen: Seen, size: str | int | None, background: str) -> "Avatar | Footage":
        """Return a face ready to speak; kept, so that the next session begins at once.

        Raises:
            NoFaceError and others: as `studio.as_avatar`.
        """
        key = (seen.id, str(size), background)
        with self._preparing:  # two at a time would take each other's processors
            found = self._prepared.get(key)
            if found is None:
                found = self._prepared[key] = self._make(seen, size, background)
            self._prepared.move_to_end(key)
            while len(self._prepared) > PREPARED:
                self._prepared.popitem(last=False)
        return found

    def _make(self, seen: Seen, size: str | int | None, background: str) -> "Avatar | Footage":
        from huashen.avatar import Avatar
        from huashen.backdrop import check, placed

        face = studio.as_avatar(seen.source, size=size)
        if isinstance(face, Avatar):
            return placed(face, background)
        check(background)  # a clip's is changed in every frame: see `care`
        return face

    def manner(self, id: str | None) -> "Style | None":
        """Return how the person of a face on offer moves the mouth, `style` without an id; kept.

        Raises:
            InputError: there is no face of that id, or it tells nothing of the kind.
        """
        if id is None:
            return self.style
        seen = self.face(id)
        with self._preparing:
            if id not in self._styles:
                try:
                    self._styles[id] = persons.as_style(seen.source)
                except (InputError, UnreadableError, NoFaceError) as error:  # which tells where it lies
                    raise InputError(tr(
                        f"the face '{id}' tells no style; take a clip in which the person speaks, or an avatar made of one",
                        f"形象“{id}”没有说话风格；请选用有人说话的视频，或由其制作的数字人",
                    )) from error  # fmt: skip
            return self._styles[id]

    def may_have_style(self, seen: Seen) -> bool:
        """Return whether `manner` may tell how the person of a face moves the mouth; found out once."""
        if seen.id not in self._may:
            self._may[seen.id] = persons.may_have_style(seen.source)
        return self._may[seen.id]

    def care(self, person: "Avatar | Footage", background: str) -> "list[Stage]":
        """Return what a session's pictures go through."""
        from huashen.avatar import Avatar
        from huashen.backdrop import Backdrop

        behind: list[Stage] = [] if isinstance(person, Avatar) or background == "original" else [Backdrop(background)]
        return [*self.stages, *behind]

    def described(self, seen: Seen) -> dict[str, Any]:
        """Return what a page needs to show a face: its id, its name, whether it may be a session's `style`, and where the head is once it
        has been prepared.

        `head` is left, top, right, bottom as shares of the picture, whose `size` is in pixels.
        """
        found: dict[str, Any] = {"id": seen.id, "name": seen.name, "style": self.may_have_style(seen)}
        key = (seen.id, str(self.defaults.get("size")))
        face = next((face for (*prepared, _), face in list(self._prepared.items()) if tuple(prepared) == key), None)
        if face is not None:
            (width, height), box = _head(face)
            head = [box.x0 / width, box.y0 / height, box.x1 / width, box.y1 / height]
            found |= {"size": [width, height], "head": [round(min(max(side, 0.0), 1.0), 3) for side in head]}
        return found

    def thumbnail(self, seen: Seen) -> bytes:
        """Return a small picture of a face, as JPEG."""
        import cv2

        from huashen.footage import Footage

        face = self.prepare(seen, self.defaults.get("size"), "original")
        image = face.shown(next(face.images(iter([int(face.seen().argmax())])))) if isinstance(face, Footage) else face.image
        height, width = image.shape[:2]
        scale = min(1.0, 640 / max(height, width))
        small = cv2.resize(image, (round(width * scale), round(height * scale)), interpolation=cv2.INTER_AREA) if scale < 1 else image
        done, contents = cv2.imencode(".jpg", cv2.cvtColor(small, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 88])
        assert done
        return contents.tobytes()

    def upload(self, contents: bytes) -> Seen:
        """Take in a picture, after looking whether there is a face in it.

        Raises:
            InputError: uploads are not allowed, or there is no face.
            TooLargeError: it is too large, or too many are here.
        """
        if self.folder is None:
            raise InputError(tr("pictures cannot be uploaded to this server", "此服务器不接受上传图片"))
        if len(contents) > self.limits.upload:
            most = self.limits.upload // 1_000_000
            raise TooLargeError(tr(f"the picture is larger than {most} MB; send a smaller one", f"图片超过 {most} MB；请换一张较小的"))
        id = "u" + secrets.token_urlsafe(12)
        path = self.folder / (id + "-" + hashlib.sha256(contents).hexdigest()[:8])
        with self._lock:
            if sum(seen.uploaded > 0 for seen in self.faces) >= self.limits.uploads:
                raise TooLargeError(tr("too many pictures are here; try again later", "图片过多；请稍后再试"))
            seen = Seen(id, tr("yours", "上传"), str(path), time.monotonic())
            self.faces.append(seen)
        try:
            path.write_bytes(contents)
            self.prepare(seen, self.defaults.get("size"), self.defaults.get("background", "original"))
        except NoFaceError as error:
            self.forget(seen)
            raise NoFaceError(tr(
                "no face was found in this picture; take one in which a large face looks at the camera",
                "这张图片中没有找到人脸；请换一张正面、人脸较大的图片",
            )) from error  # fmt: skip
        except UnreadableError as error:
            self.forget(seen)
            raise UnreadableError(tr(
                "this file cannot be read as a picture; take a JPEG, PNG or WebP", "无法将此文件读作图片；请使用 JPEG、PNG 或 WebP"
            )) from error  # fmt: skip
        except TooLargeError as error:
            self.forget(seen)
            raise TooLargeError(str(error).replace(str(path), tr("the picture", "图片"))) from error  # where it lies is nobody's business
        except BaseException:
            self.forget(seen)
            raise
        return seen

    def forget(self, seen: Seen) -> None:
        """Delete an uploaded picture and all that was made of it."""
        if not seen.uploaded:
            return
        with self._lock:
            self.faces = [other for other in self.faces if other.id != seen.id]
        for key in [key for key in list(self._prepared) if key[0] == seen.id]:
            self._prepared.pop(key, None)
        Path(seen.source).unlink(missing_ok=True)

    def values(self) -> dict[str, Any]:
        """Return what a page needs to offer the choice."""
        with self._lock:
            listed = [seen for seen in self.faces if not seen.uploaded]  # others' pictures are not shown
        return {
            "faces": [self.described(seen) for seen in listed],
            "tts": [_voiced(entry) for entry in registry.table("tts").entries],
            "engines": [_described("talking_head", entry) for entry in registry.table("talking_head").entries],
            "chat": [{"name": name, "default": k == 0, "missing": None} for k, name in enumerate([*self.chats, "none"])],
            "asr": self.ears is not None,
            "backgrounds": list(BACKGROUNDS),
            "upload_bytes": self.limits.upload if self.folder is not None else 0,
            "text": self.limits.text,
        }


def _head(face: "Avatar | Footage") -> "tuple[tuple[int, int], Box]":
    """Return the size of a prepared face's picture, and its face in it."""
    from huashen.avatar import Avatar
    from huashen.types import Box

    if isinstance(face, Avatar):
        height, width = face.image.shape[:2]
        return (width, height), face.face.box
    width, height = face.goal or face.size
    scale = max(width / face.size[0], height / face.size[1])
    x, y = np.nanmedian(face.points[:, :468, 0], 0) * scale, np.nanmedian(face.points[:, :468, 1], 0) * scale
    left, top = (max(0.0, side * scale - room) for side, room in zip(face.size, (width, height), strict=True))
    x, y = x - np.clip(x.mean() - width / 2, 0, left), y - np.clip(y.mean() - height * 0.46, 0, top)
    return (width, height), Box(float(x.min()), float(y.min()), float(x.max()), float(y.max()))


def _described(capability: str, entry: registry.Entry, **more: Any) -> dict[str, Any]:
    lacking = [*registry.missing(entry), *(name for name in entry.weights if not weights.present(name))]
    words = ", ".join(lacking)
    missing = tr(f"needs {words}", f"需要 {words}") if lacking else None
    default = entry is registry.table(capability).entries[0]
    return {"name": entry.name, "about": tr(*entry.about), "licence": entry.licence, "default": default, "missing": missing, **more}


def _voiced(entry: registry.Entry) -> dict[str, Any]:
    found = _described("tts", entry)
    known = () if found["missing"] else _voices(entry.name)
    if known is None:
        found["missing"] = tr("not set up on this server", "此服务器未配置")
    return {**found, "voices": known or ()}


@cache
def _voices(engine: str) -> tuple[str, ...] | None:
    """Return the few voices that a page offers of an engine, None where it lacks a model, a key or a server; asked once."""
    try:
        kind = registry.table("tts").load(engine)
        if isinstance(inspect.getattr_static(kind, "voices"), staticmethod):  # known without loading a network
            return tuple(kind.voices()[:60])
        speaker = registry.load("tts", engine)
    except HuashenError:
        return None
    known = tuple(speaker.voices()[:60])
    getattr(speaker, "close", lambda: None)()
    return known


def loopback(host: str) -> bool:
    """Return whether an address is reached from this machine only."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def chats(name: str | None, docs: Path | None, settings: Settings) -> "dict[str, Chat]":
    """Build what answers, the default first.

    Args:
        name: the engine wanted; "none": nobody answers. Without it: what `docs` and the settings make possible.
        docs: a folder of documents.
        settings: `chat`, `chat_url`, `chat_model` of huashen.toml.

    Raises:
        InputError: the engine lacks its documents or its model.
    """
    model = {"base_url": settings.chat_url, "model": settings.chat_model}
    first = (
        name or settings.chat or ("rag" if docs and settings.chat_model else "faq" if docs else "openai" if settings.chat_model else "none")
    )
    found: dict[str, Chat] = {}
    if first == "none":
        return found
    if first in ("faq", "rag") and docs is None:
        raise InputError(
            tr(f"'{first}' answers from documents: give their folder with --docs", f"“{first}”从文档中找答案：请用 --docs 给出文件夹")
        )
    if first in ("openai", "rag"):
        model["key"] = settings.chat_key()  # not to an address that only the working folder's file names
    options: dict[str, dict[str, Any]] = {"faq": {"documents": docs}, "openai": model, "rag": {"documents": docs, **model}}
    found[first] = registry.load("chat", first, **options.get(first, {}))
    return found


def ears(name: str | None, lang: str | None = None) -> "Callable[[], Ears] | None":
    """Return what builds a session's ears; None when nobody is to listen.

    Args:
        name: the recogniser, and its model behind a colon where it needs one ("sherpa-onnx:/models/sense-voice"); "none": nobody listens.
            Without it Whisper, where it and its model are here, else PocketSphinx, which knows English only.
        lang: what people will speak; found out from the sound without it, by Whisper as the default taken to be the language of the texts.

    Raises:
        InputError, MissingError: that recogniser cannot be had.
    """
    if name == "none":
        return None
    from huashen.asr.ears import Ears

    if name is None:
        whisper = registry.table("asr").get("faster-whisper")
        name = whisper.name if not registry.missing(whisper) and weights.present("whisper_base") else "pocketsphinx"
        lang = lang or config.language()
    engine, _, model = name.partition(":")
    options = {"model": model, "lang": lang if engine != "pocketsphinx" else None}
    recognizer = registry.load("asr", engine, **{key: value for key, value in options.items() if value})
    return lambda: Ears(recognizer)


def seen_faces(faces: list[str]) -> list[Seen]:
    """Name the faces on offer; ids say nothing of where they lie.

    Args:
        faces: paths, names of avatars, "example".
    """
    found = []
    for k, source in enumerate(faces):
        name = "example" if source == "example" else Path(source).stem  # the page has its own word for the example
        found.append(Seen(f"f{k}", name, source))
    return found


def as_fps(value: Any) -> Fraction:
    """Return a session's frames a second, at most 30: live, more costs and shows nothing.

    Raises:
        InputError: it is none.
    """
    fps = studio.as_fps(value)
    if fps > 30 or fps < 10:
        raise InputError(tr(f"live sessions have 10 to 30 frames a second, not {value}", f"实时会话每秒 10 到 30 帧，不能是 {value}"))
    return fps
