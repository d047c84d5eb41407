"""Reading the user's files: what becomes of each kind, and one clear line for each that cannot be read."""

import io
import logging
import zipfile
from pathlib import Path

import pytest
from pypdf import PdfReader, PdfWriter

from huashen.chat import documents
from huashen.chat.documents import passages, read
from huashen.chat.library import Library, aloud, told
from huashen.errors import TooLargeError, UnreadableError


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HUASHEN_HOME", str(tmp_path / "home"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "docs").mkdir()
    return tmp_path / "docs"


def pdf(*pages: list[str]) -> bytes:
    """Return a PDF with lines of text on its pages."""
    objects = [b"<< /Type /Catalog /Pages 2 0 R >>", b"", b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>"]
    kids = []
    for lines in pages:
        shown = "".join(f"BT /F1 12 Tf 50 {700 - 20 * k} Td ({line}) Tj ET\n" for k, line in enumerate(lines)).encode()
        objects.append(b"<< /Length %d >>\nstream\n%s\nendstream" % (len(shown), shown))
        page = "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 600 800] /Resources << /Font << /F1 3 0 R >> >>"
        objects.append(f"{page} /Contents {len(objects)} 0 R >>".encode())
        kids.append(f"{len(objects)} 0 R")
    objects[1] = f"<< /Type /Pages /Kids [{' '.join(kids)}] /Count {len(kids)} >>".encode()
    made, places = b"%PDF-1.4\n", []
    for number, body in enumerate(objects, 1):
        places.append(len(made))
        made += b"%d 0 obj\n%s\nendobj\n" % (number, body)
    table = len(made)
    made += b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1) + b"".join(b"%010d 00000 n \n" % place for place in places)
    return made + b"trailer << /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF" % (len(objects) + 1, table)


def docx(body: str) -> bytes:
    """Return a DOCX with a body."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        space = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
        archive.writestr("word/document.xml", f'<w:document xmlns:w="{space}"><w:body>{body}</w:body></w:document>')
    return made.getvalue()


def paragraph(text: str, style: str = "") -> str:
    kind = f'<w:pPr><w:pStyle w:val="{style}"/></w:pPr>' if style else ""
    return f"<w:p>{kind}<w:r><w:t>{text}</w:t></w:r></w:p>"


def test_markdown_gives_paragraphs_lists_and_rows_under_their_headings(folder: Path) -> None:
    (folder / "a.md").write_text(
        "---\ntitle: x\n---\n# Shop\n\n## Hours\n\nWe open at **nine**.\n\n## Prices\n\n"
        "| item | adult | child |\n|---|---|---|\n| Day | $8 | $4 |\n\n"
        "## Is there [parking](x.html)?\n\nYes:\n- behind the house\n- in the street\n", "utf-8",
    )  # fmt: skip
    rows = list(read(folder / "a.md"))
    assert rows == [
        ("Hours", "Shop › Hours", "", "We open at nine."),
        ("Prices", "Shop › Prices", "", "Day; adult: $8; child: $4"),
        ("Is there parking?", "Shop › Is there parking?", "Is there parking?", "Yes:\nbehind the house\nin the street"),
    ]


def test_a_table_within_a_text_gives_its_rows(folder: Path) -> None:
    rows = ("| Work | Price |", "| --- | --- |", "| Call-out with first hour, weekdays | £96 |", "| Cooker | £85 |")
    (folder / "a.txt").write_text("\n".join(("Prices", "", *rows)), "utf-8")
    assert list(read(folder / "a.txt")) == [
        ("Prices", "Prices", "", "Call-out with first hour, weekdays; Price: £96"), ("Prices", "Prices", "", "Cooker; Price: £85"),
    ]  # fmt: skip


def test_tables_of_questions_and_of_other_things(folder: Path) -> None:
    (folder / "faq.csv").write_text("问题,答案\n几点开门？,九点。\n", "utf-8")
    (folder / "two.csv").write_text("How old are you?,Ten.\nWho?,Me.\n")
    (folder / "prices.tsv").write_text("room\tprice\nsingle\t80\n")
    assert list(read(folder / "faq.csv")) == [("row 2", "", "几点开门？", "九点。")]
    assert [(ask, tell) for _, _, ask, tell in read(folder / "two.csv")] == [("How old are you?", "Ten."), ("Who?", "Me.")]
    assert [(ask, tell) for _, _, ask, tell in read(folder / "prices.tsv")][-1][-1].endswith("80")


def test_a_pdf_gives_its_pages(folder: Path) -> None:
    (folder / "a.pdf").write_bytes(pdf(["The museum opens at ten."], ["Tickets cost eight euros."]))
    assert [(place, text) for place, _, _, text in read(folder / "a.pdf")] == [
        ("page 1", "The museum opens at ten."), ("page 2", "Tickets cost eight euros."),
    ]  # fmt: skip


def test_a_docx_gives_its_headings_paragraphs_and_tables(folder: Path) -> None:
    cell = "<w:tc>{}</w:tc>".format
    table = "".join(f"<w:tr>{cell(paragraph(a))}{cell(paragraph(b))}</w:tr>" for a, b in (("room", "price"), ("single", "80 euros")))
    body = paragraph("Hours", "Heading1") + paragraph("We open at nine.") + paragraph("价格", "2") + f"<w:tbl>{table}</w:tbl>"
    (folder / "a.docx").write_bytes(docx(body))
    assert [(place, text) for place, _, _, text in read(folder / "a.docx")] == [
        ("Hours", "We open at nine."), ("价格", "single; price: 80 euros"),
    ]  # fmt: skip


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "gb18030", "utf-16"])
def test_the_usual_encodings_are_read(folder: Path, encoding: str) -> None:
    (folder / "a.txt").write_bytes("门口有十二个车位，住客免费。".encode(encoding))
    assert [row[3] for row in read(folder / "a.txt")] == ["门口有十二个车位，住客免费。"]


def broken() -> dict[str, tuple[bytes, str]]:
    locked = PdfWriter(PdfReader(io.BytesIO(pdf(["Secret."]))))
    locked.encrypt("key", algorithm="RC4-128")
    held = io.BytesIO()
    locked.write(held)
    bomb = io.BytesIO()
    with zipfile.ZipFile(bomb, "w") as archive:
        archive.writestr("word/document.xml", '<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>')
    return {
        "locked.pdf": (held.getvalue(), "password"),
        "half.pdf": (pdf(["Half of it."])[:90], "not a PDF that can be read"),
        "empty.pdf": (b"", "not a PDF that can be read"),
        "picture.pdf": (pdf([]), "OCR"),
        "broken.docx": (b"PK\x03\x04 and no more", "not a DOCX that can be read"),
        "half.docx": (docx(paragraph("x"))[:-30], "not a DOCX that can be read"),
        "other.docx": (docx("<w:p>"), "not a DOCX that can be read"),
        "entities.docx": (bomb.getvalue(), "not a DOCX that Word wrote"),
        "program.txt": (bytes(range(256)) * 4, "is not a text"),
        "sheet.csv": (b'a,b\n"' + b"x" * 1_100_000 + b'",y\n', "not a valid CSV"),
    }


@pytest.mark.parametrize("name", list(broken()))
def test_a_broken_file_is_named_in_one_line_and_the_others_are_read(folder: Path, name: str, caplog: pytest.LogCaptureFixture) -> None:
    content, why = broken()[name]
    (folder / name).write_bytes(content)
    (folder / "good.md").write_text("# Hours\n\nWe open at nine.\n")
    with caplog.at_level(logging.WARNING):
        assert [passage.text for passage in passages(folder)] == ["We open at nine."]
    assert len(caplog.records) == 1
    line = caplog.records[0].getMessage()
    assert name in line
    assert why in line
    assert "\n" not in line


def test_limits(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UnreadableError, match=r"holds no documents .*\.md"):
        passages(folder)
    (folder / "blank.txt").write_text("\n  \n")
    with pytest.raises(UnreadableError, match="no text was found"):
        passages(folder)
    with pytest.raises(UnreadableError, match="does not exist"):
        passages(folder / "absent")
    (folder / "a.txt").write_text("A long text. " * 40)
    monkeypatch.setattr(documents, "MAX_BYTES", 100)
    with pytest.raises(TooLargeError, match=r"a\.txt has .* MB"):
        list(read(folder / "a.txt"))
    monkeypatch.undo()
    for number in range(6):
        (folder / f"{number}.txt").write_text(f"Text {number} of six.")
    monkeypatch.setattr(documents, "MAX_FILES", 5)
    with pytest.raises(TooLargeError, match="over 5 documents"):
        passages(folder)
    monkeypatch.setattr(documents, "MAX_FILES", 50)
    monkeypatch.setattr(documents, "MAX_PASSAGES", 3)
    with pytest.raises(TooLargeError, match="over 3 passages"):
        passages(folder, keep=False)


def test_hidden_files_and_links_out_are_left_alone(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "secret.txt").write_text("The key is under the mat.")
    (folder / ".hidden.txt").write_text("Hidden.")
    (folder / "~$lock.docx").write_bytes(b"x")
    (folder / "link.txt").symlink_to(tmp_path / "secret.txt")
    (folder / "a.txt").write_text("We open at nine.")
    assert [passage.text for passage in passages(folder)] == ["We open at nine."]


def test_thousands_of_files_are_read_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(1500):
        (folder / f"{number}.txt").write_text(f"Part {number} weighs {number} grams.")
    assert len(passages(folder)) == 1500
    asked: list[Path] = []
    monkeypatch.setattr(documents, "read", lambda path: asked.append(path) or iter([("", "", "", "new")]))
    (folder / "7.txt").write_text("Part 7 is sold out now.")
    assert sum(passage.text == "new" for passage in passages(folder)) == 1
    assert asked == [folder / "7.txt"]


def test_a_change_is_seen_while_it_runs(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "a.txt").write_text("We open at nine.")
    library = Library(folder)
    (folder / "b.txt").write_text("We close at six.")
    monkeypatch.setattr("huashen.chat.library.LOOK", 0.0)
    assert len(library.index.passages) == 2


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("Adult; single: $7; return: $12", "Adult: single $7, return $12."),
        ("成人票; 单程: 七元; 往返: 十二元", "成人票：单程七元，往返十二元。"),
        ("You need:\na passport\ntwo pictures", "You need: a passport, two pictures."),
        ("请带：\n身份证\n照片", "请带：身份证，照片。"),
        ("We open at nine; on Sundays at ten.", "We open at nine; on Sundays at ten."),
        ("One line", "One line"),
    ],
)
def test_rows_and_lists_are_said_as_sentences(text: str, said: str) -> None:
    assert aloud(text) == said


def test_of_a_long_passage_the_fitting_sentences_are_told() -> None:
    filler = [f"The {n} hall shows {n} paintings of the old masters." for n in ("first", "second", "third", "fourth", "fifth")]
    text = " ".join([*filler, "Dogs must stay outside.", *filler])
    said = told(documents.Passage("a.md", "", "", "", text), "May my dogs come in?")
    assert "Dogs must stay outside." in said
    assert len(said) <= 240
