"""A one-page PDF of a few lines of text: small, valid, and the same bytes for the same text. No layout, no fonts."""

from collections.abc import Iterable

_TOP, _LEADING, _SIZE = 800, 16, 11  # points; an A4 page is 595 x 842


def one_page_pdf(lines: Iterable[str]) -> bytes:
    """`lines` from the top of an A4 page in Helvetica; a character outside Windows-1252 is shown as `?`."""
    shown = [f"1 0 0 1 50 {_TOP - _LEADING * row} Tm ({_escaped(line)}) Tj" for row, line in enumerate(lines)]
    content = "\n".join(["BT", f"/F1 {_SIZE} Tf", *shown, "ET"]).encode("cp1252", errors="replace")
    objects = (
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents 4 0 R"
        b" /Resources << /Font << /F1 5 0 R >> >> >>",
        b"<< /Length %d >>\nstream\n%s\nendstream" % (len(content), content),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>",
    )
    # The comment of four high bytes tells transfer programs that the file is binary (ISO 32000-1, 7.5.2).
    body, offsets = bytearray(b"%PDF-1.4\n%\xe2\xe3\xcf\xd3\n"), []
    for number, content in enumerate(objects, start=1):
        offsets.append(len(body))
        body += b"%d 0 obj\n%s\nendobj\n" % (number, content)
    start = len(body)
    body += b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1)
    for offset in offsets:
        body += b"%010d 00000 n \n" % offset
    body += b"trailer\n<< /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n" % (len(objects) + 1, start)
    return bytes(body)


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace("(", r"\(").replace(")", r"\)")
