"""Services that are asked over HTTP: one request, its answer or its stream of server-sent events as OpenAI publishes them, its failures."""

import email.utils
import json
import threading
import time
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from huashen.errors import EngineError, InputError
from huashen.words import tr

if TYPE_CHECKING:
    import httpx

CONNECT = 5.0
"""Seconds to wait for a connection."""
PATIENCE = 20.0
"""Seconds that a server may ask us to wait (Retry-After) before a try counts as failed."""
MAX_ANSWER = 200_000
"""Characters of an answer; a server that never ends is cut off there."""
MAX_LINE = 1_000_000
"""Characters of one event."""
MOST = 50_000_000
"""Bytes of one answer that is no stream."""


class Line:
    """One kept connection to a service, of one reply at a time; `cut` breaks it from any thread."""

    def __init__(self, *, trust_env: bool, timeout: float) -> None:
        import httpx

        self.client = httpx.Client(
            timeout=httpx.Timeout(timeout, connect=CONNECT),
            limits=httpx.Limits(max_connections=1),
            follow_redirects=False,  # a redirect would carry the key elsewhere
            trust_env=trust_env,
        )
        self.broken = threading.Event()
        self._stream: Any = None

    def trace(self, event: str, info: Mapping[str, Any]) -> None:
        """Remember the connection: httpcore tells of each one it makes."""
        if event in ("connection.connect_tcp.complete", "connection.start_tls.complete"):
            self._stream = info["return_value"]

    def cut(self) -> None:
        """Close the connection at once; whoever waits for it gets an error."""
        import socket

        self.broken.set()
        stream = self._stream
        found = stream.get_extra_info("socket") if stream is not None else None
        if found is not None:
            with suppress(OSError):  # already closed by the other side
                # TLS sockets refuse a plain shutdown from another thread; the descriptor below them does not
                socket.socket.shutdown(found, socket.SHUT_RDWR)


class Service:
    """A server that is asked over HTTP; keeps idle connections for the next request.

    Args:
        base_url: such as https://api.openai.com/v1 or http://127.0.0.1:11434/v1.
        key: sent as a bearer token; empty: none is sent. Never shown in a text or a log.
        timeout: longest silence of the server in seconds.
        retries: further tries after 429, 5xx or a failed connection, as long as nothing of the answer has come.
        header: what the key is sent as, where that is not a bearer token.

    Raises:
        InputError: the address is none.
    """

    def __init__(self, base_url: str, key: str = "", *, timeout: float = 60.0, retries: int = 2, header: str = "") -> None:
        parts = urlsplit(base_url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise InputError(tr(
                f"the address '{base_url}' is not usable; give one such as http://127.0.0.1:11434/v1",
                f"地址“{base_url}”无法使用；请给出类似 http://127.0.0.1:11434/v1 的地址",
            ))  # fmt: skip
        self.base_url = base_url.rstrip("/")
        self.shown = f"{parts.scheme}://{parts.hostname}" + (f":{parts.port}" if parts.port else "")
        """The address as texts show it: without user, password and query."""
        self._key = key
        self._header = header
        self._timeout = timeout
        self._retries = retries
        self._local = parts.hostname in ("localhost", "127.0.0.1", "::1")  # a proxy set for the web does not serve this machine
        self._idle: list[Line] = []
        self._lock = threading.Lock()
        weakref.finalize(self, _close, self._idle)

    def _line(self) -> Line:
        with self._lock:
            if self._idle:
                return self._idle.pop()
        return Line(trust_env=not self._local, timeout=self._timeout)

    def _keep(self, line: Line) -> None:
        with self._lock:
            if not line.broken.is_set() and len(self._idle) < 4:
                self._idle.append(line)
                return
        line.client.close()

    def close(self) -> None:
        """Close the idle connections."""
        with self._lock:
            idle = [self._idle.pop() for _ in range(len(self._idle))]
        _close(idle)

    def stream(self, body: Mapping[str, Any]) -> tuple[Iterator[str], Callable[[], None]]:
        """Return the pieces of an answer as they come, and a function that stops them from any thread.

        Args:
            body: the request but for "stream".
        """
        line = self._line()
        over = threading.Event()

        def cancel() -> None:
            with self._lock:
                if not over.is_set():  # a line that is kept may already serve another reply
                    line.cut()

        return self._stream(line, dict(body, stream=True), over), cancel

    def _stream(self, line: Line, body: dict[str, Any], over: threading.Event) -> Iterator[str]:
        import httpx

        whole = False
        try:
            for left in range(self._retries, -1, -1):
                if line.broken.is_set():
                    return
                wait = 0.5 * 2 ** (self._retries - left)
                try:
                    with line.client.stream(
                        "POST", f"{self.base_url}/chat/completions", json=body, headers=self._headers(), extensions={"trace": line.trace}
                    ) as response:
                        if response.status_code == 200:
                            yield from without_thoughts(self._pieces(response))
                            whole = True
                            return
                        asked = _retry_after(response)
                        error = self._refusal(response)
                        if not left or not _worth_another(response.status_code) or (asked or 0) > PATIENCE:
                            raise error
                        wait = asked if asked is not None else wait
                except httpx.ConnectError as failed:  # nothing was sent: asking again cannot answer twice
                    if not left:
                        raise self._failure(failed) from failed
                except httpx.HTTPError as failed:
                    raise self._failure(failed) from failed
                line.broken.wait(wait)
        finally:
            with self._lock:
                over.set()
            if whole:
                self._keep(line)
            else:
                line.client.close()

    def post(self, path: str, **request: Any) -> Any:
        """Send a request and return its answer's JSON.

        Args:
            path: below the base address, such as "/embeddings".
            request: what httpx takes: json, data, files, params.

        Raises:
            EngineError: the service cannot be reached, refuses, or answers something else than JSON.
        """
        return self._json(self.send(path, **request).text)

    def send(self, path: str, **request: Any) -> "httpx.Response":
        """Send a request and return its answer, whole.

        Args:
            path: below the base address.
            request: what httpx takes: json, data, files, params.

        Raises:
            EngineError: the service cannot be reached, refuses, or answers too much; in one line.
        """
        import httpx

        line = self._line()
        try:
            for left in range(self._retries, -1, -1):
                wait = 0.5 * 2 ** (self._retries - left)
                try:
                    with line.client.stream("POST", f"{self.base_url}{path}", headers=self._headers(), **request) as reply:
                        response = self._whole(reply)
                except httpx.ConnectError as failed:
                    if not left:
                        raise self._failure(failed) from failed
                except httpx.HTTPError as failed:
                    raise self._failure(failed) from failed
                else:
                    if response.status_code == 200:
                        return response
                    asked = _retry_after(response)
                    if not left or not _worth_another(response.status_code) or (asked or 0) > PATIENCE:
                        raise self._refusal(response)
                    wait = asked if asked is not None else wait
                line.broken.wait(wait)
        finally:
            self._keep(line)
        raise AssertionError  # the last try returns or raises

    def _whole(self, reply: "httpx.Response") -> "httpx.Response":
        """Return an answer with all its contents, if these are not too much."""
        import httpx

        contents = bytearray()
        for piece in reply.iter_bytes():
            contents += piece
            if len(contents) > MOST:
                raise EngineError(tr(f"{self.shown} answered more than {MOST} bytes", f"{self.shown} 的回答超过 {MOST} 字节"))
        unfit = ("content-encoding", "content-length", "transfer-encoding")  # they told of the contents as they came
        headers = [(name, value) for name, value in reply.headers.items() if name.lower() not in unfit]
        return httpx.Response(reply.status_code, headers=headers, content=bytes(contents))

    def _headers(self) -> dict[str, str]:
        if not self._key:
            return {}
        return {self._header: self._key} if self._header else {"Authorization": f"Bearer {self._key}"}

    def _pieces(self, response: "httpx.Response") -> Iterator[str]:
        """Yield the pieces of text in a response."""
        if "text/event-stream" not in response.headers.get("content-type", ""):  # a server that does not stream answers in one
            response.read()
            text = _text_of(self._json(response.text), "message")
            if text:
                yield text
            return
        ended, count = False, 0
        for event in events(response.iter_lines()):
            if event == "[DONE]":
                return
            chunk = self._json(event)
            text = _text_of(chunk, "delta")
            count += len(text)
            if text:
                yield text
            if count > MAX_ANSWER:
                return
            ended = ended or any(choice.get("finish_reason") for choice in _choices(chunk))
        if not ended:
            raise EngineError(tr(
                f"{self.shown} cut the answer off in the middle; ask again", f"{self.shown} 的回答中途断开；请重新提问",
            ))  # fmt: skip

    def _json(self, text: str) -> Any:
        """Return what a text says in JSON, or raise what it says went wrong."""
        try:
            value = json.loads(text)
            error = value.get("error") if isinstance(value, dict) else None
        except ValueError as failed:
            raise EngineError(tr(
                f"{self.shown} answered something that is not of OpenAI's protocol ({text[:60]!r}); check the address",
                f"{self.shown} 的回答不符合 OpenAI 协议（{text[:60]!r}）；请检查地址",
            )) from failed  # fmt: skip
        if error:
            raise EngineError(tr(f"{self.shown} reports: {self._said(error)}", f"{self.shown} 报告：{self._said(error)}"))
        return value

    def _said(self, error: Any) -> str:
        """Return the words of an error, in one line, without the key that some servers repeat."""
        words = error.get("message") or error.get("code") if isinstance(error, dict) else error
        line = " ".join(str(words).split())[:300]
        return line.replace(self._key, "…") if self._key else line

    def _refusal(self, response: "httpx.Response") -> EngineError:
        """Return the error that a status other than 200 stands for, with what can be done about it."""
        response.read()
        try:
            value = json.loads(response.text)
            said = self._said((value.get("error") or value.get("message") or value) if isinstance(value, dict) else value)
        except ValueError:
            said = self._said(response.text)
        status = response.status_code
        todo = {
            401: tr("check the key", "请检查密钥"), 403: tr("check the key and its rights", "请检查密钥及其权限"),
            404: tr("check the address and the model's name", "请检查地址和模型名"), 429: tr("try later", "请稍后再试"),
        }.get(status, tr("try later", "请稍后再试") if status >= 500 else tr("check the options", "请检查选项"))  # fmt: skip
        return EngineError(tr(
            f"{self.shown} refused with {status} ({said}); {todo}", f"{self.shown} 拒绝了请求（{status}：{said}）；{todo}",
        ))  # fmt: skip

    def _failure(self, error: Exception) -> EngineError:
        import httpx

        if isinstance(error, httpx.TimeoutException):
            return EngineError(tr(
                f"{self.shown} did not answer in time; try again or raise the time-out",
                f"{self.shown} 未能按时回答；请重试或延长超时时间",
            ))  # fmt: skip
        if isinstance(error, httpx.ConnectError):
            return EngineError(tr(
                f"{self.shown} cannot be reached ({error}); check the address and that the server runs",
                f"无法连接 {self.shown}（{error}）；请检查地址以及服务是否在运行",
            ))  # fmt: skip
        return EngineError(tr(
            f"the connection to {self.shown} broke ({type(error).__name__}); ask again",
            f"与 {self.shown} 的连接中断（{type(error).__name__}）；请重新提问",
        ))  # fmt: skip


def _close(lines: list[Line]) -> None:
    for line in lines:
        line.client.close()


def events(lines: Iterable[str]) -> Iterator[str]:
    """Yield the data of each server-sent event.

    Args:
        lines: the response's lines, without their ends.

    Source: WHATWG HTML standard, section 9.2.6.
    """
    pending: list[str] = []
    for line in lines:
        if len(line) > MAX_LINE:
            raise EngineError(tr("the server sent an event over the limit", "服务器发送的事件超出限制"))
        if not line:
            if pending:
                yield "\n".join(pending)
                pending = []
        elif line.startswith("data:"):
            pending.append(line[5:].removeprefix(" "))
    if pending:  # the standard drops an event without its empty line; some servers end on it
        yield "\n".join(pending)


def _choices(value: Any) -> Sequence[Mapping[str, Any]]:
    choices = value.get("choices") if isinstance(value, dict) else None
    return [choice for choice in choices or () if isinstance(choice, dict)]


def _text_of(value: Any, part: str) -> str:
    """Return the text of a chunk's or an answer's first choice; reasoning ("reasoning_content") is not for the user."""
    for choice in _choices(value)[:1]:
        message = choice.get(part)
        content = message.get("content") if isinstance(message, dict) else None
        return content if isinstance(content, str) else ""
    return ""


def without_thoughts(pieces: Iterable[str]) -> Iterator[str]:
    """Leave out a leading <think>…</think>: models that reason aloud (GLM-Z1, DeepSeek-R1, Qwen3) put it before the answer."""
    begin, end = "<think>", "</think>"
    held, state = "", "start"
    for piece in pieces:
        if state == "answer":
            yield piece
            continue
        held += piece
        if state == "start":
            lead = held.lstrip()
            if begin.startswith(lead[: len(begin)]) and len(lead) < len(begin):
                continue
            state = "thought" if lead.startswith(begin) else "answer"
        if state == "thought" and end in held:
            held, state = held.split(end, 1)[1].lstrip(), "after"
        if state == "after" and held.strip():
            held, state = held.lstrip(), "answer"
        if state == "answer" and held:
            yield held
            held = ""
    if state == "start" and held:
        yield held


def _worth_another(status: int) -> bool:
    return status in (408, 429, 500, 502, 503, 504, 529)


def _retry_after(response: "httpx.Response") -> float | None:
    """Return how long a server asks us to wait in seconds (RFC 9110, section 10.2.3: seconds or a date)."""
    value = response.headers.get("retry-after", "")
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        return max(0.0, email.utils.parsedate_to_datetime(value).timestamp() - time.time())
    except ValueError:
        return None
