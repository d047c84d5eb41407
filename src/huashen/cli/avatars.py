"""`huashen avatar`: people prepared once and used by name."""

import json
import sys
import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from huashen import terminal
from huashen.cli.parts import Box, Command, Json, Manner, Overwrite, Quiet, Which, as_box, as_which, fetch, group, put
from huashen.errors import InputError, UnreadableError
from huashen.words import tr

if TYPE_CHECKING:
    from huashen.appraisal import Grade
    from huashen.persons import Consent, Person

avatar = group(tr("Prepare people once and use them by name: --face NAME", "把人物制作成数字人，之后用名字调用：--face 名字"))

Name = Annotated[str, typer.Argument(metavar="NAME", help=tr("the avatar's name", "数字人的名字"))]


@avatar.callback()
def avatar_root(context: typer.Context) -> None:
    """Show help when there is no command."""
    if context.invoked_subcommand is None:
        put(context.get_help())


@avatar.command("new", cls=Command, help=tr("Prepare a clip or a picture, and say what it is good for", "制作数字人，并说明素材适合做什么"))
def new(
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME", help=tr("what to call it: letters of any script, digits, - and _", "名字：可用中文等文字、数字、- 和 _")
        ),
    ],
    source: Annotated[
        str, typer.Argument(metavar="FILE", help=tr("a clip or a picture of the person; 'example'", "人物的视频或图片；也可写 example"))
    ],
    consent: Annotated[
        str | None,
        typer.Option(
            "--consent",
            metavar="WHO|FILE",
            help=tr(
                "who agreed that the person is made to speak: self (it is you), granted (the person agreed), fictional (no real person), "
                "or a record of it, a sentence or a file; asked for without",
                "谁同意让此人开口：self（本人）、granted（已获本人同意）、fictional（非真实人物），或写明同意的一句话或文件；不给则询问",
            ),
        ),
    ] = None,
    which: Which = None,
    box: Box = None,
    style: Manner = None,
    overwrite: Overwrite = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Prepare an avatar."""
    from huashen import persons
    from huashen.studio import Progress

    persons.check(name, overwrite=overwrite)
    agreed = None if source == "example" else _agreed(consent, source)
    fetch(quiet=quiet or as_json, example=source == "example")
    meters: dict[str, terminal.Meter] = {}
    words = {"track": tr("following the face", "跟踪人脸"), "appraise": tr("judging the material", "评估素材")}
    begin = time.monotonic()

    def show(what: str, frames: int, seconds: float, whole: float | None) -> None:
        nonlocal begin
        if what not in meters:
            _clear(meters)
            meters[what] = terminal.Meter(words[what], quiet=quiet or as_json)
            begin = time.monotonic()
        meters[what].show(Progress(frames, seconds, whole, time.monotonic() - begin))

    try:
        person = persons.make(
            name, source, consent=agreed, which=as_which(which), box=as_box(box), style=style, overwrite=overwrite, progress=show
        )  # fmt: skip
    finally:
        _clear(meters)
    if as_json:
        put(json.dumps(_values(person), ensure_ascii=False, indent=2))
    elif not quiet:
        put("\n".join(_told(person)))


@avatar.command("list", cls=Command, help=tr("List the prepared avatars", "列出已有的数字人"))
def avatar_list(as_json: Json = False) -> None:
    """List the avatars."""
    from huashen import config, footage, persons

    people, broken = [], []
    for name in persons.names():
        try:
            people.append(persons.find(name))
        except UnreadableError as error:
            broken.append(str(error))
    kept = footage.kept()
    room, limit = sum(size for _, size in kept), config.cache_limit()
    if as_json:
        rows = [_values(person) for person in people]
        put(json.dumps({"avatars": rows, "broken": broken, "cache": {"clips": len(kept), "bytes": room, "limit": limit}},
                       ensure_ascii=False, indent=2))  # fmt: skip
        return
    titles = (("name", "名称"), ("kind", "类型"), ("length", "时长"), ("size", "尺寸"), ("disk", "占用"), ("material", "素材"),
              ("consent", "同意凭证"))  # fmt: skip
    rows_ = [[tr(*title) for title in titles]]
    for person in people:
        width, height = person.size
        length = terminal.span(person.seconds) if person.kind == "clip" else "-"
        rows_.append(
            [person.name, _kind(person), length, f"{width}×{height}", _bytes(person.disk()), _default(person), person.consent.words()]
        )
    if people:
        put(terminal.table(rows_))
    else:
        put(tr("no avatar yet; make one with: huashen avatar new NAME clip.mp4", "还没有数字人；请运行：huashen avatar new 名字 视频.mp4"))
    for line in broken:
        put(line)
    if kept:
        put(tr(
            f"besides, {len(kept)} clips that were given as files take {_bytes(room)} of at most {_bytes(limit)}; huashen avatar clear",
            f"另有 {len(kept)} 个以文件给出的视频占用 {_bytes(room)}（上限 {_bytes(limit)}）；清除：huashen avatar clear",
        ))  # fmt: skip


@avatar.command("show", cls=Command, help=tr("Say what an avatar is, and what it is good for", "查看数字人的详情与适用场合"))
def show(name: Name, as_json: Json = False) -> None:
    """Show an avatar."""
    from huashen import persons

    person = persons.find(name)
    put(json.dumps(_values(person), ensure_ascii=False, indent=2) if as_json else "\n".join(_told(person)))


@avatar.command("remove", cls=Command, help=tr("Delete an avatar with all it keeps of the person", "删除数字人及其保存的全部内容"))
def remove(name: Name, quiet: Quiet = False) -> None:
    """Delete an avatar."""
    from huashen import persons

    persons.remove(name)
    if not quiet:
        put(tr(f"removed {name}", f"已删除 {name}"))


@avatar.command("clear", cls=Command, help=tr("Delete what is kept of clips that were given as files", "删除以文件给出的视频所留下的缓存"))
def clear(quiet: Quiet = False) -> None:
    """Delete the clips given as files."""
    from huashen import footage

    count = len(footage.kept())
    freed = footage.tidy(limit=0)
    if not quiet:
        put(tr(f"{count} clips removed, {_bytes(freed)} freed", f"已删除 {count} 个视频缓存，释放 {_bytes(freed)}"))


def _agreed(given: str | None, source: str) -> "Consent | None":
    """Return the consent that was given on the line, or that whoever sits there gives."""
    from huashen import persons

    if given is not None:
        return persons.as_consent(given)
    if not (sys.stdin is not None and sys.stdin.isatty() and sys.stderr.isatty()):
        return None  # `make` says what to do
    question = tr(
        f"Who agreed that the person in {source} is made to speak?\n"
        "  self: it is you    granted: the person agreed    fictional: no real person    or a sentence, or a file\n> ",
        f"谁同意让 {source} 中的人开口说话？\n"
        "  self：就是你本人    granted：已获本人同意    fictional：非真实人物    或写一句话，或给出文件\n> ",
    )
    while True:
        sys.stderr.write(question)
        sys.stderr.flush()
        line = sys.stdin.readline()
        if not line.strip():
            return None
        try:
            return persons.as_consent(line.strip())
        except InputError as error:
            sys.stderr.write(f"{error}\n")


def _clear(meters: dict[str, terminal.Meter]) -> None:
    for meter in meters.values():
        meter.clear()


def _values(person: "Person") -> dict[str, Any]:
    from huashen.appraisal import advice, grades

    found = person.appraisal
    return person.values() | {
        "path": str(person.path),
        "disk": person.disk(),
        "grades": {grade.use: {"level": grade.level, "because": list(grade.because)} for grade in grades(found)},
        "advice": list(advice(found)),
    }


def _told(person: "Person") -> list[str]:
    """Return what to say of an avatar."""
    from huashen.appraisal import advice, grades

    found = person.appraisal
    width, height = person.size
    length = ""
    if person.kind == "clip":
        rate = f"{found.fps:.5g}"
        length = tr(f", {terminal.span(person.seconds)}, {rate} frames a second", f"，{terminal.span(person.seconds)}，每秒 {rate} 帧")
    rows = [
        (tr("avatar", "数字人"), tr(f"{person.name}: {_kind(person)}, {width}×{height}{length}",
                                   f"{person.name}：{_kind(person)}，{width}×{height}{length}")),
        (tr("made", "制作"), tr(f"from {person.source}, {person.made}, Huashen {person.version}",
                               f"来自 {person.source}，{person.made}，化身 {person.version}")),
        (tr("consent", "同意凭证"), person.consent.words()),
        (tr("kept in", "位置"), f"{terminal.short(person.folder)} ({_bytes(person.disk())})"),
        *_facts(found),
        *_manner(person),
    ]  # fmt: skip
    lines = [terminal.table([list(row) for row in rows]), ""]
    for grade in grades(found):
        lines.append(_graded(grade))
        lines += [f"  - {words}" for words in grade.because]
    return [*lines, *(f"* {words}" for words in advice(found))]


def _facts(found: Any) -> list[tuple[str, str]]:
    """Return the appraisal's numbers in words."""
    low, high = found.yaw
    rows = [
        (tr("face", "人脸"), tr(f"{found.eyes:.0f} pixels between the eye corners, sharpness {found.sharpness:.1f}",
                               f"两外眼角相距 {found.eyes:.0f} 像素，清晰度 {found.sharpness:.1f}")),
    ]  # fmt: skip
    if not found.fps:
        return [*rows, (tr("turn", "转向"), f"{low:.0f}°")]
    rows += [
        (tr("seen", "出现"), tr(f"in {100 * found.faces:.0f} % of the frames; {100 * found.profile:.0f} % of these from the side; "
                               f"light changes by {100 * found.light:.0f} %",
                               f"{100 * found.faces:.0f} % 的帧；其中侧面 {100 * found.profile:.0f} %；"
                               f"亮度变化 {100 * found.light:.0f} %")),
        (tr("turn", "转向"), tr(f"{low:.0f}° to {high:.0f}° aside, {found.pitch[0]:.0f}° to {found.pitch[1]:.0f}° up and down",
                               f"左右 {low:.0f}° 至 {high:.0f}°，上下 {found.pitch[0]:.0f}° 至 {found.pitch[1]:.0f}°")),
        (tr("speech", "说话"), tr(f"{terminal.span(found.speech)} heard, {terminal.span(found.talking)} seen",
                                 f"听到 {terminal.span(found.speech)}，看到 {terminal.span(found.talking)}")),
        (tr("mouth", "口型"), tr(f"shut {found.closed}, open {found.open}, spread {found.wide}, rounded {found.round} times",
                                f"闭合 {found.closed} 次，张开 {found.open} 次，拉宽 {found.wide} 次，圆唇 {found.round} 次")),
    ]  # fmt: skip
    if found.offset is not None:
        ms = f"{1000 * found.offset:+.0f}"
        rows.append((tr("sound", "声音"), tr(f"{ms} ms after the mouth (confidence {found.confidence:.2f})",
                                            f"相对嘴部 {ms} 毫秒（置信度 {found.confidence:.2f}）")))  # fmt: skip
    return rows


def _manner(person: "Person") -> list[tuple[str, str]]:
    """Return in words how the person's mouth moves beside an average one."""
    style = person.style
    if style is None:
        return []
    apart = f"{90 * style.parted:.1f}"
    return [(tr("style", "说话风格"), tr(
        f"opens {style.open:.2f}, spreads {style.wide:.2f}, rounds {style.rounded:.2f} times as far as most; {apart} mm apart in pauses",
        f"张开、拉宽、圆唇为常人的 {style.open:.2f}、{style.wide:.2f}、{style.rounded:.2f} 倍；停顿时双唇相距 {apart} 毫米",
    ))]  # fmt: skip


def _graded(grade: "Grade") -> str:
    level = _levels()[grade.level]
    uses = {
        "mouthbank": ("mouthbank (the clip's own mouth speaks anew)", "mouthbank（用片中自己的嘴说新话）"),
        "wav2lip": ("wav2lip", "wav2lip"),
        "neural": ("a network trained on this person", "为此人训练神经网络"),
        "puppet": ("puppet (the picture itself moves)", "puppet（让图片动起来）"),
    }
    return tr(f"{uses[grade.use][0]}: {level}", f"{uses[grade.use][1]}：{level}")


def _kind(person: "Person") -> str:
    return tr("clip", "视频") if person.kind == "clip" else tr("picture", "图片")


def _levels() -> dict[str, str]:
    return {"good": tr("good", "好"), "fair": tr("fair", "可用"), "poor": tr("poor", "勉强"), "no": tr("not enough", "不足")}


def _default(person: "Person") -> str:
    """Return how well an avatar serves the engine that takes it when none is named."""
    from huashen.appraisal import grades

    return _levels()[grades(person.appraisal)[0].level]


def _bytes(size: int) -> str:
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.1f} MB"
