"""`huashen voices`: what --voice may be, what is missing, and the recordings whose voice is taken on."""

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from huashen import terminal
from huashen.cli.parts import Command, Json, Quiet, Tts, group, put
from huashen.errors import HuashenError, InputError
from huashen.words import tr

voices = group(tr(
    "List what --voice may be, or take in a recording whose voice is to be taken on", "列出 --voice 可用的值，或登记用于克隆声音的录音"
))  # fmt: skip
_SERVED = ("cosyvoice", "gpt_sovits", "paddlespeech")
_ONLINE = ("edge", "gtts", "elevenlabs")


@voices.callback()
def voices_root(context: typer.Context, tts: Tts = None, as_json: Json = False) -> None:
    """List the voices of an engine, or what every engine has and lacks."""
    if context.invoked_subcommand is not None:
        return
    if tts is not None:
        from huashen import registry

        names = registry.load("tts", tts).voices()
        put(json.dumps(names, ensure_ascii=False, indent=2) if as_json else "\n".join(names))
        return
    rows = _rows()
    if as_json:
        put(json.dumps(rows, ensure_ascii=False, indent=2))
        return
    head = [tr("engine", "引擎"), tr("ready", "可用"), tr("voices, or what to do", "嗓音，或该做什么")]
    yes, no = tr("yes", "是"), tr("no", "否")
    online = tr("yes, online", "是，需联网")
    ready = {row["name"]: (online if row["name"] in _ONLINE else yes) if row["ready"] else no for row in rows}
    body = [[row["name"], ready[row["name"]], row["todo"] or _some(row["voices"])] for row in rows]
    put(terminal.table([head, *body]))
    put(tr(
        "all of one: huashen voices --tts NAME; what each is: huashen engines",
        "列出全部嗓音：huashen voices --tts 引擎名；引擎说明：huashen engines",
    ))  # fmt: skip


def _rows() -> list[dict[str, Any]]:
    """Return for every engine its name, whether it can speak now, its voices, and what to do if it cannot."""
    from huashen import config, registry, weights

    rows = []
    for entry in registry.table("tts").entries:
        names: list[str] = []
        lacking = [name for name in entry.weights if not weights.present(name)]
        todo = ""
        if registry.missing(entry):
            todo = _installed(entry)
        elif lacking:
            todo = f"huashen weights get {lacking[0]}"
        else:
            try:
                speaker = registry.load("tts", entry.name)
                names = list(speaker.voices())
                getattr(speaker, "close", lambda: None)()
            except HuashenError as error:
                todo = str(error)
        if entry.name in _SERVED and not todo and not config.speech_url():
            todo = tr(
                f"start its server, set HUASHEN_TTS_URL; then: {_some(names)}",
                f"启动其服务并设置 HUASHEN_TTS_URL；之后可用：{_some(names)}",
            )
        if entry.name == "openai" and not todo and not (config.speech_url() or config.service_url() or config.service_key()):
            todo = tr("set OPENAI_API_KEY, or HUASHEN_TTS_URL for another server", "设置 OPENAI_API_KEY；用其他服务则设置 HUASHEN_TTS_URL")
        rows.append({"name": entry.name, "ready": not todo, "voices": names, "todo": todo})
    return rows


def _installed(entry: Any) -> str:
    if entry.extra:
        return f"pip install 'huashen[{entry.extra}]'"
    return tr(f"install the program {', '.join(entry.programs or entry.modules)}", f"安装程序 {', '.join(entry.programs or entry.modules)}")


def _some(names: list[str]) -> str:
    shown = ", ".join(names[:4])
    return shown + (tr(f" … ({len(names)})", f" 等 {len(names)} 个") if len(names) > 4 else "")


@voices.command("add", cls=Command, help=tr(
    "Take in a recording of 3 to 30 s for cosyvoice and gpt_sovits, with who agreed to it",
    "登记一段 3 到 30 秒的录音及其同意凭证，供 cosyvoice 和 gpt_sovits 使用",
))  # fmt: skip
def voices_add(
    name: Annotated[str, typer.Argument(metavar="NAME", help=tr("what to call it", "名字"))],
    source: Annotated[str, typer.Argument(metavar="FILE", help=tr("a sound, or a clip with sound", "声音文件，或带声音的视频"))],
    consent: Annotated[
        str | None,
        typer.Option("--consent", metavar="WHO|FILE", help=tr(
            "who agreed that the voice is taken on: self, granted, fictional, or a record of it, a sentence or a file; asked for without",
            "谁同意使用此声音：self（本人）、granted（已获本人同意）、fictional（非真实人物），或写明同意的一句话或文件；不给则询问",
        )),
    ] = None,
    text: Annotated[
        str, typer.Option("--text", metavar="TEXT", help=tr("what is said in it: the copy gets closer", "录音中说的话：克隆更准确"))
    ] = "",
    lang: Annotated[str, typer.Option("--lang", metavar="TAG", help=tr("what language it is in", "录音的语言"))] = "zh",
    there: Annotated[
        str,
        typer.Option("--there", metavar="PATH", help=tr("its path on a GPT-SoVITS server elsewhere", "在别处 GPT-SoVITS 服务器上的路径")),
    ] = "",
    quiet: Quiet = False,
) -> None:  # fmt: skip
    """Take in a recording."""
    from huashen import persons
    from huashen.tts import cloned

    agreed = persons.as_consent(consent) if consent is not None else _agreed(source)
    made = cloned.add(name, source, asdict(agreed), text=text, lang=lang, there=there)
    if not quiet:
        put(tr(f"{terminal.short(made.path)}: {agreed.words()}; now: --tts cosyvoice --voice {name}",
               f"{terminal.short(made.path)}：{agreed.words()}；现在可用：--tts cosyvoice --voice {name}"))  # fmt: skip


@voices.command("remove", cls=Command, help=tr("Delete a recording that was taken in", "删除已登记的录音"))
def voices_remove(name: Annotated[str, typer.Argument(metavar="NAME", help=tr("its name", "名字"))]) -> None:
    """Delete a recording."""
    from huashen.tts import cloned

    cloned.remove(name)


def _agreed(source: str) -> Any:
    """Return the consent that whoever sits there gives.

    Raises:
        InputError: nobody sits there, or none is given.
    """
    from huashen import persons

    if sys.stdin is not None and sys.stdin.isatty() and sys.stderr.isatty() and Path(source).is_file():
        sys.stderr.write(tr(
            f"Who agreed that the voice in {source} is taken on?\n  self: it is you    granted: the person agreed    "
            "fictional: no real person    or a sentence, or a file\n> ",
            f"谁同意使用 {source} 中的声音？\n  self：就是你本人    granted：已获本人同意    "
            "fictional：非真实人物    或写一句话，或给出文件\n> ",
        ))  # fmt: skip
        sys.stderr.flush()
        if line := sys.stdin.readline().strip():
            return persons.as_consent(line)
    raise InputError(tr(
        f"nobody's consent is given for the voice in {source}: add --consent self, granted, fictional, a sentence or a file",
        f"缺少对 {source} 中声音的同意凭证：请加 --consent self、granted、fictional、一句话或一个文件",
    ))  # fmt: skip
