import io
import re
import time
import unicodedata

import pytest
from hypothesis import given, strategies as st
from pypdf import PdfWriter
from pypdf.generic import DecodedStreamObject, DictionaryObject, NameObject

from aistack.errors import InvalidError, TooLargeError
from aistack.knowledge.extract import Extracted, extract

MUCH = 8 * 1024 * 1024


def read(
    source: str | bytes, path: str = "a/page.html", kind: str | None = None, most: int = MUCH
) -> Extracted:
    data = source.encode() if isinstance(source, str) else source
    return extract(data, path=path, content_type=kind, most_bytes=most)


def pdf(text: str, password: str = "", title: str = "") -> bytes:
    writer = PdfWriter()
    page = writer.add_blank_page(300, 300)
    font = DictionaryObject(
        {
            NameObject("/Type"): NameObject("/Font"),
            NameObject("/Subtype"): NameObject("/Type1"),
            NameObject("/BaseFont"): NameObject("/Helvetica"),
        }
    )
    page[NameObject("/Resources")] = DictionaryObject(
        {NameObject("/Font"): DictionaryObject({NameObject("/F1"): font})}
    )
    stream = DecodedStreamObject()
    stream.set_data(f"BT /F1 12 Tf 50 200 Td ({text}) Tj ET".encode())
    page[NameObject("/Contents")] = writer._add_object(stream)
    if title:
        writer.add_metadata({"/Title": title})
    if password:
        writer.encrypt(password, algorithm="RC4-128")
    out = io.BytesIO()
    writer.write(out)
    return out.getvalue()


@pytest.mark.parametrize(
    ("path", "declared", "expected", "kind"),
    [
        ("x.md", None, "text/markdown", "prose"),
        ("x.MARKDOWN", None, "text/markdown", "prose"),
        ("x.htm", None, "text/html", "prose"),
        ("x.rst", None, "text/x-rst", "prose"),
        ("x.nix", None, "text/x-source", "code"),
        ("Makefile", None, "text/x-source", "code"),
        ("LICENSE", None, "text/plain", "prose"),
        ("x.unheard", None, "text/plain", "prose"),
        ("x.html", "text/plain; charset=utf-8", "text/plain", "prose"),
        ("x", "Text/X-Markdown", "text/markdown", "prose"),
        ("x", "application/json", "text/x-source", "code"),
        ("x", "text/x-python", "text/x-source", "code"),
        ("x", "application/xhtml+xml", "text/html", "prose"),
    ],
)
def test_media_type(path: str, declared: str | None, expected: str, kind: str) -> None:
    result = read("text", path, declared)
    assert (result.content_type, result.kind, result.text) == (expected, kind, "text")


@pytest.mark.parametrize(
    ("source", "path", "declared", "detail"),
    [
        (b"", "a.md", None, "the document is empty"),
        (b" \r\n\t", "a.html", None, "the document is empty"),
        (b"\xef\xbb\xbf \n", "a.txt", None, "the document is empty"),
        (b"a\0b", "a", None, "not UTF-8 text; "),
        (b"a\0b", "a.html", None, "not UTF-8 text; "),
        (b"caf\xe9", "a.txt", None, "not UTF-8 text; "),
        (b"\xed\xa0\x80", "a.txt", None, "not UTF-8 text; "),
        (b"caf\xe9", "a.html", None, "not UTF-8 text; "),
        (b"<meta charset=utf-7>caf\xe9", "a.html", None, "not UTF-8 text; "),
        (b"<meta charset=nonsense>caf\xe9", "a.html", None, "not UTF-8 text; "),
        (b"<meta charset=latin1>caf\xe9\x81", "a.html", None, "not UTF-8 text; "),
        (b"bell \x07", "a.md", None, "control character U+0007"),
        (b"x", "a", "image/png", "unknown media type 'image/png'"),
        (b"<script>x</script>", "a.html", None, "no readable text"),
        (b"<!-- x -->", "a.html", None, "no readable text"),
        (b"%PDF-1.7 nonsense", "a.pdf", None, "damaged"),
        (b"x", "a.pdf", None, "damaged"),
        (pdf(""), "a.pdf", None, "no text layer"),
        (pdf("Hello", password="secret"), "a.pdf", None, "encrypted"),
    ],
)
def test_refused(source: bytes, path: str, declared: str | None, detail: str) -> None:
    with pytest.raises(InvalidError, match=re.escape(detail)):
        read(source, path, declared)


@given(source=st.binary(max_size=200), suffix=st.sampled_from("md html rst txt py pdf".split()))
def test_any_bytes_are_read_or_refused(source: bytes, suffix: str) -> None:
    try:
        result = read(source, f"x.{suffix}")
    except InvalidError:
        return
    assert result.text.strip()
    assert result.title


@given(text=st.text(st.characters(exclude_categories=["Cc", "Cs"])).filter(str.strip))
def test_plain_text_is_kept(text: str) -> None:
    assert read("x" + text, "x.txt").text == unicodedata.normalize("NFC", "x" + text)


def test_bom_is_dropped_and_text_is_composed() -> None:
    assert read(b"\xef\xbb\xbfe\xcc\x81\r\n", "a.txt").text == "\u00e9\r\n"


def test_html_keeps_what_is_read_and_drops_the_rest() -> None:
    page = """<!DOCTYPE html><html><head><title>Guide - Site</title><style>p{}</style></head><body>
    <nav>Menu</nav><main><h1>Guide<a class="headerlink" href="#x">¶</a></h1>
    <p>Some <b>bold</b>\n text.<script>alert(1)</script></p><h2>List</h2>
    <ul><li>one</li><li><p>two</p></li></ul>
    <table><tr><th>Name</th><th>Value</th></tr><tr><td><p>a</p></td><td>1</td></tr></table>
    <pre># comment\n  <b>x</b> &lt; 1\n</pre><dl><dt>term</dt><dd>meaning</dd></dl><p># 1</p>
    </main><footer hidden>secret</footer></body></html>"""
    result = read(page)
    assert result.title == "Guide"
    assert result.text == (
        "# Guide\n\nSome bold text.\n\n## List\n\n- one\n- two\n\nName | Value\na | 1\n\n"
        "```\n# comment\n  x < 1\n```\n\nterm\nmeaning\n\n\\# 1"
    )


def test_html_without_main_title_or_heading() -> None:
    result = read("<p>a<br>b</p>c")
    assert (result.title, result.text) == ("page.html", "a\nb\n\nc")
    assert read("<main></main><p>outside").text == "outside"


def test_html_fence_outgrows_its_text() -> None:
    assert read("<pre>```\nx\n```</pre>").text == "````\n```\nx\n```\n````"


def test_html_encodings() -> None:
    assert read(b"<meta charset='iso-8859-1'><p>caf\xe9 \x93").text == "café “"
    assert read(b"<p>caf\xe9", kind="text/html; charset=latin1").text == "café"
    assert read("<meta charset='latin1'><p>café").text == "café"
    assert read("<?xml version='1.0' encoding='UTF-8'?><html><body><p>é").text == "é"


@pytest.mark.parametrize("path", ["a.txt", "a.md", "a.rst", "a.el", "LICENSE", "a.html"])
def test_a_form_feed_is_a_page_break(path: str) -> None:
    text = read("end of page one\fpage two begins", path).text
    assert text.split() == ["end", "of", "page", "one", "page", "two", "begins"]
    assert "\f" not in text
    assert read("one\n\f\n# Two\n\ntext", "a.md").text == "one\n\n\n# Two\n\ntext"
    with pytest.raises(InvalidError, match=r"no readable text|is empty"):
        read("\f\f", path)


def test_html_control_characters_are_removed() -> None:
    assert read("<p>a&#7;b\x1bc").text == "abc"


def test_html_is_fast_and_survives_depth() -> None:
    begin = time.perf_counter()
    assert "deep" in read("<div>" * 10_000 + "deep" + "</div>" * 10_000).text
    assert "deep" in read("<b>" * 3_000 + "deep").text
    text = read("<table><tr><td>" + "<p>word <i>x</i></p>\n" * 150_000).text
    assert text.startswith("word x word x")
    assert time.perf_counter() - begin < 20


def test_markdown_headings_and_title() -> None:
    text = "intro\n\nTitle\n=====\n\n```\nno\n==\n```\n\nSub\r\n---\r\n\npara\n\n---\n\n# Other #\n"
    result = read(text, "a.md")
    assert result.title == "Title"
    assert "# Title\n" in result.text
    assert "no\n==" in result.text
    assert "## Sub" in result.text
    assert read("a\n\n# One #\n", "a.md").title == "One"
    assert read("## only\n", "b/a.md").title == "a.md"
    assert read('---\ntitle: "Front"\n---\n# One\n', "a.md").title == "Front"


def test_rst_headings_code_and_markup() -> None:
    text = (
        ".. _target:\n\n=====\nTitle\n=====\n\nSee :func:`~os.path` and :ref:`this <that>`.\n\n"
        "Part\n----\n\n.. code-block:: python\n\n   # code\n   x = 1\n\nDeep\n^^^^\n\nNext\n----\n"
    )
    result = read(text, "a.rst")
    assert result.title == "Title"
    lines = result.text.splitlines()
    assert [line for line in lines if line.startswith("#")] == [
        "# Title", "## Part", "### Deep", "## Next",
    ]  # fmt: skip
    assert "See os.path and this." in lines
    assert "   x = 1" in lines
    assert "_target" not in result.text


def test_pdf() -> None:
    result = read(pdf("Hello page", title="A title"), "a.pdf")
    assert (result.title, result.text, result.kind) == ("A title", "Hello page", "prose")
    assert read(pdf("Hello"), "b/a.pdf").title == "a.pdf"


@pytest.mark.parametrize("path", ["a.txt", "a.md", "a.rst", "a.py", "a.html", "a.pdf"])
def test_the_text_of_any_format_has_a_bound_in_bytes(path: str) -> None:
    source = pdf("12345678") if path == "a.pdf" else b"12345678"
    assert read(source, path, most=8).text == "12345678"
    with pytest.raises(TooLargeError, match=r"more than 7 bytes of text, 8 times limits\.document"):
        read(source, path, most=7)


def test_an_entity_that_a_page_defines_is_not_expanded() -> None:
    entities = "".join(f'<!ENTITY e{n} "{f"&e{n - 1};" * 10}">' for n in range(1, 12))
    source = f'<!DOCTYPE html [<!ENTITY e0 "laugh">{entities}]><html><body><p>ha &e11;</p></body>'
    assert len(read(source, "a.xhtml").text) < len(source)
