"""Checks a machine, and says in a sentence what is missing and how to get it."""

import importlib
import os
import platform
import shutil
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from huashen import config, registry, terminal, weights
from huashen.errors import HuashenError
from huashen.words import tr

State = Literal["fine", "note", "missing"]

PACKAGES = {
    "numpy": "numpy", "cv2": "opencv-python-headless", "av": "av", "PIL": "pillow", "soxr": "soxr", "pydantic": "pydantic",
    "ai_edge_litert.interpreter": "ai-edge-litert", "espeakng_loader": "espeakng-loader",
}  # fmt: skip
"""What the default path imports, and the name pip knows it by."""

ENCODERS = (("libx264", True), ("aac", True), ("libvpx-vp9", False), ("libopus", False), ("gif", False))
"""FFmpeg's encoders, and whether the default path needs them."""


@dataclass(frozen=True)
class Check:
    """One thing looked at."""

    name: str
    state: State
    """"note": the default path works without it; "missing": it does not."""
    words: str
    """What was found; what is missing and how to get it."""


def examine() -> list[Check]:
    """Look at everything the default path needs, and at what else there is."""
    return [*_machine(), *_packages(), *_encoders(), *_engines(), *_weights(), *_voice(), *_font(), *_home()]


def report(checks: list[Check]) -> str:
    """Lay the checks out for reading, and end with a sentence on whether the default path works."""
    marks = {"fine": tr("ok", "正常"), "note": tr("note", "提示"), "missing": tr("MISSING", "缺少")}
    lines = terminal.table([[marks[check.state], check.name, check.words] for check in checks])
    lacking = sum(check.state == "missing" for check in checks)
    if lacking:
        return f"{lines}\n" + tr(f"{lacking} to mend before videos can be made", f"有 {lacking} 项需要先解决才能生成视频")
    return f"{lines}\n" + tr("everything a video needs is here", "生成视频所需的一切均已具备")


def _machine() -> Iterator[Check]:
    version = platform.python_version()
    wanted = sys.version_info >= (3, 11)
    yield Check(
        "Python", "fine" if wanted else "missing",
        f"{version}, {platform.system()} {platform.machine()}" if wanted else tr(
            f"{version}; 3.11 or newer is needed, see https://www.python.org/downloads", f"{version}；需要 3.11 或更新版本，见 https://www.python.org/downloads",
        ),
    )  # fmt: skip
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    yield Check(
        tr("cores", "核心"),
        "fine" if cores > 1 else "note",
        str(cores) if cores > 1 else tr("1; two are twice as fast", "1；两个核心快一倍"),
    )
    memory = _memory()
    if memory is not None:
        small = memory < 1.0
        yield Check(
            tr("memory", "内存"),
            "note" if small else "fine",
            f"{memory:.1f} GB" + (tr("; 1080p may not fit", "；1080p 可能不够") if small else ""),
        )
    place = _existing(config.home())
    free = shutil.disk_usage(place).free / 1e9
    words = tr(f"{free:.1f} GB free in {terminal.short(place)}", f"{terminal.short(place)} 剩余 {free:.1f} GB")
    yield Check(tr("disk", "磁盘"), "fine" if free > 1 else "note", words if free > 1 else words + tr("; make some room", "；请腾出空间"))


def _existing(place: Path) -> Path:
    """Return a folder, or the nearest one above it that exists."""
    return next(folder for folder in (place, *place.parents) if folder.exists())


def _memory() -> float | None:
    """Return the memory this process may use in GB; None where the system does not tell."""
    try:
        whole = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return None
    limit = Path("/sys/fs/cgroup/memory.max")
    text = limit.read_text().strip() if limit.is_file() else "max"
    return min(whole, int(text) if text.isdigit() else whole) / 1e9


def _packages() -> Iterator[Check]:
    found = []
    for module, package in PACKAGES.items():
        try:
            importlib.import_module(module)
        except ImportError as error:
            reason = " ".join(str(error).split())
            yield Check(package, "missing", tr(f"does not load ({reason}); run: pip install --force-reinstall {package}",
                                               f"无法加载（{reason}）；请运行：pip install --force-reinstall {package}"))  # fmt: skip
            continue
        found.append(package)
    if len(found) == len(PACKAGES):
        yield Check(tr("packages", "依赖包"), "fine", ", ".join(found))


def _encoders() -> Iterator[Check]:
    try:
        import av
        from av.codec.codec import UnknownCodecError
    except ImportError:
        return  # said among the packages
    found = []
    for name, needed in ENCODERS:
        try:
            av.Codec(name, "w")
        except UnknownCodecError:
            yield Check(name, "missing" if needed else "note", tr(
                "this FFmpeg cannot encode it; run: pip install --force-reinstall --only-binary=:all: av",
                "当前 FFmpeg 不支持该编码；请运行：pip install --force-reinstall --only-binary=:all: av",
            ))  # fmt: skip
            continue
        found.append(name)
    yield Check(tr("encoders", "编码器"), "fine", f"PyAV {av.__version__}: {', '.join(found)}")


def _engines() -> Iterator[Check]:
    for capability in registry.CAPABILITIES:
        table = registry.table(capability)
        for entry in table.entries:
            lacking = registry.missing(entry)
            if not lacking:
                continue
            names = ", ".join(lacking)
            if entry.extra:
                how = f"pip install 'huashen[{entry.extra}]'"
            elif entry.programs:
                how = tr(f"install it with the system's packages, such as: apt install {' '.join(entry.programs)}",
                         f"请用系统包管理器安装，例如：apt install {' '.join(entry.programs)}")  # fmt: skip
            else:
                how = tr("run: pip install --force-reinstall huashen", "请运行：pip install --force-reinstall huashen")
            state: State = "missing" if entry is table.entries[0] else "note"
            yield Check(f"{capability} {entry.name}", state, tr(f"needs {names}; {how}", f"需要 {names}；{how}"))


def _weights() -> Iterator[Check]:
    names = [name for capability in registry.CAPABILITIES for name in registry.table(capability).entries[0].weights]
    lacking = [name for name in names if not weights.present(name)]
    title = tr("weights", "权重")
    if not lacking:
        yield Check(title, "fine", ", ".join(names))
        return
    listed = ", ".join(lacking)
    if config.offline():
        yield Check(title, "missing", tr(
            f"{listed} not here, and HUASHEN_OFFLINE forbids fetching; unset it, or run 'huashen weights import FILE'",
            f"缺少 {listed}，且 HUASHEN_OFFLINE 禁止联网；请取消该设置，或运行 huashen weights import 文件",
        ))  # fmt: skip
        return
    index = _index()
    reason = _unreachable(index)
    if reason:
        yield Check(title, "missing", tr(
            f"{listed} not here, and the package index {index} does not answer ({reason}); mend the network, "
            "or run 'huashen weights import FILE'",
            f"缺少 {listed}，且软件包索引 {index} 无响应（{reason}）；请检查网络，或运行 huashen weights import 文件",
        ))  # fmt: skip
    else:
        yield Check(title, "note", tr(f"{listed} not here yet; the first video fetches them, or run: huashen weights get",
                                      f"尚无 {listed}；首次生成视频时自动获取，也可运行：huashen weights get"))  # fmt: skip


def _index() -> str:
    """Return the package index that pip uses."""
    asked = subprocess.run(
        [sys.executable, "-m", "pip", "config", "get", "global.index-url"],
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        check=False,
    )
    return os.environ.get("PIP_INDEX_URL") or asked.stdout.strip() or "https://pypi.org/simple"


def _unreachable(address: str) -> str:
    """Return why an address does not answer; empty when it does."""
    try:
        with urllib.request.urlopen(urllib.request.Request(f"{address.rstrip('/')}/pip/", headers={"User-Agent": "huashen"}), timeout=5):
            return ""
    except (urllib.error.URLError, OSError, ValueError) as error:
        return str(getattr(error, "reason", error))


def _voice() -> Iterator[Check]:
    """Let the default voice say a word."""
    name = registry.table("tts").names()[0]
    try:
        speech = next(iter(registry.load("tts").speak("好")))
    except HuashenError as error:
        yield Check(f"tts {name}", "missing", str(error))
    else:
        yield Check(f"tts {name}", "fine", tr(f"speaks, {speech.audio.rate} Hz", f"可以说话，{speech.audio.rate} Hz"))


def _font() -> Iterator[Check]:
    """Look for the font of subtitles in the picture, which is part of OpenCV 5."""
    try:
        import cv2
    except ImportError:
        return  # said among the packages
    title = tr("subtitle font", "字幕字体")
    if hasattr(cv2, "FontFace"):
        yield Check(title, "fine", tr(f"OpenCV {cv2.__version__}'s own, with Chinese", f"OpenCV {cv2.__version__} 自带，含中文"))
    else:
        yield Check(title, "note", tr(
            f"OpenCV {cv2.__version__} has none, so --subtitles burn fails; run: pip install -U 'opencv-python-headless>=5'",
            f"OpenCV {cv2.__version__} 没有字体，--subtitles burn 无法使用；请运行：pip install -U 'opencv-python-headless>=5'",
        ))  # fmt: skip


def _home() -> Iterator[Check]:
    place = _existing(config.home())
    if os.access(place, os.W_OK | os.X_OK) and place.is_dir():
        yield Check("HUASHEN_HOME", "fine", terminal.short(config.home()))
    else:
        yield Check("HUASHEN_HOME", "missing", tr(
            f"{config.home()} may not be written; set HUASHEN_HOME to a folder that may",
            f"{config.home()} 不可写；请把 HUASHEN_HOME 设为可写的文件夹",
        ))  # fmt: skip
