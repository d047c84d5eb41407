"""What the commands share: their options, and how they speak."""

import io
import json
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from huashen import config, terminal
from huashen.errors import InputError, UnreadableError
from huashen.words import tr

if TYPE_CHECKING:
    from huashen.studio import Result


class Command(TyperCommand):
    def get_help(self, ctx: Any) -> str:
        return terminal.help_text(self, ctx)


class Group(TyperGroup):
    def get_help(self, ctx: Any) -> str:
        return terminal.help_text(self, ctx)


def group(about: str) -> typer.Typer:
    return typer.Typer(cls=Group, help=about, rich_markup_mode=None, add_completion=False, invoke_without_command=True)


app = group(
    tr(
        "Huashen: a face and words go in, a talking person comes out.\n\n"
        "Defaults may stand in a huashen.toml, here or in HUASHEN_HOME. --debug, anywhere on the line, shows an error's traceback.",
        "化身 Huashen：输入一张脸和一段话，得到一个会说话的人。\n\n"
        "默认值可写在当前文件夹或 HUASHEN_HOME 中的 huashen.toml 里。在命令行任意位置加 --debug，出错时显示完整的调用栈。",
    )
)


Face = Annotated[
    str | None,
    typer.Option(
        "--face",
        metavar="FILE|NAME",
        help=tr(
            "a picture or a video of who speaks; the name of a prepared avatar (huashen avatar; for a file of that name write ./NAME); "
            "or 'example', a portrait that Huashen knows",
            "说话者的图片或视频；或已有数字人的名字（见 huashen avatar；若指同名文件请写 ./名字）；example 表示示例人像",
        ),
    ),
]
Out = Annotated[
    Path | None,
    typer.Option(
        "-o",
        "--out",
        metavar="FILE",
        help=tr(
            "the video to make; the ending says the format: .mp4, .mov, .webm, .gif",
            "要生成的视频；格式由扩展名决定：.mp4、.mov、.webm、.gif",
        ),
    ),
]
Size = Annotated[
    str | None,
    typer.Option(
        "--size",
        metavar="SIZE",
        help=tr(
            "512 (the long side), 512x512 (cut to that shape), 720p, 1080p; without it the picture's own, up to 1920",
            "512（长边）、512x512（裁成该形状）、720p、1080p；默认为图片自身的尺寸，最大 1920",
        ),
    ),
]
Fps = Annotated[
    str | None,
    typer.Option(
        "--fps",
        metavar="RATE",
        help=tr(
            "frames a second, such as 30, 29.97 or 30000/1001; 25 without it, or the face video's own",
            "每秒帧数，可写 30、29.97 或 30000/1001；默认 25，人脸为视频时取其自身帧率",
        ),
    ),
]
Still = Annotated[bool, typer.Option("--still", help=tr("keep head and background still", "头部和背景保持不动"))]
Which = Annotated[
    str | None,
    typer.Option(
        "--which",
        metavar="N|X,Y|FILE",
        help=tr(
            "the face that speaks: 0 is the largest; or a point in it, in pixels; or a picture of the one meant",
            "由哪张脸说话：0 为最大的一张；或给出脸上一点的像素坐标；或给出此人的照片",
        ),
    ),
]
Box = Annotated[
    str | None,
    typer.Option(
        "--box",
        metavar="X0,Y0,X1,Y1",
        help=tr(
            "look for the face there, in pixels",
            "只在此范围内找人脸（像素）",
        ),
    ),
]
End = Annotated[
    str,
    typer.Option(
        "--end",
        metavar="trim|live",
        help=tr(
            "when a clip is longer than the speech: end with the speech, or go on to the clip's end with the mouth shut",
            "视频比话长时：trim 说完即止；live 闭着嘴播到视频结束",
        ),
    ),
]
Seed = Annotated[int, typer.Option("--seed", metavar="N", help=tr("another number, other blinks and nods", "换个数字，眨眼和点头随之不同"))]
Manner = Annotated[
    str | None,
    typer.Option(
        "--style",
        metavar="CLIP|NAME",
        help=tr(
            "move the mouth as far, as wide and as round as the person in this clip, or of this avatar, does",
            "口型的张开、拉宽与圆唇幅度仿照此视频（或此数字人）中的人",
        ),
    ),
]
Driver = Annotated[
    str | None,
    typer.Option(
        "--driver",
        metavar="NAME",
        help=tr(
            "the audio2face engine, see: huashen engines",
            "audio2face 引擎，见 huashen engines",
        ),
    ),
]
Engine = Annotated[
    str | None,
    typer.Option(
        "--engine",
        metavar="NAME",
        help=tr(
            "the talking_head engine, see: huashen engines",
            "talking_head 引擎，见 huashen engines",
        ),
    ),
]
Tts = Annotated[
    str | None, typer.Option("--tts", metavar="NAME", help=tr("the tts engine, see: huashen engines", "tts 引擎，见 huashen engines"))
]
Voice = Annotated[str | None, typer.Option("--voice", metavar="NAME", help=tr("see: huashen voices", "见 huashen voices"))]
Lang = Annotated[
    str | None, typer.Option("--lang", metavar="TAG", help=tr("zh, en, …; guessed from the text without it", "zh、en 等；默认由文本判断"))
]
Speed = Annotated[str | None, typer.Option("--speed", metavar="X", help=tr("1 is the voice's own, 1.5 is faster", "1 为原速，1.5 更快"))]
Captions = Annotated[
    str | None,
    typer.Option(
        "--subtitles",
        metavar="none|file|burn",
        help=tr(
            "file: .srt and .vtt beside the video; burn: in the picture",
            "file：在视频旁生成 .srt 和 .vtt；burn：印在画面里",
        ),
    ),
]
Overwrite = Annotated[bool, typer.Option("-y", "--overwrite", help=tr("replace the output if it exists", "输出文件已存在时将其替换"))]
Resume = Annotated[
    bool,
    typer.Option(
        "--resume",
        help=tr(
            "go on with a video that was stopped, where it was",
            "从中断处继续生成未完成的视频",
        ),
    ),
]
Json = Annotated[bool, typer.Option("--json", help=tr("print the result as JSON", "以 JSON 输出结果"))]
Quiet = Annotated[bool, typer.Option("-q", "--quiet", help=tr("show no progress and no result", "不显示进度和结果"))]


def chosen_of(given: dict[str, str | None], settings: config.Settings) -> dict[str, Any]:
    """Return the options that were given, on the line or else in huashen.toml; an error in the latter names the file."""
    from huashen import studio

    checks: dict[str, Any] = {
        "fps": studio.as_fps,
        "size": lambda value: studio.as_size(value, (512, 512)),
        "subtitles": studio.as_subtitles,
    }
    chosen: dict[str, Any] = {}
    for name, value in given.items():
        told = getattr(settings, name)
        if value is None and told is not None:
            try:
                checks.get(name, str)(told)
            except InputError as error:
                raise InputError(f"{settings.source}: {error}") from error
        if value is not None or told is not None:
            chosen[name] = told if value is None else value
    return chosen


def wanted(value: Any, option: str) -> Any:
    if value is None:
        how = {
            "-o": tr("say where the video goes with -o, such as -o hello.mp4", "请用 -o 指明视频存放位置，例如 -o hello.mp4"),
            "--face": tr(
                "say who speaks with --face, such as --face me.jpg or --face example",
                "请用 --face 指明由谁说话，例如 --face me.jpg 或 --face example",
            ),
        }
        raise InputError(how[option])
    return value


def text_of(text: str | None, file: Path | None) -> str | Iterator[str]:
    """Return the text to say: what was given, a file's, or the lines of standard input as they come."""
    if (text is None) == (file is None):
        raise InputError(
            tr(
                "give either a text, or --file with its file, or - for standard input",
                "请给出文本、用 --file 给出文件、或用 - 读取标准输入（三者择一）",
            )
        )
    if file is not None and str(file) != "-":
        return _lines(file)
    return _stdin() if text in (None, "-") else text or ""


def known_text(text: str | None, file: Path | None) -> str:
    """Return the text of a recording: what was given, or a file's."""
    if text is not None and file is not None:
        raise InputError(tr("give either --text or --text-file", "--text 与 --text-file 只能给出一个"))
    return _lines(file) if file is not None else text or ""


def _lines(file: Path) -> str:
    from huashen.studio import MAX_CHARACTERS

    try:
        with file.open(encoding="utf-8-sig") as stream:
            return stream.read(MAX_CHARACTERS + 1)
    except UnicodeDecodeError as error:
        raise UnreadableError(tr(f"{file} is not UTF-8 text; save it as UTF-8", f"{file} 不是 UTF-8 文本；请另存为 UTF-8")) from error
    except OSError as error:
        raise UnreadableError(tr(f"{file} cannot be read ({error.strerror})", f"无法读取 {file}（{error.strerror}）")) from error


def _stdin() -> Iterator[str]:
    if sys.stdin is None or sys.stdin.closed:
        return
    try:
        stream = io.TextIOWrapper(sys.stdin.buffer, encoding="utf-8-sig")
        while line := stream.readline(100_000):
            yield line
    except UnicodeDecodeError as error:
        raise UnreadableError(tr("standard input is not UTF-8 text", "标准输入不是 UTF-8 文本")) from error


def as_which(value: str | None) -> int | tuple[float, float] | Path | None:
    if value is None:
        return None
    if Path(value).is_file():
        return Path(value)
    try:
        return int(value) if "," not in value else _numbers(value, 2)  # type: ignore[return-value]
    except ValueError as error:
        raise InputError(
            tr(
                f"--which cannot be '{value}'; give a number such as 0, a point such as 310,120, or a picture of the one meant",
                f"--which 不能是“{value}”；请给出序号（例如 0）、坐标（例如 310,120）或此人的照片",
            )
        ) from error


def as_box(value: str | None) -> tuple[float, float, float, float] | None:
    if value is None:
        return None
    try:
        return _numbers(value, 4)  # type: ignore[return-value]
    except ValueError as error:
        raise InputError(
            tr(
                f"--box cannot be '{value}'; give four numbers such as 100,50,300,300",
                f"--box 不能是“{value}”；请给出四个数，例如 100,50,300,300",
            )
        ) from error


def _numbers(value: str, count: int) -> tuple[float, ...]:
    import math

    numbers = tuple(float(part) for part in value.split(","))
    if len(numbers) != count or not all(map(math.isfinite, numbers)):
        raise ValueError(value)
    return numbers


def fetch(*, quiet: bool, example: bool) -> None:
    """Fetch what the default path needs and is not there, and say so: the first run takes a little longer."""
    from huashen import registry, weights

    names = [name for capability in ("face", "matting") for name in registry.table(capability).entries[0].weights] + ["astronaut"] * example
    lacking = [name for name in names if not weights.present(name)]
    if lacking and not quiet:
        note(
            tr(
                f"fetching {', '.join(lacking)} (once; kept in {terminal.short(weights.folder())}) …",
                f"正在获取 {', '.join(lacking)}（仅此一次；保存在 {terminal.short(weights.folder())}）…",
            )
        )
    for name in lacking:
        weights.get(name)


def report_result(result: "Result", *, as_json: bool, quiet: bool) -> None:
    if as_json:
        values = asdict(result) | {"path": str(result.path), "fps": str(result.fps), "subtitles": [str(path) for path in result.subtitles]}
        put(json.dumps(values, ensure_ascii=False, indent=2))
    elif not quiet:
        width, height = result.size
        rate = f"{float(result.fps):.5g}"
        put(
            tr(
                f"{result.path}: {terminal.span(result.seconds)}, {width}×{height}, {rate} frames a second",
                f"{result.path}：{terminal.span(result.seconds)}，{width}×{height}，每秒 {rate} 帧",
            )
        )
        for path in result.subtitles:
            put(str(path))


def put(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def note(text: str) -> None:
    sys.stderr.write(f"huashen: {' '.join(text.split())}\n")
    sys.stderr.flush()
