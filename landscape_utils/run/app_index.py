"""The app's own pages, as a Voila template: a card a notebook, and what is said while a kernel starts."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from html import escape
from pathlib import Path

from landscape_utils.kit.files import write_atomically
from landscape_utils.suite.notebooks import minutes_in_class, read_notebook

TEMPLATE = "landscape"
QUESTION = "**Question.**"

_INDEX = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Landscape notebooks</title>
<link rel="icon" href="data:;base64,=">
<style>
body {{ font: 17px/1.45 sans-serif; color: #1a1a1a; background: #f3f3f3 }}
main {{ margin: 0 auto; max-width: 1240px; padding: 1rem }}
ul {{ list-style: none; padding: 0; display: grid; gap: 1.2rem }}
ul {{ grid-template-columns: repeat(auto-fill, minmax(22rem, 1fr)) }}
li {{ background: white; border: 1px solid #ccc; border-radius: 6px; padding: 1rem }}
li:hover {{ border-color: #333 }}
li img {{ width: 100%; height: 13rem; object-fit: contain }}
h2 {{ font-size: 1.2rem; margin: .6rem 0 }}
a {{ color: #0b4f8a }}
a:focus-visible {{ outline: 3px solid #d55e00; outline-offset: 3px }}
.minutes {{ color: #4a4a4a }}
</style>
</head>
<body>
<main>
<h1>Why do deep networks generalise?</h1>
<p>Choose a panel: each shows one view of trained networks, and asks a question.</p>
<ul>
{cards}
</ul>
</main>
</body>
</html>
"""

_CARD = """<li>
<img src="data:image/png;base64,{picture}" alt="The panel of {title}">
<h2><a href="{{{{ base_url }}}}voila/render/{name}?{{{{ query }}}}">{title}</a></h2>
<p>{question}</p>
<p class="minutes">{minutes} minutes in class</p>
</li>"""

# In place of Voila's turning wheel; it counts cells in what has the id.
_WAITING = """{% macro css() %}
<style>#loading { font: 18px/1.5 sans-serif; max-width: 36rem; margin: 20vh auto; padding: 0 1rem }</style>
{% endmacro %}
{% macro html() %}
<div id="loading" role="status">
<h1>The panel is being prepared</h1>
<p>A Python process of your own starts and reads what was computed before: ten to thirty seconds. What was not computed
yet is computed now, which takes minutes.</p>
<p id="loading_text">Starting</p>
</div>
{% endmacro %}
"""


def write_template(pages: Sequence[Path], folder: Path) -> None:
    """Write the template under a folder of Jupyter's data, where Voila finds it by its name.

    Args:
        pages: the notebooks that have cards, in their order.
        folder: to be named in `$JUPYTER_PATH`.
    """
    place = folder / "voila" / "templates" / TEMPLATE
    write_atomically(place / "conf.json", json.dumps({"base_template": "lab"}).encode())
    write_atomically(place / "tree-lab.html", _INDEX.format(cards="\n".join(map(card, pages))).encode())
    write_atomically(place / "spinner.macro.html.j2", _WAITING.encode())


def card(path: Path) -> str:
    """Write a notebook's card: title, question, minutes, and the picture of its panel that the file holds."""
    cells = read_notebook(path)["cells"]
    title = cells[0]["source"].splitlines()[0].removeprefix("# ")
    asked = next((text for c in cells for text in c["source"].split("\n\n") if text.startswith(QUESTION)), "")
    shown = [output.get("data", {}) for c in cells if "panel" in c["tags"] for output in c.get("outputs", [])]
    picture = next(("".join(data["image/png"]).replace("\n", "") for data in shown if "image/png" in data), "")
    return _CARD.format(
        picture=picture,
        title=_plain(title),
        name=path.name,
        question=_plain(asked.removeprefix(QUESTION)),
        minutes=minutes_in_class(path),
    )


def _plain(text: str) -> str:
    """Take Markdown's marks and links away, and keep what is left from being read as HTML or as a template."""
    without = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", text).replace("`", "").replace("*", "")
    return escape(without.strip()).replace("{", "&#123;")
