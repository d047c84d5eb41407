"""Commands of a conversation without a face: asking, and hearing what is said in a recording."""

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from huashen import config
from huashen.cli.parts import Command, Json, Lang, app, note, put
from huashen.errors import HuashenError, InputError
from huashen.words import tr

if TYPE_CHECKING:
    from huashen.chat import Reply
    from huashen.chat.conversation import Conversation

Url = Annotated[
    str | None,
    typer.Option("--url", metavar="URL", help=tr("the service's address, such as http://127.0.0.1:11434/v1", "服务地址，例如 http://127.0.0.1:11434/v1")),
]  # fmt: skip
Model = Annotated[str | None, typer.Option("--model", metavar="NAME", help=tr("the model's name or folder", "模型名或模型文件夹"))]


@app.command(cls=Command, help=tr("Ask your own documents, a language model, or both", "向自己的文档、语言模型或两者提问"))
def chat(
    documents: Annotated[
        Path | None,
        typer.Argument(metavar="DOCUMENTS", help=tr("a folder of documents, or one of them", "文档所在文件夹，或一个文档")),
    ] = None,
    ask: Annotated[
        str | None,
        typer.Option("--ask", metavar="TEXT", help=tr("the question; without it, a conversation", "问题；不给出则进入对话")),
    ] = None,
    engine: Annotated[
        str | None, typer.Option("--engine", metavar="NAME", help=tr("see: huashen engines", "见 huashen engines"))] = None,
    url: Url = None,
    model: Model = None,
    sources: Annotated[bool, typer.Option("--sources", help=tr("show where an answer comes from", "显示答案出处"))] = False,
    as_json: Json = False,
) -> None:  # fmt: skip
    """Ask, once or in a conversation."""
    from huashen import registry
    from huashen.chat.conversation import Conversation
    from huashen.chat.meaning import fetch

    settings = config.settings()
    model = model or settings.chat_model
    name = engine or settings.chat or (("rag" if model else "faq") if documents else "openai")
    options: dict[str, Any] = {}
    if name in ("faq", "rag"):
        options["documents"] = documents
        fetch(note, english=_english(documents))
    if name in ("openai", "rag"):
        options |= {"model": model, "base_url": url or settings.chat_url, "key": config.service_key() if url else settings.chat_key()}
    talk = Conversation(registry.load("chat", name, **options))
    if ask is not None:
        _answer(talk, ask, sources=sources, as_json=as_json)
        return
    if not as_json and sys.stdin is not None and sys.stdin.isatty():
        note(tr("ask; an empty line ends the conversation", "请提问；输入空行结束对话"))
    for line in sys.stdin or ():
        if not line.strip():
            break
        try:
            _answer(talk, line, sources=sources, as_json=as_json)
        except HuashenError as error:  # one failed answer does not end the conversation
            note(str(error))


def _english(documents: Path | None) -> bool:
    """Return whether there are documents, all in English; what is wrong with them is said when they are opened."""
    from huashen.chat.documents import passages
    from huashen.chat.meaning import in_english

    try:
        found = passages(documents, quiet=True) if documents else []
    except HuashenError:
        return False
    return bool(found) and in_english(found)


def _answer(talk: "Conversation", question: str, *, sources: bool, as_json: bool) -> None:
    reply: Reply = talk.ask(question)
    if as_json:
        text = "".join(reply)
        found = [asdict(source) for source in reply.sources]
        put(json.dumps({"question": question.strip(), "answer": text.strip(), "known": reply.known, "sources": found}, ensure_ascii=False))
        return
    try:
        for piece in reply:
            sys.stdout.write(piece)
            sys.stdout.flush()
    except KeyboardInterrupt:
        reply.close()
        raise
    finally:
        put("")
    if sources:
        for source in reply.sources:
            put(f"  [{source.file}{f', {source.place}' if source.place else ''}] {source.score:.2f}")


@app.command(cls=Command, help=tr("Write down what is said in a recording", "把录音中的话转写成文字"))
def transcribe(
    sound: Annotated[Path, typer.Argument(metavar="SOUND", help=tr("a sound file, or a video with sound", "声音文件，或带声音的视频"))],
    engine: Annotated[
        str | None, typer.Option("--engine", metavar="NAME", help=tr("see: huashen engines", "见 huashen engines"))] = None,
    model: Model = None,
    url: Url = None,
    lang: Lang = None,
    as_json: Json = False,
) -> None:  # fmt: skip
    """Write down a recording, a turn at a time."""
    from huashen import media, registry
    from huashen.asr import RATE
    from huashen.asr.ears import listen

    name = engine or config.settings().asr or registry.table("asr").names()[0]
    given = {"model": model, "base_url": url, "lang": lang}
    options = {key: value for key, value in given.items() if value}
    takes = {"pocketsphinx": {"lang"}, "openai": {"model", "base_url", "lang"}}.get(name, {"model", "lang"})
    extra = sorted({"model": "--model", "base_url": "--url", "lang": "--lang"}[key] for key in options.keys() - takes)
    if extra:
        raise InputError(tr(f"the asr engine '{name}' takes no {', '.join(extra)}", f"asr 引擎“{name}”不接受 {'、'.join(extra)}"))
    for said in listen(registry.load("asr", name, **options), media.read_audio(sound, RATE)):
        start, end = (said.marks[0].start, said.marks[-1].end) if said.marks else (None, None)
        if as_json:
            words = [{"text": mark.text, "start": round(mark.start, 3), "end": round(mark.end, 3)} for mark in said.marks]
            put(json.dumps({"text": said.text, "lang": said.lang, "start": start, "end": end, "words": words}, ensure_ascii=False))
        else:
            put(said.text if start is None else f"{start:8.2f} s  {said.text}")
