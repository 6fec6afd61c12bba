"""One page of what was found: every claim beside its paper's figure, this run's, and the picture it was read from."""

from __future__ import annotations

import base64
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any, get_args

from landscape_utils.kit.clock import Work
from landscape_utils.kit.files import UNFINISHED
from landscape_utils.suite import claims
from landscape_utils.suite.claims import Judgement, Verdict
from landscape_utils.suite.ledger import CLAIMS
from landscape_utils.suite.session import out_folder

COLOURS: dict[Verdict, str] = {  # told apart by all
    "reproduced": "#0072b2",
    "partly reproduced": "#56b4e9",
    "not reproduced": "#d55e00",
    "undecided": "#009e73",
    "not tested": "#777777",
}
STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #222; }
table { border-collapse: collapse; } td, th { padding: .2rem .8rem .2rem 0; text-align: left; vertical-align: top; }
img { max-width: 100%; margin: 1rem 0; } h2 { margin-top: 3rem; border-top: 1px solid #ccc; padding-top: 1rem; }
article { margin: 1.5rem 0; padding-left: 1rem; border-left: 4px solid var(--verdict); }
article h3 { margin: 0; font-size: 1rem; } .verdict { color: var(--verdict); font-weight: bold; }
dl { display: grid; grid-template-columns: 7rem 1fr; gap: .1rem 1rem; margin: .5rem 0; } dd { margin: 0; }
dt, .about { color: #666; } .about { font-size: .9rem; }
"""


@dataclass(frozen=True)
class Section:
    """One notebook's claims.

    Attributes:
        judgements: in the notebook's order.
        provenance: what they rest on: notebook, profile, data, seeds, machine, versions.
        pictures: files, by claim, where there is one.
    """

    judgements: Sequence[Judgement]
    provenance: Mapping[str, Any]
    pictures: Mapping[str, Path]


def gather(out: Path, figures: Path) -> list[Section]:
    """Read the claims of all notebooks that ran.

    Args:
        out: folder of `*.claims.json`.
        figures: folder of pictures.

    Raises:
        FileNotFoundError: no notebook has run.
        ValueError: a file holds no claims.
    """
    files = sorted(out.glob("*.claims.json"))
    if not files and not missing(out):
        raise FileNotFoundError(f"{out} holds no claims; run a notebook first, e.g. landscape run 01_cctm --out {out}")
    sections = []
    for file in files:
        judgements, provenance = claims.load(file)
        pictures = {j.id: _picture(figures, provenance["notebook"], j.id) for j in judgements}
        sections.append(Section(judgements, provenance, {i: path for i, path in pictures.items() if path is not None}))
    return sections


def missing(out: Path) -> list[str]:
    """Read why notebooks have no claims: a sentence each of those that did not finish."""
    return [file.read_text() for file in sorted(out.glob(f"*{UNFINISHED}"))]


def _picture(figures: Path, notebook: str, claim: str) -> Path | None:
    """Find the picture a claim was read from; a notebook may draw one a network."""
    picture = CLAIMS[claim].picture
    if not picture:
        return None
    exact = figures / f"{notebook}-{picture}.png"
    others = sorted(figures.glob(f"{notebook}-{picture}-*.png"))
    return exact if exact.exists() else next(iter(others), None)


def sentences(sections: Sequence[Section]) -> list[str]:
    """Write one sentence a paper: what of it was reproduced, what in part, what not, and the rest."""
    papers: dict[str, dict[Verdict, list[str]]] = {}
    for judgement in (j for section in sections for j in section.judgements):
        claim = CLAIMS[judgement.id]
        papers.setdefault(claim.paper, {}).setdefault(judgement.verdict, []).append(f"{claim.short} ({claim.id})")
    return [_sentence(paper, by_verdict) for paper, by_verdict in papers.items()]


def _sentence(paper: str, by_verdict: Mapping[Verdict, Sequence[str]]) -> str:
    listed = [f"{verdict}: {', '.join(by_verdict[verdict])}" for verdict in get_args(Verdict) if verdict in by_verdict]
    return f"{paper.capitalize()}, {'; '.join(listed)}."


def rests_on(provenance: Mapping[str, Any]) -> str:
    """Return what a notebook's claims rest on, in a line."""
    versions = ", ".join(f"{name} {version}" for name, version in provenance["versions"].items())
    seeds = ", ".join(map(str, provenance["seeds"]))
    return f"profile {provenance['profile']}; {provenance['data']}; seeds {seeds}; {provenance['machine']}; {versions}"


def markdown(sections: Sequence[Section], unfinished: Sequence[str] = (), *, beside: Path) -> str:
    """Write the page as Markdown.

    Args:
        sections: of `gather`.
        unfinished: of `missing`.
        beside: the folder of the page, from which it links to the pictures.
    """
    parts = ["# What was found", *sentences(sections)]
    parts += [f"**Missing:** {sentence}." for sentence in unfinished]
    for section in sections:
        parts += [f"## {section.provenance['notebook']}", rests_on(section.provenance).capitalize() + "."]
        parts.append(claims.markdown_table(section.judgements))
        for picture, ids in _by_picture(section).items():
            parts.append(f"![{', '.join(ids)}]({Path(os.path.relpath(picture, beside)).as_posix()})")
    return "\n\n".join(parts) + "\n"


def html(sections: Sequence[Section], unfinished: Sequence[str] = ()) -> str:
    """Write the page as HTML that stands alone: the pictures are in it."""
    body = ["<h1>What was found</h1>", *(f"<p>{escape(sentence)}</p>" for sentence in sentences(sections))]
    body += [f"<p><b>Missing:</b> {escape(sentence)}.</p>" for sentence in unfinished]
    body.append(_overview(sections))
    for section in sections:
        name = section.provenance["notebook"]
        body.append(f'<h2 id="{name}">{name}</h2><p class="about">{escape(rests_on(section.provenance))}</p>')
        shown = _by_picture(section)
        for judgement in section.judgements:
            body.append(_article(judgement))
            for picture, ids in shown.items():
                if ids[-1] == judgement.id:
                    body.append(_image(picture, ids))
    head = f'<meta charset="utf-8"><title>What was found</title><style>{STYLE}</style>'
    return f'<!doctype html><html lang="en"><head>{head}</head><body>{"".join(body)}</body></html>\n'


def overview(out: Path | None = None) -> str:
    """Count the verdicts of all notebooks that ran, as a Markdown table.

    Args:
        out: folder of their claims; by default where notebooks write.
    """
    folder = out or out_folder()
    if not any(folder.glob("*.claims.json")):
        return "No notebook has been run here yet: `landscape run --all`."
    verdicts = get_args(Verdict)
    lines = ["| notebook | profile | " + " | ".join(verdicts) + " |", "|---" * (2 + len(verdicts)) + "|"]
    for section in gather(folder, folder):
        counts = Counter(j.verdict for j in section.judgements)
        cells = [section.provenance["notebook"], section.provenance["profile"], *(str(counts[v]) for v in verdicts)]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def seconds(whole: Mapping[str, float], out: Path) -> str:
    """Write a table of the seconds that notebooks took: for training, for landscapes, for the rest, and in all.

    Args:
        whole: seconds by notebook, the start of its kernel included.
        out: folder of their claims, which say what training and landscapes took.
    """
    rows = {"notebook": ["training", "landscapes", "the rest", "in all"]}
    for name, all_of_it in whole.items():
        file = out / f"{name}.claims.json"
        parts = claims.load(file)[1].get("seconds", {}) if file.exists() else {}
        of_works = [parts.get(work, 0.0) for work in get_args(Work)]
        rows[name] = [f"{value:.0f} s" for value in (*of_works, all_of_it - sum(of_works), all_of_it)]
    return "\n".join(f"{name:22s}" + "".join(f"{cell:>12s}" for cell in cells) for name, cells in rows.items())


def _by_picture(section: Section) -> dict[Path, list[str]]:
    """List the claims that were read from each picture."""
    shown: dict[Path, list[str]] = {}
    for claim, picture in section.pictures.items():
        shown.setdefault(picture, []).append(claim)
    return shown


def _overview(sections: Sequence[Section]) -> str:
    rows = []
    for section in sections:
        name, counts = escape(section.provenance["notebook"]), Counter(j.verdict for j in section.judgements)
        cells = "".join(f"<td>{counts[verdict]}</td>" for verdict in get_args(Verdict))
        rows.append(f'<tr><td><a href="#{name}">{name}</a></td>{cells}</tr>')
    names = "".join(f"<th>{verdict}</th>" for verdict in get_args(Verdict))
    return f"<table><tr><th>notebook</th>{names}</tr>{''.join(rows)}</table>"


def _article(judgement: Judgement) -> str:
    claim = CLAIMS[judgement.id]
    facts = {"the paper": f"{claim.reported} ({claim.source})", "note": judgement.note}
    listed = "".join(f"<dt>{name}</dt><dd>{escape(text)}</dd>" for name, text in facts.items() if text)
    verdict = f'<span class="verdict">{judgement.verdict}</span>'
    title = f"<h3>{judgement.id} {escape(claim.statement)} {verdict}</h3>"
    style = f"--verdict: {COLOURS[judgement.verdict]}"
    return f'<article id="{judgement.id}" style="{style}">{title}<dl>{listed}</dl>{_parts(judgement)}</article>'


def _parts(judgement: Judgement) -> str:
    heads = "".join(f"<th>{name}</th>" for name in ("part", "this run", "threshold", "verdict"))
    rows = ("".join(f"<td>{escape(cell.replace('**', ''))}</td>" for cell in claims.cells(p)) for p in judgement.parts)
    return f"<table><tr>{heads}</tr>{''.join(f'<tr>{row}</tr>' for row in rows)}</table>"


def _image(picture: Path, ids: Sequence[str]) -> str:
    data = base64.b64encode(picture.read_bytes()).decode()
    return f'<img alt="{escape(picture.stem)}: {", ".join(ids)}" src="data:image/png;base64,{data}">'
