"""Fonts in the PDF files of figures."""

import io
import re
import zlib

from fontTools.subset import Options
from fontTools.ttLib import TTFont, TTLibError
from matplotlib.figure import Figure

from twirlscope.report.figures import embedded_fonts, style

TEXT = "Equivariance error αβ 10⁻³"


def pdf():
    canvas = Figure()
    canvas.text(0.1, 0.5, TEXT, family="DejaVu Sans")
    return style.rendered(canvas, "pdf")


def fonts(content):
    """The fonts in a PDF file."""
    for stream in re.findall(rb"stream\r?\n(.*?)\r?\nendstream", content, re.DOTALL):
        try:
            yield TTFont(io.BytesIO(zlib.decompress(stream)))
        except (zlib.error, TTLibError):
            continue


def test_pdf__has_the_outlines_of_its_letters_and_no_tables_for_their_layout():
    found = list(fonts(pdf()))
    assert found
    assert not [tag for font in found for tag in embedded_fonts.LAYOUT if tag in font]
    names = {name for font in found for name in font.getGlyphOrder() if font["glyf"][name].numberOfContours}
    assert names - {".notdef", ".null"} >= {"E", "q", "alpha", "beta", "one"}
    assert len(names) < 2 * len(TEXT)


def test_context__leaves_the_settings_of_the_library_as_they_were():
    before = list(Options().drop_tables)
    pdf()
    assert Options().drop_tables == before
    with embedded_fonts.outlines_alone():
        assert set(Options().drop_tables) == {*before, *embedded_fonts.LAYOUT}


def test_pdf__has_the_same_pages_without_those_tables(monkeypatch):
    def pages(content):
        streams = re.findall(rb"stream\r?\n(.*?)\r?\nendstream", content, re.DOTALL)
        texts = []
        for stream in streams:
            try:
                texts.append(zlib.decompress(stream))
            except zlib.error:
                continue
        return [text for text in texts if b" Tf" in text]

    short = pdf()
    monkeypatch.setattr(embedded_fonts, "LAYOUT", ())
    whole = pdf()
    assert pages(short) == pages(whole) != []
    assert len(short) <= len(whole)
