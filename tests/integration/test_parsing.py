"""Files as people have them become pieces of text, or a refusal that says what is wrong with them."""

from __future__ import annotations

import random
import re
import subprocess
import sys
from pathlib import Path

import pytest

from adapters.parsing.parser import SafeParser
from application.ports.parsing import DOCX, HTML, MARKDOWN, PDF, PLAIN_TEXT, DocumentUnreadable, ParsedDocument, Piece
from domain.errors import Unavailable
from tests.documents import archive, docx, encrypted, part_of, pdf, pdf_bomb, with_bookmarks, with_parts, word_body

_SCRIPTS = [
    "يمكن إرجاع المنتج خلال أربعة عشر يوما",
    "आप चौदह दिनों के भीतर वापस कर सकते हैं",
    "返品は購入後十四日以内に可能です。",
    "สามารถคืนสินค้าได้ภายในสิบสี่วัน",
    "Größe: 👩‍👩‍👧 🎉 naïve Ελληνικά русский",
]

_MANY_TEXTS = " ".join(f"word{number}" for number in range(20_000)).encode()


def read(content: bytes, name: str, media_type: str | None = None) -> ParsedDocument:
    return SafeParser().parse(content, name=name, media_type=media_type)


def refused(
    content: bytes, name: str, media_type: str | None = None, parser: SafeParser | None = None
) -> DocumentUnreadable:
    with pytest.raises(DocumentUnreadable) as caught:
        (parser or SafeParser()).parse(content, name=name, media_type=media_type)
    return caught.value


def told(document: ParsedDocument) -> list[tuple[str, str]]:
    return [(piece.heading, piece.text) for piece in document.pieces]


def script_documents() -> list[tuple[str, bytes]]:
    html = "<!doctype html><h1>T</h1>" + "".join(f"<p>{line}</p>" for line in _SCRIPTS)
    return [
        ("a.txt", "\n\n".join(_SCRIPTS).encode()),
        ("a.md", "\n\n".join(_SCRIPTS).encode()),
        ("a.html", html.encode()),
        ("a.docx", docx(*(("Normal", line) for line in _SCRIPTS))),
        ("a.pdf", pdf(_SCRIPTS)),
    ]


@pytest.mark.parametrize(
    ("name", "content"), script_documents(), ids=lambda value: value if isinstance(value, str) else ""
)
def test_every_kind_is_read_in_every_script(name: str, content: bytes) -> None:
    text = " ".join(piece.text for piece in read(content, name).pieces)

    assert [line for line in _SCRIPTS if line not in text] == []


@pytest.mark.parametrize(
    ("name", "media_type", "really"),
    [
        ("a.txt", None, PLAIN_TEXT),
        ("a.md", "application/octet-stream", MARKDOWN),
        ("README", "text/markdown; charset=utf-8", MARKDOWN),
        ("a.md", "text/plain", MARKDOWN),
        ("README", None, PLAIN_TEXT),
        ("data.csv", "application/vnd.ms-excel", PLAIN_TEXT),
        ("page.htm", None, HTML),
    ],
)
def test_text_is_of_the_kind_that_its_name_or_its_sender_says(name: str, media_type: str | None, really: str) -> None:
    assert really == read(b"Some *text*, nothing else.", name, media_type).media_type


def test_a_page_is_read_as_a_page_whatever_text_it_is_called() -> None:
    document = read(b"<!DOCTYPE html><html><script>var x</script><p>Hello</p></html>", "page.txt")

    assert (document.media_type, told(document)) == (HTML, [("", "Hello")])


def test_comments_at_the_beginning_are_no_riddle() -> None:
    """Of each it is looked whether a page begins behind it, which once took twice as long for every further one."""
    comments = b"<!-- note -->\n" * 250

    assert read(comments + b"# Notes\n\nText.\n", "notes.md").media_type == MARKDOWN
    assert read(comments + b"<html><body><p>Text.</p></body></html>", "notes.md").media_type == HTML


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("Résumé — “c’est déjà l’été”, à 20 €.", "utf-8"),
        ("Résumé — “c’est déjà l’été”, à 20 €.", "utf-8-sig"),
        ("Résumé, こんにちは", "utf-16"),
        ("A résumé without a mark", "utf-16-le"),
        ("A résumé without a mark", "utf-16-be"),
        ("Résumé", "utf-32"),
        ("Le café est très bon à Orléans, où l’été arrive. Voilà une phrase française.", "cp1252"),
        ("Die Rückgabe schöner Größen dauert drei Tage.", "latin-1"),
        ("Une été", "latin-1"),
        ("返品は購入後十四日以内に可能です。詳しくはサポートへ。", "shift_jis"),
        ("返品は購入後十四日以内に可能です。詳しくはサポートへ。", "euc_jp"),
        ("退货可以在购买后十四天内进行。详情请联系客服。", "gb18030"),
        ("구매 후 14일 이내에 반품할 수 있습니다.", "euc-kr"),
        ("Возврат товара возможен в течение четырнадцати дней.", "cp1251"),
        ("Zwrot jest możliwy w ciągu czternastu dni. Źródło: świetna książka.", "cp1250"),
    ],
)
def test_text_is_read_in_the_encoding_it_has(text: str, encoding: str) -> None:
    assert [("", text)] == told(read(text.encode(encoding), "a.txt"))


def test_one_wrong_byte_does_not_spoil_the_rest() -> None:
    (piece,) = read(("Überall " * 50).encode() + b"\xff end", "a.txt").pieces

    assert piece.text.startswith("Überall Überall")


@pytest.mark.parametrize(
    ("content", "name"),
    [
        (b"Hello\x00 world, this is a text", "a.txt"),
        (b"# He\x00ading\n\ntext", "a.md"),
        (b"<!doctype html><title>a&#0;b</title><h1>x\x00</h1><p>a&#xD800;b&#0;c</p>", "a.html"),
        (b"{" + rb'"a": "\ud800"' + b"}", "a.json"),
    ],
)
def test_no_nul_and_no_lone_surrogate_comes_out(content: bytes, name: str) -> None:
    document = read(content, name)
    said = "".join([document.title or "", *(piece.heading + piece.text for piece in document.pieces)])

    assert said
    assert not re.search("[\x00\ud800-\udfff]", said)


def test_html_is_what_its_readers_see() -> None:
    page = """<!doctype html><html><head><meta charset="utf-8"><title>Returns – Shop</title><style>p {}</style></head>
    <body><nav>Menu</nav><div role="banner">Banner</div><script>var x = 1</script>
    <h1>Returns</h1><p>Within <b>14</b> days,<br>in a box.<span hidden>Hidden</span></p>
    <div style="display: none">Hidden</div><span aria-hidden="true">Hidden</span>
    <ul><li>unused<ul><li>sealed</li></ul></li><li>complete</li></ul>
    <ol><li>Pack<p>well</p></li><li>Send</li></ol>
    <table><tr><th>Country</th><th>Cost</th></tr><tr><td>DE</td><td>0 | 1</td></tr></table>
    <pre>  line one
      line two</pre>
    <h2>Late <em>returns</em></h2>Sorry.<noscript>No</noscript><select><option>No</option></select></body></html>"""
    document = read(page.encode(), "a.html")

    assert document.title == "Returns – Shop"
    assert told(document) == [
        (
            "Returns",
            "Within 14 days,\nin a box.\n\n- unused\n  - sealed\n- complete\n1. Pack\n   well\n2. Send\n\n"
            "| Country | Cost |\n|---|---|\n| DE | 0 \\| 1 |\n\n```\n  line one\n      line two\n```",
        ),
        ("Returns › Late returns", "Sorry."),
    ]


def test_of_a_page_only_its_main_part_is_read() -> None:
    page = b"<html><h1>Site</h1><div>Around</div><main><h2>Article</h2><p>Text</p></main><p>Imprint</p></html>"

    assert told(read(page, "a.html")) == [("Article", "Text")]


def test_html_is_read_in_the_encoding_that_it_declares() -> None:
    page = '<html><meta charset="cp1251"><p>Возврат</p></html>'.encode("cp1251")

    assert told(read(page, "a.html")) == [("", "Возврат")]


def test_a_table_that_lays_a_page_out_is_no_table() -> None:
    page = b"<table><tr><td>Left</td><td><h2>News</h2><p>Text</p></td></tr></table>"

    assert told(read(page, "a.html")) == [("", "Left"), ("News", "Text")]


def test_a_word_document_has_headings_lists_and_tables() -> None:
    document = read(
        docx(
            ("Title", "Handbook"),
            ("Normal", "Welcome."),
            ("Heading 1", "Holidays"),
            ("Heading 2", "How many"),
            ("Normal", "Thirty."),
            ("List Bullet", "in summer"),
            ("List Bullet", "in winter"),
            ("List Number", "ask"),
            ("List Number", "go"),
            table=[["Year", "Days"], ["2024", "30"]],
            title="Something else",
        ),
        "handbook.docx",
        DOCX,
    )

    assert document.title == "Handbook"
    assert told(document) == [
        ("", "Welcome."),
        (
            "Holidays › How many",
            "Thirty.\n\n- in summer\n- in winter\n1. ask\n2. go\n\n| Year | Days |\n|---|---|\n| 2024 | 30 |",
        ),
    ]


def test_a_word_document_without_properties_has_no_title() -> None:
    content = docx(("Normal", "Otters live by the river."))
    relationships = re.sub(rb"<Relationship [^>]*core-properties[^>]*/>", b"", part_of(content, "_rels/.rels"))

    document = read(with_parts(content, {"_rels/.rels": relationships}), "otters.docx")

    assert document.title is None
    assert read(docx(("Normal", "Text"), title="Otters"), "a.docx").title == "Otters"


def test_a_word_document_is_read_as_if_its_changes_were_accepted() -> None:
    body = word_body(
        "<w:p><w:r><w:t>Kept </w:t></w:r><w:ins><w:r><w:t>inserted</w:t></w:r></w:ins>"
        "<w:del><w:r><w:delText>deleted</w:delText></w:r></w:del></w:p>"
        "<w:sdt><w:sdtContent><w:p><w:r><w:t>In a field</w:t></w:r></w:p></w:sdtContent></w:sdt>"
    )

    assert told(read(with_parts(docx(), {"word/document.xml": body}), "a.docx")) == [
        ("", "Kept inserted\n\nIn a field")
    ]


def test_a_pdf_is_read_page_by_page_under_its_bookmarks() -> None:
    long_line = "A line that is long enough to be a full line of a paragraph of this"
    pages = pdf(
        ["1 Returns", f"{long_line} docu-", "ment goes on in the next one.", "Costs", "Nothing."],
        ["More of it.", "2 Repairs", "Ask us."],
    )
    document = read(
        with_bookmarks(pages, [("Returns", 1, None), ("Costs", 1, 0), ("Repairs", 2, None)], title="Terms"), "a.pdf"
    )

    assert (document.title, document.media_type) == ("Terms", PDF)
    assert [
        Piece(heading="Returns", text=f"{long_line} document goes on in the next one.", page=1),
        Piece(heading="Returns › Costs", text="Nothing.", page=1),
        Piece(heading="Returns › Costs", text="More of it.", page=2),
        Piece(heading="Repairs", text="Ask us.", page=2),
    ] == list(document.pieces)


def test_headers_and_footers_of_a_pdf_are_no_text() -> None:
    document = read(pdf(*(["Acme Handbook", f"Topic {number}.", f"Page {number} of 5"] for number in "abcde")), "a.pdf")
    numbered = read(pdf(*(["Acme Handbook", f"Topic {'abcde'[n]}.", f"Page {n} of 5"] for n in range(5))), "a.pdf")

    assert [f"Topic {letter}." for letter in "abcde"] == [piece.text for piece in numbered.pieces]
    assert "Page a of 5" in document.pieces[0].text


def test_a_title_that_a_program_made_up_is_none() -> None:
    assert read(with_bookmarks(pdf(["Text"]), [], title="Microsoft Word - draft3.docx"), "a.pdf").title is None


@pytest.mark.parametrize("algorithm", ["RC4-128", "AES-128", "AES-256"])
def test_a_pdf_that_opens_without_a_password_is_read(algorithm: str) -> None:
    content = encrypted(pdf(["Text"]), user_password="", owner_password="owner", algorithm=algorithm)

    assert told(read(content, "a.pdf")) == [("", "Text")]


@pytest.mark.parametrize(
    ("content", "name"),
    [
        (encrypted(pdf(["Text"]), user_password="user", owner_password="owner"), "a.pdf"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600) + "EncryptedPackage".encode("utf-16-le"), "a.docx"),
    ],
    ids=["pdf", "docx"],
)
def test_a_document_behind_a_password_is_refused(content: bytes, name: str) -> None:
    refusal = refused(content, name)

    assert refusal.slug == "document_encrypted"
    assert "password" in refusal.message


@pytest.mark.parametrize(
    ("content", "name"),
    [
        (b"", "a.pdf"),
        (b" \n\t ", "a.txt"),
        ("\ufeff \u3000".encode(), "a.md"),
        (b"---\n", "a.md"),
        (b"<html><script>x</script></html>", "a.html"),
        (b"<!-- nothing -->", "a.html"),
        (docx(), "a.docx"),
        (pdf([], []), "a.pdf"),
    ],
    ids=["0 bytes", "white", "wide white", "a rule", "a script", "a comment", "docx", "pdf"],
)
def test_a_document_without_text_is_refused(content: bytes, name: str) -> None:
    assert refused(content, name).slug == "document_empty"


def test_a_scanned_pdf_is_told_what_it_lacks() -> None:
    assert "OCR" in refused(pdf([]), "scan.pdf").message


@pytest.mark.parametrize(
    ("content", "name"),
    [
        (pdf(["Text"])[:400], "a.pdf"),
        (b"%PDF-1.7\n" + b"nonsense " * 100, "a.pdf"),
        (docx(("Normal", "Text"))[:9000], "a.docx"),
        (with_parts(docx(), {"word/document.xml": b"<w:document"}), "a.docx"),
        (with_parts(docx(), {"word/document.xml": b"<other/>"}), "a.docx"),
    ],
    ids=["cut pdf", "false pdf", "cut docx", "no XML", "other XML"],
)
def test_a_broken_document_is_refused(content: bytes, name: str) -> None:
    refusal = refused(content, name)

    assert refusal.slug == "document_broken"
    assert refusal.message


@pytest.mark.parametrize(
    ("content", "name", "media_type", "says"),
    [
        (pdf(["Text"]), "a.txt", None, "a PDF, but by its name it is plain text"),
        (pdf(["Text"]), "a.pdf", "text/html", "a PDF, but by its media type it is HTML"),
        (b"MZ\x90\x00\x03" + bytes(300), "a.pdf", None, "a Windows program, but by its name it is a PDF"),
        (b"<html><p>Hello</p></html>", "a.pdf", None, "HTML, but by its name it is a PDF"),
        (b"Just text", "a", DOCX, "plain text, but by its media type it is a Word document"),
        (archive(a=b"1"), "a.docx", None, "a ZIP archive, but by its name it is a Word document"),
        (archive(**{"xl/workbook.xml": b"1"}), "a.docx", None, "an Excel workbook, but"),
        (b"\x89PNG\r\n\x1a\n" + bytes(300), "a.md", None, "a PNG image, but"),
        (random.Random(7).randbytes(5000), "a.txt", None, "binary data, but"),  # noqa: S311
    ],
)  # fmt: skip
def test_a_file_that_is_not_what_it_is_called_is_refused(
    content: bytes, name: str, media_type: str | None, says: str
) -> None:
    refusal = refused(content, name, media_type)

    assert refusal.slug == "document_type_mismatch"
    assert says in refusal.message
    assert {"found", "expected"} == refusal.details.keys()


@pytest.mark.parametrize(
    ("content", "name"),
    [
        (b"\x89PNG\r\n\x1a\n" + bytes(300), "a.png"),
        (archive(**{"xl/workbook.xml": b"1"}), "a.xlsx"),
        (archive(a=b"1"), "a.zip"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600), "old.doc"),
        (b"{\\rtf1 Hello}", "a.rtf"),
        (random.Random(7).randbytes(5000), "a"),  # noqa: S311
    ],
)
def test_what_is_not_read_is_refused_with_what_is(content: bytes, name: str) -> None:
    refusal = refused(content, name)

    assert refusal.slug == "document_type_unknown"
    assert "PDF and Word documents" in refusal.message


_ENTITIES = '<!ENTITY a0 "ha">' + "".join(f'<!ENTITY a{one} "{f"&a{one - 1};" * 10}">' for one in range(1, 12))
_LAUGHS = f"<!DOCTYPE x [{_ENTITIES}]>"
_STOLEN = '<!DOCTYPE x [<!ENTITY a11 SYSTEM "file:///etc/passwd">]>'
_LAUGH = "<w:p><w:r><w:t>&a11;</w:t></w:r></w:p>"


@pytest.mark.parametrize(
    ("content", "name", "slug"),
    [
        (with_parts(docx(), {"word/document.xml": bytes(200_000_000)}), "a.docx", "document_too_large"),
        (with_parts(docx(), {"word/media/image1.png": bytes(300_000_000)}), "a.docx", "document_too_large"),
        (
            with_parts(docx(), {"word/document.xml": word_body(_LAUGH, prologue=_LAUGHS)}),
            "a.docx",
            "document_too_large",
        ),
        (with_parts(docx(), {"word/document.xml": word_body(_LAUGH, prologue=_STOLEN)}), "a.docx", "document_broken"),
        (
            with_parts(
                docx(), {"word/document.xml": word_body("<w:sdt>" * 200 + _LAUGH[:5] + "</w:p>" + "</w:sdt>" * 200)}
            ),
            "a.docx",
            "document_too_large",
        ),
        (pdf_bomb(200_000_000), "a.pdf", "document_too_large"),
        (b"<html>" + b"<div>" * 100_000 + b"text", "a.html", "document_too_large"),
        (b"word " * 1_100_000, "a.txt", "document_too_large"),
        (b"# a\n\nb\n\n" * 25_000, "a.md", "document_too_large"),
    ],
    ids=["docx", "picture", "laughs", "stolen file", "deep docx", "pdf", "deep html", "long text", "many pieces"],
)
def test_what_expands_beyond_bounds_is_refused(content: bytes, name: str, slug: str) -> None:
    assert slug == refused(content, name).slug


def test_a_part_that_is_larger_than_it_says_is_refused() -> None:
    content = with_parts(docx(), {"word/document.xml": word_body(_LAUGH[:5] + "</w:p>" * 1 + " " * 60_000_000)})
    honest = (60_000_000).to_bytes(4, "little")[2:]
    sizes = [place for place in range(len(content)) if content[place : place + 2] == honest]
    lying = bytearray(content)
    for place in sizes:
        lying[place : place + 2] = b"\x00\x00"

    assert refused(content, "a.docx").slug == "document_too_large"
    assert refused(bytes(lying), "a.docx").slug == "document_broken"


def test_what_takes_too_much_memory_is_refused() -> None:
    content = with_parts(docx(), {"word/document.xml": word_body("<w:p/>" * 7_500_000)})

    assert refused(content, "a.docx", parser=SafeParser(memory=256 * 1024**2)).slug == "document_too_large"


def test_what_takes_too_long_is_refused() -> None:
    refusal = refused(_MANY_TEXTS * 20, "a.txt", parser=SafeParser(timeout=0.01))

    assert (refusal.slug, refusal.details) == ("document_timed_out", {"seconds": 0.01})


def test_bounds_can_be_set() -> None:
    parser = SafeParser(max_characters=1000)

    assert refused(b"word " * 300, "a.txt", parser=parser).details == {"characters": 1000}
    assert refused(pdf(["word " * 300]), "a.pdf", parser=parser).slug == "document_too_large"


def test_no_more_documents_are_read_at_once_than_there_is_room_for() -> None:
    parser = SafeParser(timeout=0.1, at_once=0)

    with pytest.raises(Unavailable, match="Too many documents"):
        parser.parse(pdf(["Text"]), name="a.pdf", media_type=None)
    assert told(parser.parse(b"Short texts need none.", name="a.md", media_type=None)) == [
        ("", "Short texts need none.")
    ]


@pytest.mark.parametrize("quote", [">>>>>", "- > 1. >>>", "  >"])
def test_quotes_that_markdown_takes_long_for_are_read_apart_however_short_they_are(quote: str) -> None:
    """In `parley serve` nobody else would be served meanwhile."""
    parser = SafeParser(timeout=0.1, at_once=0)

    with pytest.raises(Unavailable, match="Too many documents"):
        parser.parse(f"|a|b|\n{quote}\n".encode() * 51, name="a.md", media_type=None)


_SCRIPT = """
import os, signal, sys
if sys.argv[1] == "gevent":
    from gevent import monkey
    monkey.patch_all()
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # As gunicorn does.
from adapters.parsing.parser import SafeParser
from application.ports.parsing import DocumentUnreadable

ticks = 0
if sys.argv[1] == "gevent":
    import gevent
    def tick():
        global ticks
        while True:
            gevent.sleep(0)
            ticks += 1
    gevent.spawn(tick)
content = sys.stdin.buffer.read()
print(SafeParser().parse(content, name="a.pdf", media_type=None).pieces[0].text)
try:
    SafeParser(timeout=0.01).parse(content, name="a.pdf", media_type=None)
except DocumentUnreadable as unreadable:
    print(unreadable.slug)
print(SafeParser().parse(b"# Hi", name="a.md", media_type=None).title)
waitpid = monkey.get_original("os", "waitpid") if sys.argv[1] == "gevent" else os.waitpid
try:
    print(waitpid(-1, os.WNOHANG))
except ChildProcessError:
    print("no child is left")
print(sorted(sys.modules.keys() & {"pypdf", "docx", "lxml", "charset_normalizer"}))
print(ticks > 10)
"""


@pytest.mark.parametrize("runtime", ["threads", "gevent"])
def test_it_runs_anywhere_and_leaves_nothing_behind(runtime: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _SCRIPT, runtime],
        input=pdf(["Read in a child"]),
        capture_output=True,
        cwd=tmp_path,
        env={"PYTHONPATH": str(Path(__file__).parents[2] / "src"), "SECRET": "x"},
        timeout=120,
        check=False,
    )

    assert ["Read in a child", "document_timed_out", "Hi", "no child is left", "[]", str(runtime == "gevent")] == (
        done.stdout.decode().splitlines()
    ), done.stderr.decode()
