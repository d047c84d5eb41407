"""What every chat engine promises (the docstring of `huashen.chat.Chat`), against a small server of the published protocol."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

import huashen
from huashen.chat import Chat, Message
from huashen.chat.conversation import Conversation
from huashen.errors import EngineError, InputError
from huashen.registry import table

KEY = "sk-secret-123"


class Service:
    """A server whose answers are scripted; it remembers the requests."""

    def __init__(self) -> None:
        self.requests: list[tuple[dict[str, str], Any]] = []
        self.script: list[Callable[[BaseHTTPRequestHandler], None]] = []
        self.gone = threading.Event()
        outer = self

        class Answer(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                outer.requests.append((dict(self.headers), json.loads(body)))
                (outer.script.pop(0) if outer.script else speaks("Hello", " there."))(self)

            def log_message(self, *_: Any) -> None: ...

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/v1"
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True)
        self.thread.start()


def chunk(text: str) -> bytes:
    return b"data: " + json.dumps({"choices": [{"delta": {"content": text}, "finish_reason": None}]}).encode() + b"\n\n"


def begin(to: BaseHTTPRequestHandler) -> None:
    to.send_response(200)
    to.send_header("Content-Type", "text/event-stream")
    to.end_headers()


def speaks(*pieces: str, end: bytes = b"data: [DONE]\n\n") -> Callable[[BaseHTTPRequestHandler], None]:
    def answer(to: BaseHTTPRequestHandler) -> None:
        begin(to)
        for piece in pieces:
            to.wfile.write(chunk(piece))
        to.wfile.write(end)

    return answer


def refuses(status: int, **headers: str) -> Callable[[BaseHTTPRequestHandler], None]:
    def answer(to: BaseHTTPRequestHandler) -> None:
        body = json.dumps({"error": {"message": f"no: {KEY}"}}).encode()
        to.send_response(status)
        for name, value in headers.items():
            to.send_header(name.replace("_", "-"), value)
        to.send_header("Content-Length", str(len(body)))
        to.end_headers()
        to.wfile.write(body)

    return answer


@pytest.fixture
def service() -> Iterator[Service]:
    made = Service()
    yield made
    made.server.shutdown()
    made.server.server_close()
    made.thread.join()


@pytest.fixture
def docs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HUASHEN_HOME", str(tmp_path / "home"))
    folder = tmp_path / "docs"
    folder.mkdir()
    (folder / "shop.md").write_text("# Opening hours\n\nWe open at nine.\n\n# 停车\n\n门口有十二个车位，住客免费。\n", "utf-8")
    return folder


@pytest.fixture(params=table("chat").names())
def chat(request: pytest.FixtureRequest, service: Service, docs: Path) -> Any:
    model = {"base_url": service.url, "model": "m", "key": KEY}
    options = {"faq": {"documents": docs}, "openai": model, "rag": {"documents": docs, **model}}
    return huashen.load("chat", request.param, **options[request.param])


def test_promises(chat: Any) -> None:
    assert isinstance(chat, Chat)
    pieces = list(chat.reply("What are your opening hours?"))
    assert pieces
    assert all(pieces)
    for empty in ("", "  \n"):
        with pytest.raises(InputError):
            chat.reply(empty)


def test_nothing_comes_after_close(chat: Any) -> None:
    reply = chat.reply("What are your opening hours?")
    next(reply)
    reply.close()
    assert list(reply) == []


def model(service: Service, **options: Any) -> Any:
    return huashen.load("chat", "openai", base_url=service.url, model="m", key=KEY, **options)


def test_the_request_is_of_the_protocol(service: Service) -> None:
    turns = [Message("user", "one"), Message("assistant", "two"), Message("user", "three")]
    assert "".join(model(service, system="be").reply("four", turns)) == "Hello there."
    headers, body = service.requests[0]
    assert headers["Authorization"] == f"Bearer {KEY}"
    assert body["stream"] is True
    assert [(turn["role"], turn["content"]) for turn in body["messages"]] == [
        ("system", "be"), ("user", "one"), ("assistant", "two"), ("user", "three\nfour"),
    ]  # fmt: skip


def test_it_tries_again_when_asked_to_and_tells_no_key(service: Service) -> None:
    service.script = [refuses(429, Retry_After="0"), refuses(503, Retry_After="0")]
    assert "".join(model(service).reply("hi")) == "Hello there."
    assert len(service.requests) == 3
    service.script = [refuses(401)]
    with pytest.raises(EngineError, match="401") as told:
        list(model(service).reply("hi"))
    assert KEY not in str(told.value)


def test_an_answer_cut_off_or_malformed_is_an_error(service: Service) -> None:
    service.script = [speaks("Half", end=b"")]
    reply = model(service).reply("hi")
    assert next(reply) == "Half"
    with pytest.raises(EngineError, match="middle"):
        next(reply)
    service.script = [speaks("Half", end=b"data: {not json\n\n")]
    with pytest.raises(EngineError, match="protocol"):
        list(model(service).reply("hi"))


def test_thoughts_are_kept_from_the_user(service: Service) -> None:
    service.script = [speaks("<thi", "nk>hm", "</think>\n", "Yes", ".")]
    assert "".join(model(service).reply("hi")) == "Yes."


def test_close_from_another_thread_ends_the_request_at_once(service: Service) -> None:
    def slow(to: BaseHTTPRequestHandler) -> None:
        begin(to)
        to.wfile.write(chunk("One"))
        try:
            for _ in range(500):
                time.sleep(0.01)
                to.wfile.write(b": still here\n\n")
        except OSError:
            service.gone.set()

    service.script = [slow]
    reply = model(service).reply("hi")
    assert next(reply) == "One"
    rest: list[str] = []
    waits = threading.Thread(target=lambda: rest.extend(reply))
    waits.start()
    begun = time.perf_counter()
    reply.close()
    waits.join(2)
    assert time.perf_counter() - begun < 0.5
    assert rest == []
    assert service.gone.wait(2)


def test_a_service_that_stays_silent_is_given_up(service: Service) -> None:
    def silent(to: BaseHTTPRequestHandler) -> None:
        service.gone.wait(60)

    def half(to: BaseHTTPRequestHandler) -> None:
        begin(to)
        to.wfile.write(chunk("Half"))
        to.wfile.flush()
        service.gone.wait(60)

    try:
        service.script = [silent]
        with pytest.raises(EngineError, match=r"127\.0\.0\.1"):
            list(model(service, timeout=0.3, retries=0).reply("hi"))
        service.script = [half]
        reply = model(service, timeout=0.3, retries=2).reply("hi")
        assert next(reply) == "Half"
        with pytest.raises(EngineError):  # not asked again: half of the answer was heard
            next(reply)
        assert len(service.requests) == 2
    finally:
        service.gone.set()


def test_the_oldest_turns_go_first_and_no_answer_stands_without_its_question(service: Service) -> None:
    turns = [Message("user", "a" * 40), Message("assistant", "b" * 40), Message("user", "c" * 40), Message("assistant", "d" * 40)]
    "".join(model(service, history=130, system="").reply("now", turns))
    assert [turn["content"][0] for turn in service.requests[0][1]["messages"]] == ["c", "d", "n"]


def test_neither_key_nor_words_are_logged(service: Service, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(1)
    service.script = [refuses(503, Retry_After="0"), speaks("A private answer.")]
    assert "".join(model(service).reply("A private question?")) == "A private answer."
    told = " ".join(f"{record.getMessage()} {record.__dict__}" for record in caplog.records)
    assert KEY not in told
    assert "private" not in told


def test_a_conversation_remembers_what_was_heard(service: Service) -> None:
    talk = Conversation(model(service))
    list(talk.ask("one"))
    talk.hush(heard="Hello")
    list(talk.ask("two"))
    assert [turn["content"] for turn in service.requests[1][1]["messages"][1:]] == ["one", "Hello", "two"]


def test_faq_names_its_source_and_says_when_it_does_not_know(docs: Path) -> None:
    faq = huashen.load("chat", "faq", documents=docs)
    reply = faq.reply("有停车位吗？")
    assert "十二个车位" in "".join(reply)
    assert (reply.sources[0].file, reply.sources[0].place) == ("shop.md", "停车")
    reply = faq.reply("Who wrote Hamlet?")
    assert not reply.known
    assert "don't know" in "".join(reply)


def test_faq_says_when_it_is_not_sure(docs: Path) -> None:
    question = "When do you close at night, what are the opening hours in winter?"
    sure = huashen.load("chat", "faq", documents=docs).library.search(question, count=1)[0].sure
    assert 0 < sure < 1
    said = {}
    for name, threshold, unsure in (("answer", sure, 0.0), ("hint", 1.0, sure), ("nothing", 1.0, 1.0)):
        reply = huashen.load("chat", "faq", documents=docs, threshold=threshold, unsure=unsure).reply(question)
        said[name] = ("".join(reply), reply.known, bool(reply.sources))
    assert said["answer"] == ("We open at nine.", True, True)
    assert said["hint"] == ("I'm not sure, but my documents say this: We open at nine.", True, True)
    assert said["nothing"][1:] == (False, False)
    assert "don't know" in said["nothing"][0]


def test_rag_shows_the_model_the_passage(service: Service, docs: Path) -> None:
    reply = huashen.load("chat", "rag", documents=docs, base_url=service.url, model="m", key="").reply("有停车位吗？")
    assert "".join(reply) == "Hello there."
    assert "十二个车位" in service.requests[0][1]["messages"][0]["content"]
    assert reply.sources[0].file == "shop.md"
