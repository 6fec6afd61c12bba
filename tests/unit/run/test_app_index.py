import base64
import re
from pathlib import Path

import jinja2
import nbformat
import pytest
from PIL import Image

from landscape_utils.run import app_index
from tests import ROOT

NOTEBOOKS = sorted((ROOT / "notebooks").glob("[0-9]*.ipynb"))


def rendered(folder: Path, pages: list[Path]) -> str:
    app_index.write_template(pages, folder)
    places = jinja2.FileSystemLoader(folder / "voila" / "templates" / app_index.TEMPLATE)
    return jinja2.Environment(loader=places).get_template("tree-lab.html").render(base_url="/at/", query="token=t")


def test_every_notebook_has_a_card_with_its_picture_question_and_minutes(tmp_path: Path) -> None:
    page = rendered(tmp_path, NOTEBOOKS)
    assert re.findall(r'<h2><a href="([^"]*)"', page) == [f"/at/voila/render/{p.name}?token=t" for p in NOTEBOOKS]
    pictures = re.findall(r'<img src="data:image/png;base64,([^"]*)" alt="The panel of [^"]+">', page)
    assert len(pictures) == len(NOTEBOOKS)
    for number, picture in enumerate(pictures):
        (tmp_path / f"{number}.png").write_bytes(base64.b64decode(picture, validate=True))
        Image.open(tmp_path / f"{number}.png").verify()
    asked = re.findall(r"</h2>\n<p>(.*?)</p>\n<p class=.minutes.>(\d+) minutes in class", page, flags=re.S)
    assert len(asked) == len(NOTEBOOKS)
    assert all(question.strip() and int(minutes) > 0 for question, minutes in asked)


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("Is `a < b`?", "Is a &lt; b?"),
        ("See [the *other* one](x.ipynb).", "See the other one."),
        ("What is {{ 7 * 7 }}?", "What is &#123;&#123; 7  7 }}?"),
    ],
)
def test_a_question_is_read_neither_as_html_nor_as_a_template(written: str, shown: str, tmp_path: Path) -> None:
    cells = [nbformat.v4.new_markdown_cell(text) for text in ("# 11 · Mine", f"## Explore\n\n**Question.** {written}")]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), tmp_path / "11_mine.ipynb")
    assert f"<p>{shown}</p>" in rendered(tmp_path, [tmp_path / "11_mine.ipynb"]).replace("&amp;", "&")


def test_while_a_kernel_starts_a_sentence_is_shown(tmp_path: Path) -> None:
    app_index.write_template([], tmp_path)
    source = (tmp_path / "voila" / "templates" / app_index.TEMPLATE / "spinner.macro.html.j2").read_text()
    macros = jinja2.Environment().from_string(source).module
    assert "reads what was computed before" in macros.html()  # type: ignore[attr-defined]
    assert 'id="loading_text"' in macros.html()  # type: ignore[attr-defined]  # where Voila counts cells
