"""Passages of the user's own files: Markdown, text, CSV, PDF and DOCX.

A passage is what can be an answer: a paragraph, a list with the line before it, a row of a table. It knows the headings above it. A file
that cannot be read is named in one warning and left out; what was read is kept under `HUASHEN_HOME`, so a change reads one file again.
"""

import csv
import hashlib
import io
import json
import logging
import os
import re
import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol
from xml.etree import ElementTree

from huashen import config
from huashen.errors import HuashenError, OutputError, TooLargeError, UnreadableError
from huashen.files import replacing
from huashen.tts.text import sentences
from huashen.words import tr

logger = logging.getLogger(__name__)

ENDINGS = (".md", ".markdown", ".txt", ".csv", ".tsv", ".pdf", ".docx")
MAX_FILES = 2000
MAX_BYTES = 30_000_000
"""Of one file, and of what an archive unpacks to."""
MAX_PAGES = 3000
MAX_PASSAGES = 100_000
"""Of all files together."""
LONG = 420
"""Columns of a passage (a Chinese character takes two); a longer paragraph is cut between sentences."""
_VERSION = 2
"""Of the kept passages: raised when reading changes."""


@dataclass(frozen=True)
class Passage:
    """A piece of a document that may answer a question."""

    file: str
    """Path below the folder."""
    place: str
    """Heading, page or row."""
    heading: str
    """All headings above it, outermost first."""
    question: str
    """The question it answers, where the document says so; else empty."""
    text: str


class Read(Protocol):
    """Yields (place, heading, question, text) of a file's passages."""

    def __call__(self, path: Path) -> Iterator[tuple[str, str, str, str]]: ...


def files(folder: Path) -> list[Path]:
    """Return the documents at a path: a file, or all those in a folder and below; hidden ones and links out of it are left out.

    Raises:
        UnreadableError: there is nothing of the kinds that are read.
        TooLargeError: there are too many.
    """
    kinds = " ".join(ENDINGS)
    if folder.is_file():
        found = [folder] if folder.suffix.lower() in ENDINGS else []
    else:
        if not folder.is_dir():
            raise UnreadableError(tr(
                f"{folder} does not exist; name a folder of documents or a document", f"{folder} 不存在；请给出文档或文档所在文件夹",
            ))  # fmt: skip
        root = folder.resolve()
        found = []
        for place, below, names in os.walk(folder):
            below[:] = sorted(name for name in below if not name.startswith("."))
            for name in sorted(names):
                path = Path(place, name)
                wanted = path.suffix.lower() in ENDINGS and not name.startswith((".", "~$"))
                if wanted and path.resolve().is_relative_to(root) and path.is_file():
                    found.append(path)
            if len(found) > MAX_FILES:
                raise TooLargeError(tr(
                    f"{folder} holds over {MAX_FILES} documents; name a smaller folder",
                    f"{folder} 中的文档超过 {MAX_FILES} 个；请指定更小的文件夹",
                ))  # fmt: skip
    if not found:
        raise UnreadableError(tr(f"{folder} holds no documents ({kinds})", f"{folder} 中没有可读的文档（{kinds}）"))
    return found


def stamp(paths: Iterable[Path]) -> dict[str, tuple[int, int]]:
    """Return each file's time of change and size; files that have gone meanwhile are left out."""
    stamps = {}
    for path in paths:
        try:
            status = path.stat()
        except OSError:
            continue
        stamps[str(path)] = (status.st_mtime_ns, status.st_size)
    return stamps


def kept_at(folder: Path, ending: str) -> Path:
    """Return the file in which something about documents is kept."""
    return config.home() / "chat" / f"{hashlib.sha256(str(folder.resolve()).encode()).hexdigest()[:16]}{ending}"


def passages(folder: Path, *, keep: bool = True, quiet: bool = False) -> list[Passage]:
    """Read all documents at a path.

    Args:
        folder: a folder, or one document.
        keep: use and write what was kept of an earlier reading, under `HUASHEN_HOME`/chat.
        quiet: say nothing of a file that cannot be read.

    Raises:
        UnreadableError: there are no documents, or none can be read.
        TooLargeError: there are too many, or they hold too much.
    """
    paths = files(folder)
    store = kept_at(folder, ".json")
    kept = _kept(store) if keep else {}
    new: dict[str, Any] = {}
    found: list[Passage] = []
    problems = []
    for path, (changed, size) in stamp(paths).items():
        known = kept.get(path)
        if known and known["stamp"] == [changed, size]:
            rows = known["rows"]
        else:
            name = Path(path).name if folder.is_file() else Path(path).relative_to(folder).as_posix()
            try:
                rows = [asdict(Passage(name, *row)) for row in read(Path(path))]
            except HuashenError as error:
                problems.append(str(error))
                if not quiet:
                    logger.warning("%s", error)
                continue
        new[path] = {"stamp": [changed, size], "rows": rows}
        found += [Passage(**row) for row in rows]
        if len(found) > MAX_PASSAGES:
            raise TooLargeError(tr(
                f"{folder} holds over {MAX_PASSAGES} passages; name fewer documents",
                f"{folder} 中的段落超过 {MAX_PASSAGES} 段；请减少文档",
            ))  # fmt: skip
    if not found:
        raise UnreadableError(problems[0] if len(problems) == 1 else tr(
            f"no text was found in the documents of {folder}", f"{folder} 的文档中没有文字",
        ))  # fmt: skip
    if keep and new != kept:
        _keep(store, new)
    return found


def _kept(store: Path) -> dict[str, Any]:
    """Return what an earlier reading kept; nothing when there is none or it is of no use any more."""
    try:
        value = json.loads(store.read_text("utf-8"))
        if value["version"] == _VERSION:
            rows: dict[str, Any] = value["files"]
            for entry in rows.values():
                [Passage(**row) for row in entry["rows"]]
            return rows
    except (OSError, ValueError, KeyError, TypeError):
        pass  # made again
    return {}


def _keep(store: Path, new: dict[str, Any]) -> None:
    try:
        store.parent.mkdir(parents=True, exist_ok=True)
        with replacing(store) as beside:
            beside.touch(mode=0o600)
            beside.write_text(json.dumps({"version": _VERSION, "files": new}, ensure_ascii=False), "utf-8")
    except (OSError, OutputError) as error:  # a store that cannot be written costs time, nothing else
        logger.info(tr("passages were not kept: %s", "段落未能保存：%s"), error)


def read(path: Path) -> Iterator[tuple[str, str, str, str]]:
    """Yield (place, heading, question, text) of a document's passages.

    Raises:
        UnreadableError: it is missing or broken.
        TooLargeError: it is over a limit.
    """
    ending = path.suffix.lower()
    try:
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise TooLargeError(tr(
                f"{path} has {size / 1e6:.0f} MB; documents may have {MAX_BYTES / 1e6:.0f} MB",
                f"{path} 有 {size / 1e6:.0f} MB；文档最大 {MAX_BYTES / 1e6:.0f} MB",
            ))  # fmt: skip
        how: dict[str, Read] = {".pdf": _pdf, ".docx": _docx, ".csv": _csv, ".tsv": _csv}
        yield from how.get(ending, _markdown if ending in (".md", ".markdown") else _plain)(path)
    except OSError as error:
        raise UnreadableError(tr(f"{path} cannot be read ({error.strerror})", f"无法读取 {path}（{error.strerror}）")) from error


def decoded(path: Path) -> str:
    """Return a file's text: UTF-8, UTF-16 by its mark, else GB 18030.

    Raises:
        UnreadableError: it is none of them.
    """
    raw = path.read_bytes()
    names = ("utf-16",) if raw[:2] in (b"\xff\xfe", b"\xfe\xff") else ("utf-8-sig", "gb18030")
    for name in names:
        try:
            text = raw.decode(name)
        except UnicodeDecodeError:
            continue
        if "\0" not in text:
            return text.replace("\r\n", "\n").replace("\r", "\n")
    raise UnreadableError(tr(f"{path} is not a text; save it as UTF-8", f"{path} 不是文本文件；请另存为 UTF-8"))


# --- paragraphs --------------------------------------------------------------------------------------------------------------------


def _width(text: str) -> int:
    return sum(2 if character > "\u2e7f" else 1 for character in text)


def _pieces(text: str) -> Iterator[str]:
    """Cut a long paragraph between sentences."""
    text = text.strip()
    if _width(text) <= LONG * 1.3:
        yield text
        return
    piece = ""
    for sentence in sentences(text):
        if piece and _width(piece) + _width(sentence) > LONG:
            yield piece.strip()
            piece = ""
        piece += sentence
    if piece.strip():
        yield piece.strip()


_ASKS = re.compile(
    r"^\s*(?:\*\*)?(?:Q|Question|问题?)\s*\d*\s*[:：.、]\s*(?P<q>.+?)(?:\*\*)?\s*\n"
    r"\s*(?:\*\*)?(?:A|Answer|答案?)\s*\d*\s*[:：.、]\s*(?:\*\*)?(?P<a>.+)",
    re.DOTALL | re.IGNORECASE,
)


def _asks(text: str) -> bool:
    return text.rstrip(" *_").endswith(("?", "？"))


def _row(place: str, headings: list[str], text: str) -> Iterator[tuple[str, str, str, str]]:
    """Yield a paragraph's passages, with the question it answers where it says so."""
    pair = _ASKS.match(text)
    question = pair["q"].strip() if pair else headings[-1] if headings and _asks(headings[-1]) else ""
    for piece in _pieces(pair["a"] if pair else text):
        if any(character.isalnum() for character in piece):
            yield place, " › ".join(headings), question, piece


_HEADING = re.compile(r"^(#{1,6})\s+(.*?)\s*#*\s*$")
_ITEM = re.compile(r"^\s*(?:[-*+•·]|\d{1,3}[.)、])\s+")
_RULE = re.compile(r"^\s*(?:[-*_]\s*){3,}$|^\s*\|?\s*:?-{2,}[-|: ]*$")


def _markdown(path: Path) -> Iterator[tuple[str, str, str, str]]:
    text = re.sub(r"<!--.*?-->", "", decoded(path), flags=re.DOTALL)
    text = re.sub(r"\A---\n.*?\n---\n", "", text, flags=re.DOTALL)  # what some tools put in front
    headings: list[tuple[int, str]] = []
    for block in re.split(r"\n\s*\n|(?=^#{1,6}\s)", text, flags=re.MULTILINE):
        rows = block.strip("\n").split("\n")
        if rows and (match := _HEADING.match(rows[0])):
            level = len(match[1])
            headings = [entry for entry in headings if entry[0] < level] + [(level, unmarked(match[2]))]
            rows = rows[1:]
        if not any(row.strip() for row in rows):
            continue
        above = [heading for _, heading in headings]
        for part in _parts(rows):
            yield from _row(above[-1] if above else "", above, part)


def unmarked(text: str) -> str:
    """Return a line of Markdown without its signs; links by their text."""
    text = re.sub(r"!?\[([^\]\n]*)\]\([^)\n]*\)", r"\1", text)
    return re.sub(r"(\*\*|__|`)(.+?)\1", r"\2", text).strip()


def _parts(rows: list[str]) -> Iterator[str]:
    """Return a block's paragraphs, those of a table row by row."""
    return _table(rows) if sum(row.lstrip().startswith("|") for row in rows) > 1 else _listed(rows)


def _listed(rows: list[str]) -> Iterator[str]:
    """Yield a block's paragraphs: a short list whole with the line before it, a long one item by item behind that line."""
    first = next((i for i, row in enumerate(rows) if _ITEM.match(row)), len(rows))
    lead = unmarked(" ".join(row.strip() for row in rows[:first])) if first else ""
    if first == len(rows):
        yield unmarked("\n".join(row.strip().lstrip("> ") for row in rows if not _RULE.match(row)))
        return
    items: list[str] = []
    for row in rows[first:]:
        if _ITEM.match(row) or not items:
            items.append(unmarked(_ITEM.sub("", row)))
        else:
            items[-1] += " " + unmarked(row)
    whole = "\n".join(part for part in (lead, *items) if part)
    if _width(whole) <= LONG * 0.6:
        yield whole
        return
    for item in items:
        yield f"{lead}\n{item}" if lead and _width(lead) < 80 else item


def _table(rows: list[str]) -> Iterator[str]:
    cells = [[unmarked(cell) for cell in row.strip().strip("|").split("|")] for row in rows if row.strip() and not _RULE.match(row)]
    if cells:
        yield from (_joined(cells[0], row) for row in cells[1:])


def _joined(head: list[str], row: list[str]) -> str:
    """Return a table's row as words: the first cell names it, the others follow with their titles."""
    pairs = [(title.strip(), cell.strip()) for title, cell in zip(head[1:], row[1:], strict=False) if cell.strip()]
    named = [f"{title}: {cell}" if title else cell for title, cell in pairs]
    return "; ".join([row[0].strip(), *named] if row and row[0].strip() else named)


def _plain(path: Path) -> Iterator[tuple[str, str, str, str]]:
    yield from _paragraphs(decoded(path), "")


_TITLE_END = re.compile(r"[.!。！;；,，、]$")


def _paragraphs(text: str, place: str) -> Iterator[tuple[str, str, str, str]]:
    """Yield the passages of plain text: blocks between empty lines, below a short line without a stop, its heading."""
    heading: list[str] = []
    for block in re.split(r"\n\s*\n", text):
        rows = [row.strip() for row in block.strip().split("\n") if row.strip()]
        if not rows:
            continue
        short = _width(rows[0]) <= 60 and not _TITLE_END.search(rows[0])
        title = short and not _ITEM.match(rows[0]) and not re.match(r"(?i)[qa问答]\w*\s*[:：]|\|", rows[0])
        if title and (len(rows) == 1 or _asks(rows[0]) or rows[0].endswith((":", "：")) or _width(rows[1]) > _width(rows[0]) * 1.5):
            heading = [rows[0].rstrip(":：").strip("= -*#")]
            rows = rows[1:]
            if not rows:
                continue
        for part in _parts(rows):
            yield from _row(place or (heading[-1] if heading else ""), heading, part)


# --- tables, PDF, DOCX -------------------------------------------------------------------------------------------------------------

_QUESTION = ("question", "questions", "q", "ask", "问题", "问", "提问", "标准问题", "标准问")
_ANSWER = ("answer", "answers", "a", "reply", "response", "答案", "回答", "答", "答复", "回复")


def _csv(path: Path) -> Iterator[tuple[str, str, str, str]]:
    text = decoded(path)
    try:
        dialect: Any = csv.Sniffer().sniff(text[:8192], ",;\t|")
    except csv.Error:
        dialect = "excel-tab" if path.suffix.lower() == ".tsv" else "excel"
    csv.field_size_limit(1_000_000)
    try:
        rows = [row for row in csv.reader(io.StringIO(text), dialect) if any(cell.strip() for cell in row)]
    except csv.Error as error:
        raise UnreadableError(tr(f"{path} is not a valid CSV ({error})", f"{path} 不是有效的 CSV（{error}）")) from error
    if not rows:
        return
    head = [cell.strip().lower() for cell in rows[0]]
    ask = next((i for i, cell in enumerate(head) if cell in _QUESTION), -1)
    tell = next((i for i, cell in enumerate(head) if cell in _ANSWER), -1)
    titled = ask >= 0 and tell >= 0
    if not titled and len(rows[0]) == 2:
        ask, tell = 0, 1
    for number, row in enumerate(rows[titled:], 1 + titled):
        place = tr(f"row {number}", f"第 {number} 行")
        if ask >= 0 and tell >= 0:
            if len(row) > max(ask, tell) and row[tell].strip():
                yield place, "", row[ask].strip(), row[tell].strip()
        elif number > 1:
            for piece in _pieces(_joined(rows[0], row)):
                yield place, "", "", piece


def _pdf(path: Path) -> Iterator[tuple[str, str, str, str]]:
    from pypdf import PdfReader
    from pypdf.errors import PyPdfError

    noisy = logging.getLogger("pypdf")
    level = noisy.level
    noisy.setLevel(logging.ERROR)  # it tells of every oddity of a file; ours is one line, if any
    try:
        with path.open("rb") as file:
            reader = PdfReader(file)
            if reader.is_encrypted and not reader.decrypt(""):
                raise UnreadableError(tr(f"{path} is locked with a password; save it without", f"{path} 有密码保护；请另存为无密码的文件"))
            if len(reader.pages) > MAX_PAGES:
                raise TooLargeError(tr(f"{path} has over {MAX_PAGES} pages", f"{path} 超过 {MAX_PAGES} 页"))
            empty = True
            for number, page in enumerate(reader.pages, 1):
                text = _unwrapped(page.extract_text())
                for row in _paragraphs(text, tr(f"page {number}", f"第 {number} 页")):
                    empty = False
                    yield row
            if empty:
                raise UnreadableError(tr(
                    f"{path} holds pictures of text only; run OCR on it", f"{path} 只有文字的图片；请先做文字识别（OCR）",
                ))  # fmt: skip
    except (PyPdfError, ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError, NotImplementedError) as error:
        # pypdf meets broken files with all of these
        raise UnreadableError(tr(f"{path} is not a PDF that can be read ({error})", f"{path} 不是可读的 PDF（{error}）")) from error
    finally:
        noisy.setLevel(level)


def _unwrapped(text: str) -> str:
    """Join the lines of a page's paragraphs: a line that ends before its neighbours' end, or with a stop before a short one, ends one."""
    rows = [row.strip() for row in text.split("\n")]
    widest = max((_width(row) for row in rows), default=0)
    made = ""
    for row in rows:
        if not row:
            made += "\n\n"
            continue
        made += row
        full = _width(row) > 0.75 * widest
        if full:
            made += "" if row[-1] > "\u2e7f" else " "
        else:
            made += "\n\n"
    return made


_W = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"


def _docx(path: Path) -> Iterator[tuple[str, str, str, str]]:
    try:
        with zipfile.ZipFile(path) as archive:
            member = archive.getinfo("word/document.xml")
            if member.file_size > MAX_BYTES:
                raise TooLargeError(tr(f"{path} unpacks to over {MAX_BYTES / 1e6:.0f} MB", f"{path} 解压后超过 {MAX_BYTES / 1e6:.0f} MB"))
            with archive.open(member) as file:
                raw = file.read(MAX_BYTES + 1)
        if b"<!DOCTYPE" in raw[:4096]:  # Word writes none; entities in it can blow up
            raise UnreadableError(tr(f"{path} is not a DOCX that Word wrote", f"{path} 不是 Word 生成的 DOCX"))
        body = ElementTree.fromstring(raw).find(f"{_W}body")
    except (zipfile.BadZipFile, KeyError, ElementTree.ParseError, NotImplementedError, RuntimeError, EOFError) as error:
        raise UnreadableError(tr(f"{path} is not a DOCX that can be read ({error})", f"{path} 不是可读的 DOCX（{error}）")) from error
    headings: list[tuple[int, str]] = []
    block: list[str] = []

    def flush() -> Iterator[tuple[str, str, str, str]]:
        if block:
            above = [heading for _, heading in headings]
            for part in _listed(block):
                yield from _row(above[-1] if above else "", above, part)
            block.clear()

    for element in body if body is not None else ():
        if element.tag == f"{_W}tbl":
            yield from flush()
            above = [heading for _, heading in headings]
            rows = [[_text(cell) for cell in row.iter(f"{_W}tc")] for row in element.iter(f"{_W}tr")]
            for row in rows[1:]:
                yield from _row(above[-1] if above else "", above, _joined(rows[0], row))
        elif element.tag == f"{_W}p":
            text = _text(element)
            style = element.find(f"{_W}pPr/{_W}pStyle")
            level = _level(style.get(f"{_W}val", "") if style is not None else "")
            numbered = element.find(f"{_W}pPr/{_W}numPr") is not None
            if level and text:
                yield from flush()
                headings = [entry for entry in headings if entry[0] < level] + [(level, text)]
            elif numbered and text:
                block.append(f"- {text}")
            else:
                lead = text.endswith((":", "："))
                yield from flush()
                if text:
                    block.append(text)
                if not lead:
                    yield from flush()
    yield from flush()


def _level(style: str) -> int:
    """Return the level of a heading's style, 0 for any other."""
    if style.lower() == "title":
        return 1
    match = re.fullmatch(r"(?:heading|标题)?\s*([1-9])", style, re.IGNORECASE)
    return 1 + int(match[1]) if match else 0


def _text(element: ElementTree.Element) -> str:
    parts = []
    for node in element.iter():
        if node.tag == f"{_W}t":
            parts.append(node.text or "")
        elif node.tag in (f"{_W}tab", f"{_W}br"):
            parts.append(" ")
    return "".join(parts).strip()
