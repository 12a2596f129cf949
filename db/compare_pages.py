"""Pictures of changed pixel maps, and a page that shows them."""

from __future__ import annotations

from html import escape as html
from pathlib import Path
from typing import TYPE_CHECKING

from db.chips.picture import difference_picture
from db.chips.pixels import decode
from db.compare_items import Pixels
from db.compare_text import pixels_text, text_of
from db.exchange.files import Names, write

if TYPE_CHECKING:
    from db.compare import RunkeyDiff


def write_pages(diff: RunkeyDiff, folder: Path) -> list[Path]:
    """A PNG of what differs per changed map, called like FELIX1_OB1_FE3.png, and an index.html; all that was written.

    `folder` must exist. FileExistsError when one of the files does.
    """
    names = Names("index.html")
    written: list[Path] = []
    rows: list[str] = []
    for item in diff.items:
        if not isinstance(item, Pixels):
            continue
        before, after = (decode(content, item.chip) for content in diff.contents(item))
        stem = item.path.strip("/").replace("/", "_")
        if item.role != "pixels":
            stem += f"_{item.role}"
        file = folder / names.of(stem, ".png")
        write(file, difference_picture(before, after, title=item.path))
        written.append(file)
        words = html(f"{item.path}: {pixels_text(item)}")
        rows.append(
            f'<figure><img src="{html(file.name.replace("%", "%25"))}" alt=""><figcaption>{words}</figcaption></figure>'
        )
    page = folder / "index.html"
    summary = html(text_of(diff, "/", False, 200))
    write(
        page,
        f"""<!doctype html>
<meta charset="utf-8">
<title>Differences</title>
<style>body {{ font-family: sans-serif }} figure {{ margin: 2em 0 }} img {{ max-width: 100% }}</style>
<h1>Differences</h1>
<pre>{summary}</pre>
{chr(10).join(rows)}
""".encode(),
    )
    return [*written, page]
