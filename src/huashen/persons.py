"""Prepared avatars: a clip or a picture of a person, made ready once under a name and found again by it.

    huashen avatar new anna clip.mp4 --consent self
    huashen say "…" --face anna -o out.mp4

An avatar is a folder `HUASHEN_HOME/avatars/NAME`, which appears when it is whole:

- `manifest.json`: what it was made of, by which version, who agreed to it, and what the material is good for;
- `source.*`: a copy of the clip or picture, so that the avatar outlives a source that is moved or changed. Not a hard link: programs
  that write a file anew in its place would change the avatar with it;
- `footage/` of a clip: see `huashen.footage`; `face.npz` of a picture: its face and the person's outline;
- `consent.*`: the record of consent, when that was a file.
"""

import hashlib
import json
import os
import secrets
import shutil
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np

from huashen import __version__, config, footage, media, weights
from huashen import avatar as pictures
from huashen.appraisal import Appraisal, appraise, appraise_picture
from huashen.audio2face import style as styles
from huashen.avatar import Avatar
from huashen.errors import HuashenError, InputError, OutputError, TooLargeError, UnreadableError
from huashen.face.pose import head
from huashen.footage import Footage
from huashen.types import Box, Face, Landmarks, Style
from huashen.words import tr

FORMAT = 1
LONGEST = 64
"""Characters of a name."""
RECORD = 50_000_000
"""Bytes a record of consent may have."""
_RESERVED = {"example", "con", "prn", "aux", "nul", *(f"{port}{k}" for port in ("com", "lpt") for k in range(1, 10))}

Kind = Literal["self", "granted", "fictional", "record", "example"]


@dataclass(frozen=True)
class Consent:
    """Who agreed that a person is made to speak."""

    kind: Kind
    """"self": whoever makes the avatar is the person; "granted": the person said yes; "fictional": nobody who lives or lived, a drawing
    or a generated face; "record": `text` or `file` says who agreed to what; "example": the portrait that comes along."""
    text: str = ""
    file: str = ""
    """A file with the record: its path, in an avatar its name in the folder."""
    sha256: str = ""
    """Of that file."""
    day: str = ""
    """When it was written down, YYYY-MM-DD."""

    def words(self) -> str:
        """Return it in the user's language."""
        said = {
            "self": tr("the person made the avatar", "由本人制作"),
            "granted": tr("the person agreed", "已获本人同意"),
            "fictional": tr("no real person", "非真实人物"),
            "record": self.text or tr(f"record {self.file}", f"凭证 {self.file}"),
            "example": tr("NASA portrait, public domain", "NASA 肖像，公有领域"),
        }[self.kind]
        return f"{said} ({self.day})" if self.day else said


def as_consent(value: str) -> Consent:
    """Return what `--consent` says.

    Args:
        value: "self", "granted", "fictional"; the path of a file with a record; or a sentence that says who agreed, to what and when.

    Raises:
        InputError: it is a single word that is none of these, or a file that is not there.
        TooLargeError: the file is too large for a record.
    """
    text = " ".join(value.split())
    day = datetime.now(UTC).date().isoformat()
    for kind in get_args(Kind)[:3]:
        if text.lower() == kind:
            return Consent(kind, day=day)
    path = Path(value).expanduser()
    if len(value) < 1000 and path.is_file():
        if path.stat().st_size > RECORD:
            raise TooLargeError(tr(
                f"{path} is larger than {RECORD // 1_000_000} MB; give the page that says who agreed",
                f"{path} 超过 {RECORD // 1_000_000} MB；请给出写明同意事项的那一页",
            ))  # fmt: skip
        with path.open("rb") as stream:
            return Consent("record", file=str(path), sha256=hashlib.file_digest(stream, "sha256").hexdigest(), day=day)
    if len(text) < 4 or (text.isascii() and " " not in text):
        raise InputError(tr(
            f"--consent cannot be '{text}': it is no file and no sentence; {_ways()}",
            f"--consent 不能是“{text}”：既不是文件，也不是一句话；{_ways()}",
        ))  # fmt: skip
    return Consent("record", text=text[:2000], day=day)


def _ways() -> str:
    return tr(
        "give self (it is you), granted (the person agreed), fictional (no real person), a file, "
        'or a sentence such as "Anna Li agreed by letter, 3 May 2026"',
        "可用：self（就是你本人）、granted（已获本人同意）、fictional（非真实人物）、一个文件，"
        "或一句话，例如“李安娜 2026 年 5 月 3 日书面同意”",
    )


@dataclass(frozen=True)
class Person:
    """A prepared avatar, read from its manifest; pictures and meshes are read when it is opened."""

    name: str
    kind: Literal["clip", "picture"]
    source: str
    """Name of the file it was made of."""
    file: str
    """Name of its copy in the folder."""
    sha256: str
    bytes: int
    """Of the copy."""
    size: tuple[int, int]
    """(width, height)."""
    fps: str
    """Frames a second of a clip; empty for a picture."""
    frames: int
    seconds: float
    made: str
    """UTC, ISO 8601."""
    version: str
    """Of the Huashen that made it."""
    consent: Consent
    appraisal: Appraisal
    which: str = ""
    """How the face was chosen."""
    style: Style | None = None
    """How the person's mouth moves, from the clip, or for a picture from another clip of the person; None: nobody knows."""
    format: int = FORMAT
    folder: Path = field(default=Path(), compare=False)

    @property
    def path(self) -> Path:
        """The copy of the clip or picture."""
        return self.folder / self.file

    def opened(self) -> Avatar | Footage:
        """Return who speaks, read from the folder.

        Raises:
            UnreadableError: something in the folder is missing or broken.
        """
        try:
            if self.kind == "clip":
                return replace(footage.opened(self.folder / "footage", self.path), name=self.name)
            with np.load(self.folder / "face.npz") as stored:
                points, score = stored["points"], float(stored["score"])
                mask = stored["mask"].astype(np.float32) / 255 if stored["mask"].size else None
        except (OSError, KeyError, ValueError) as error:
            raise _broken(self.name, str(error)) from error
        low, high = points[:468, :2].min(0), points[:468, :2].max(0)
        face = Face(Box(*map(float, (*low, *high))), Landmarks(points), score, head(points))
        return Avatar(media.read_image(self.path), face, mask, self.name, self.path, self.style)

    def values(self) -> dict[str, Any]:
        """Return what the manifest holds, as JSON knows it."""
        return {key: value for key, value in asdict(self).items() if key != "folder"} | {"size": list(self.size)}

    def disk(self) -> int:
        """Return the bytes of the folder."""
        return footage.weight(self.folder)


def is_name(text: str) -> bool:
    """Return whether an avatar may have this name: letters of any script, digits, - and _; so no file with an ending can be meant."""
    return _wrong(text) == ""


def exists(name: str) -> bool:
    """Return whether there is an avatar of this name."""
    return is_name(name) and (_place(name) / "manifest.json").is_file()


def find(name: str) -> Person:
    """Return the avatar of a name.

    Raises:
        InputError: there is none; the text lists those there are.
        UnreadableError: its manifest is broken, or of a later version.
    """
    if not exists(name):
        raise InputError(tr(f"there is no avatar '{name}'; {_those()}", f"没有名为“{name}”的数字人；{_those()}"))
    place = _place(name)
    try:
        values = json.loads((place / "manifest.json").read_text(encoding="utf-8"))
        if values["format"] > FORMAT:
            raise UnreadableError(tr(
                f"the avatar '{name}' was made by a later Huashen ({values['version']}); update, or make it again",
                f"数字人“{name}”由更新版本的化身（{values['version']}）制作；请升级，或重新制作",
            ))  # fmt: skip
        consent, appraisal = Consent(**values.pop("consent")), Appraisal(**values.pop("appraisal"))
        values["style"] = Style(**values["style"]) if values.get("style") else None
        values["size"] = (int(values["size"][0]), int(values["size"][1]))
        return Person(**values, consent=consent, appraisal=appraisal, folder=place)
    except (OSError, ValueError, KeyError, TypeError, IndexError) as error:
        raise _broken(name, str(error)) from error


def people() -> Iterator[Person]:
    """Yield the prepared avatars by name.

    Raises:
        UnreadableError: a manifest is broken.
    """
    for name in names():
        yield find(name)


def names() -> list[str]:
    """Return the names of the prepared avatars."""
    folder = _folder()
    if not folder.is_dir():
        return []
    found = (unicodedata.normalize("NFC", entry.name) for entry in folder.iterdir() if (entry / "manifest.json").is_file())
    return sorted(name for name in found if is_name(name))


def make(
    name: str,
    source: str | os.PathLike[str],
    *,
    consent: Consent | None = None,
    which: footage.Which | None = None,
    box: tuple[float, float, float, float] | None = None,
    style: str | os.PathLike[str] | Style | None = None,
    overwrite: bool = False,
    progress: Callable[[str, int, float, float | None], None] | None = None,
) -> Person:
    """Prepare a clip or a picture under a name.

    Args:
        name: letters of any script, digits, - and _.
        source: a video, a picture, or "example".
        consent: who agreed; needed for everybody but the example.
        which, box: see `huashen.say`.
        style: how the person's mouth moves: see `as_style`; a clip that speaks tells it itself.
        overwrite: whether an avatar of that name is replaced; it stays until the new one is whole.
        progress: called with what is done ("track", "appraise"), the frames and seconds done, and the seconds of the whole.

    Raises:
        InputError: the name cannot be used or is taken, or nobody's consent is given.
        UnreadableError, NoFaceError: as for `huashen.say`.
        OutputError: the folder cannot be written, or the disk is short.
    """
    name = check(name, overwrite=overwrite)
    if str(source) == "example":
        source, consent = weights.path("astronaut"), Consent("example")
    path = Path(source)
    found = media.probe(path)
    if found.kind == "sound":
        raise UnreadableError(tr(
            f"{path} is sound without pictures; give a video or a picture", f"{path} 只有声音没有画面；请给出视频或图片"
        ))  # fmt: skip
    if consent is None:
        raise InputError(tr(
            f"nobody's consent is given for {path}: add --consent; {_ways()}", f"{path} 缺少同意凭证：请加 --consent；{_ways()}"
        ))  # fmt: skip
    manner = None if style is None else as_style(style)
    place = _place(name)
    beside = place.with_name(f".{secrets.token_hex(4)}.part")
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        _room(path, found)
        beside.mkdir()
        copy = beside / f"source{path.suffix.lower()}"
        digest = _copied(path, copy)
        if consent.file:
            record = Path(consent.file)
            consent = replace(consent, file=f"consent{record.suffix.lower()}")
            _copied(record, beside / consent.file)
        stated: dict[str, Any] = {"name": name, "source": path.name, "file": copy.name, "sha256": digest, "bytes": copy.stat().st_size,
                                  "made": datetime.now(UTC).isoformat(timespec="seconds"), "version": __version__, "consent": consent,
                                  "which": _told(which, box), "folder": place}  # fmt: skip
        if found.kind == "video":
            clip = _footage(path, copy, beside / "footage", which, box, progress)
            seen = appraise(clip, progress=None if progress is None else lambda *done: progress("appraise", *done))
            person = Person(kind="clip", size=clip.size, fps=str(clip.fps), frames=len(clip), seconds=round(float(len(clip) / clip.fps), 3),
                            appraisal=seen, style=manner or styles.of(clip), **stated)  # fmt: skip
        else:
            shown = pictures.from_image(media.read_image(copy), which=which, box=box, name=name, source=path)
            mask = np.zeros(0, np.uint8) if shown.mask is None else np.rint(shown.mask * 255).astype(np.uint8)
            np.savez_compressed(beside / "face.npz", points=shown.face.landmarks.points, score=shown.face.score, mask=mask)
            size = (shown.image.shape[1], shown.image.shape[0])
            person = Person(kind="picture", size=size, fps="", frames=1, seconds=0.0, appraisal=appraise_picture(shown), style=manner,
                            **stated)  # fmt: skip
        (beside / "manifest.json").write_text(json.dumps(person.values(), ensure_ascii=False, indent=1), encoding="utf-8")
        _placed(beside, place)
    except OSError as error:
        raise OutputError(
            tr(f"the avatar cannot be written to {place}: {error.strerror}", f"无法把数字人写入 {place}：{error.strerror}")
        ) from error
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    return person


def as_style(value: str | os.PathLike[str] | Style, *, progress: Callable[[int, float, float | None], None] | None = None) -> Style:
    """Return how somebody's mouth moves.

    Args:
        value: a clip in which somebody speaks, the name of an avatar made of one, or a style.
        progress: see `huashen.footage.prepare`.

    Raises:
        InputError: it is neither, or there is too little speech to learn from.
        UnreadableError, NoFaceError: the clip cannot be read, or shows no face.
    """
    if isinstance(value, Style):
        return value
    if isinstance(value, str) and exists(value):
        found = find(value).style
    else:
        path = Path(value)
        if media.probe(path).kind != "video":
            raise InputError(tr(
                f"{path} is no clip: a style is learned from a video in which somebody speaks, or is that of an avatar",
                f"{path} 不是视频：说话风格须取自有人说话的视频，或已有数字人的名字",
            ))  # fmt: skip
        found = styles.of(footage.prepare(path, progress=progress))
    if found is None:
        raise InputError(tr(
            f"{value}: too little speech to learn a style from; give a clip in which the person is seen to speak for 5 seconds or more",
            f"{value}：说话内容太少，学不到说话风格；请给出能看到此人说话至少 5 秒的视频",
        ))  # fmt: skip
    return found


def may_have_style(value: str) -> bool:
    """Return whether `as_style` may find how somebody's mouth moves: in a clip, if he speaks in it, or an avatar that knows it."""
    try:
        return find(value).style is not None if exists(value) else Path(value).exists() and media.probe(Path(value)).kind == "video"
    except UnreadableError:
        return False


def remove(name: str) -> None:
    """Delete an avatar with everything it keeps.

    Raises:
        InputError: there is none of that name.
        OutputError: it may not be deleted.
    """
    if not exists(name):
        raise InputError(tr(f"there is no avatar '{name}'; {_those()}", f"没有名为“{name}”的数字人；{_those()}"))
    place = _place(name)
    gone = place.with_name(f".{secrets.token_hex(4)}.part")
    try:
        place.replace(gone)
        shutil.rmtree(gone)
    except OSError as error:
        raise OutputError(tr(f"{place} cannot be deleted: {error.strerror}", f"无法删除 {place}：{error.strerror}")) from error


def check(name: str, *, overwrite: bool = False) -> str:
    """Return the name for a new avatar, composed as Unicode's NFC has it.

    Raises:
        InputError: no avatar may have it, or one has it and is not to be replaced.
    """
    name = unicodedata.normalize("NFC", name)
    if wrong := _wrong(name):
        raise InputError(wrong)
    twin = next((other for other in names() if other.casefold() == name.casefold()), None)
    if twin is not None and (not overwrite or twin != name):
        raise InputError(tr(
            f"there is an avatar '{twin}' already; add -y to replace it, or choose another name",
            f"已有名为“{twin}”的数字人；加 -y 可替换，或换一个名字",
        ))  # fmt: skip
    return name


def _wrong(name: str) -> str:
    """Return why an avatar cannot have a name; empty when it can."""
    if not name or len(name) > LONGEST or len(name.encode(errors="replace")) > 200:
        return tr(f"a name has 1 to {LONGEST} characters", f"名字须为 1 到 {LONGEST} 个字符")
    if name.casefold() in _RESERVED:
        return tr(f"'{name}' is a reserved word; choose another name", f"“{name}”是保留名；请换一个名字")
    if name[0] in "-_" or not all(c in "-_" or unicodedata.category(c)[0] in "LN" or unicodedata.category(c) in ("Mn", "Mc") for c in name):
        return tr(
            f"'{name}' cannot be a name: use letters of any script, digits, - and _, and begin with a letter or a digit",
            f"“{name}”不能作名字：请使用文字、数字、- 和 _，并以文字或数字开头",
        )
    return ""


def _folder() -> Path:
    return config.home() / "avatars"


def _place(name: str) -> Path:
    return _folder() / unicodedata.normalize("NFC", name)


def _those() -> str:
    have = names()
    listed = ", ".join(have[:12]) + (" …" if len(have) > 12 else "")
    return tr(f"there are: {listed}" if have else "there are none yet; make one with: huashen avatar new",
              f"已有：{listed}" if have else "目前还没有；请用 huashen avatar new 制作")  # fmt: skip


def _broken(name: str, why: str) -> UnreadableError:
    why = " ".join(why.split())
    return UnreadableError(tr(
        f"the avatar '{name}' is broken ({why}); remove it with 'huashen avatar remove {name}' and make it again",
        f"数字人“{name}”已损坏（{why}）；请用 huashen avatar remove {name} 删除后重新制作",
    ))  # fmt: skip


def _room(path: Path, found: media.Probe) -> None:
    """Refuse where the disk is short, before any work."""
    size = path.stat().st_size
    if found.kind == "video":
        footage.check_room(path, size)
        return
    free = shutil.disk_usage(_folder()).free
    if size + footage.SPARE > free:
        raise OutputError(tr(
            f"the avatar needs about {size / 1e6:.0f} MB and {_folder()} has {free / 1e6:.0f} MB left; free some "
            "(huashen avatar clear), or set HUASHEN_HOME to another disk",
            f"该数字人约需 {size / 1e6:.0f} MB，而 {_folder()} 仅剩 {free / 1e6:.0f} MB；请腾出空间（huashen avatar clear），"
            "或把 HUASHEN_HOME 设到其他磁盘",
        ))  # fmt: skip


def _copied(path: Path, goal: Path) -> str:
    """Copy a file and return its sha256."""
    digest = hashlib.sha256()
    with path.open("rb") as source, goal.open("xb") as copy:
        while piece := source.read(1 << 20):
            digest.update(piece)
            copy.write(piece)
    return digest.hexdigest()


def _footage(
    path: Path,
    copy: Path,
    folder: Path,
    which: footage.Which | None,
    box: tuple[float, float, float, float] | None,
    progress: Callable[[str, int, float, float | None], None] | None,
) -> Footage:
    """Prepare a clip in its folder; what was found when it was given as a file is taken over."""
    known = footage.cached(path, which=which, box=box)
    if (known / "manifest.json").is_file():
        shutil.copytree(known, folder, copy_function=_linked)
    try:
        return footage.prepare(
            copy, which=which, box=box, folder=folder, progress=None if progress is None else lambda *done: progress("track", *done)
        )
    except HuashenError as error:  # it speaks of the copy, which is gone when it is read
        raise type(error)(str(error).replace(str(copy), str(path))) from error


def _linked(source: str, goal: str) -> None:
    """Give a file of ours, which nobody writes to again, a second name, or copy it where that cannot be."""
    try:
        os.link(source, goal)
    except OSError:
        shutil.copyfile(source, goal)


def _told(which: footage.Which | None, box: tuple[float, float, float, float] | None) -> str:
    if box is not None:
        return "box " + ",".join(f"{v:g}" for v in box)
    if which is None:
        return ""
    return ",".join(f"{v:g}" for v in which) if isinstance(which, tuple) else Path(which).name if isinstance(which, Path) else str(which)


def _placed(beside: Path, place: Path) -> None:
    """Move a folder into its place; what was there goes once the new one is whole."""
    old = place.with_name(f".{secrets.token_hex(4)}.part")
    if place.exists():
        place.replace(old)
    try:
        beside.replace(place)
    except OSError:
        if old.exists():
            old.replace(place)
        raise
    shutil.rmtree(old, ignore_errors=True)
