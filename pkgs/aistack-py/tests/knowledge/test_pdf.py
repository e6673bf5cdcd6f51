"""PDFs that are small and take much: each is refused in time, and says which bound it met."""

import io
import signal
import zlib

import pytest

from aistack.errors import InvalidError, TooLargeError, UnavailableError
from aistack.kit import process
from aistack.knowledge.extract import pdf, pdf_reader

MUCH = 8 * 1024 * 1024
FONT = b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>"
COUNTING_FONT = (
    b"<</Type/Font/Subtype/Type0/BaseFont/X/DescendantFonts[<</W[0 999999999999 500]>>]>>"
)
SHOW = b"BT /F1 12 Tf 50 200 Td (%s) Tj ET"


def built(objects: list[bytes]) -> bytes:
    """A file of these objects; the first is its catalogue."""
    out = io.BytesIO()
    out.write(b"%PDF-1.4\n")
    places = []
    for number, content in enumerate(objects, start=1):
        places.append(out.tell())
        out.write(b"%d 0 obj\n%s\nendobj\n" % (number, content))
    table = out.tell()
    out.write(b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1))
    for place in places:
        out.write(b"%010d 00000 n \n" % place)
    out.write(b"trailer <</Size %d/Root 1 0 R>>\nstartxref\n" % (len(objects) + 1))
    out.write(b"%d\n%%%%EOF" % table)
    return out.getvalue()


def stream(data: bytes) -> bytes:
    packed = zlib.compress(data, 9)
    return b"<</Length %d/Filter/FlateDecode>>stream\n%s\nendstream" % (len(packed), packed)


def pages(number: int, content: bytes, font: bytes = FONT) -> bytes:
    """So many pages that all show the same stream."""
    kids = b" ".join(b"%d 0 R" % (5 + page) for page in range(number))
    tree = (
        b"<</Type/Pages/Count %d/Kids[%s]/Resources<</Font<</F1 3 0 R>>>>/MediaBox[0 0 9 9]>>"
        % (number, kids)
    )
    page = b"<</Type/Page/Parent 2 0 R/Contents 4 0 R>>"
    return built([b"<</Type/Catalog/Pages 2 0 R>>", tree, font, content, *[page] * number])


def endless_tree() -> bytes:
    """Ten to the twelfth pages: each node of the tree has the next one ten times."""
    nodes = [
        b"<</Type/Pages/Count 1/Kids[%s]>>" % (b"%d 0 R " % (3 + level) * 10) for level in range(12)
    ]
    return built([b"<</Type/Catalog/Pages 2 0 R>>", *nodes, b"<</Type/Page/Parent 2 0 R>>"])


def test_pages_that_share_their_text_are_counted_while_it_grows() -> None:
    source = pages(1000, stream(SHOW % (b"lorem ipsum " * 5000)))
    assert len(source) < 100_000
    with pytest.raises(TooLargeError) as caught:
        pdf.read(source, 200_000)
    assert caught.value.detail == (
        "the document has more than 200000 bytes of text, 8 times limits.document_bytes; split it"
    )
    assert len(pdf.read(pages(3, stream(SHOW % b"word")), 12).text) == len("word\n\nword\n\nword")


def test_the_number_of_pages_has_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pdf_reader, "PAGES", 2)
    assert pdf_reader.read(pages(2, stream(SHOW % b"x")), MUCH).text == "x\n\nx"
    with pytest.raises(TooLargeError, match="the PDF has more than 2 pages; split it"):
        pdf_reader.read(pages(3, stream(SHOW % b"x")), MUCH)


def test_a_stream_that_unpacks_to_a_thousand_times_its_size_is_refused() -> None:
    with pytest.raises(TooLargeError, match="the PDF unpacks to more than can be read; split it"):
        pdf.read(pages(1, stream(b" " * 100_000_000)), MUCH)


def test_a_page_that_never_ends_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pdf, "SECONDS", 1)
    with pytest.raises(TooLargeError, match="the PDF takes more than 1 s to read; split it"):
        pdf.read(pages(1, stream(SHOW % b"x"), COUNTING_FONT), MUCH)


def test_a_tree_of_pages_that_never_ends_meets_the_bound_on_memory(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pdf, "MEMORY_BYTES", 100_000_000)
    with pytest.raises(TooLargeError) as caught:
        pdf.read(endless_tree(), MUCH)
    assert caught.value.detail == (
        "the PDF takes more than 100000000 bytes of memory to read; split it"
    )


@pytest.mark.parametrize("left_alone", [signal.SIGXCPU, signal.SIGALRM])
def test_a_process_that_ended_itself_was_late(
    monkeypatch: pytest.MonkeyPatch, left_alone: signal.Signals
) -> None:
    monkeypatch.setattr(process, "through", failing(-left_alone))
    with pytest.raises(TooLargeError, match="the PDF takes more than 30 s to read; split it"):
        pdf.read(b"%PDF-1.4", MUCH)


def test_a_process_that_crashed_met_the_bound_on_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "through", failing(-signal.SIGSEGV))
    with pytest.raises(TooLargeError, match="the PDF takes more than 1073741824 bytes of memory"):
        pdf.read(b"%PDF-1.4", MUCH)


def test_a_process_that_the_kernel_killed_had_too_little_memory(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(process, "through", failing(-signal.SIGKILL))
    with pytest.raises(TooLargeError, match="the PDF takes more memory to read than there is"):
        pdf.read(b"%PDF-1.4", MUCH)


def test_a_process_that_was_ended_is_no_fault_of_the_document(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(process, "through", failing(-signal.SIGTERM))
    with pytest.raises(UnavailableError) as caught:
        pdf.read(b"%PDF-1.4", MUCH)
    assert caught.value.detail == "the PDF cannot be read now"
    assert [record.message for record in caplog.records] == ["internals"]


def failing(status: int) -> object:
    def through(*_args: object) -> bytes:
        raise process.FailedError("internals", status)

    return through


def test_what_does_not_begin_as_a_pdf_needs_no_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(process, "through")
    with pytest.raises(InvalidError, match="it does not begin as one"):
        pdf.read(b" " * 1020 + b"%PDF-1.4", MUCH)


def test_the_mark_may_stand_behind_some_bytes() -> None:
    source = b"\n" * 100 + pages(1, stream(SHOW % b"word"))
    assert pdf.read(source, MUCH).text == "word"
