"""Write docs/findings.md, and what the README says of it: `python -m tests.notebooks.findings`.

Everything on the page stands in the kept records: docs/findings has those of `laptop`, docs/findings/quick the others.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from landscape_utils.kit.files import write_atomically
from landscape_utils.suite import claims, profiles
from landscape_utils.suite.claims import Judgement, Part
from landscape_utils.suite.ledger import CLAIMS
from landscape_utils.suite.notebooks import minutes_in_class, read_notebook
from tests import ROOT

FINDINGS, README = ROOT / "docs" / "findings", ROOT / "README.md"
PAGE, FIGURES = FINDINGS.with_suffix(".md"), ROOT / "figures"
FOLDERS = {"quick": FINDINGS / "quick", "laptop": FINDINGS}  # of the records, by profile
BEGIN = "<!-- what held, as `make notebooks` and `make evidence` write it -->"
END = "<!-- until here -->"
HEAD = """# What was found

Written by `make notebooks` and `make evidence` from the records in [findings](findings); not to be edited.

`quick` has drawn letters and small scans, `laptop` real images; both have small networks. A claim has one or more
parts, each one number with its 95 % interval over seeds against a threshold that stood before the result. A part is
*seen* or *not seen* where the interval lies on one side, *undecided* where it holds the threshold or seeds are fewer
than three, *exact* where it is an identity. What *checks the instrument* holds by construction of the data, and is no
evidence. A claim's name leads to the picture, at `quick`, that it is read from."""


@dataclass(frozen=True)
class Record:
    """What one notebook found at one profile: its claims by id, and what they rest on."""

    judgements: Mapping[str, Judgement]
    about: Mapping[str, Any]


Records = dict[str, dict[str, Record]]  # by notebook, then by profile


def main() -> None:
    """Write the page, and the README's share of it."""
    records = read()
    write_atomically(PAGE, page(records).encode())
    write_atomically(README, in_readme(README.read_text(), records).encode())


def read() -> Records:
    """Read all kept records."""
    records: Records = {}
    for profile, folder in FOLDERS.items():
        for path in sorted(folder.glob("*.json")):
            judgements, about = claims.load(path)
            records.setdefault(path.stem, {})[profile] = Record({j.id: j for j in judgements}, about)
    return dict(sorted(records.items()))


def keep_quick(notebook: str, out: Path) -> None:
    """Keep the record of a notebook that ran at the quick profile; the tour has none."""
    claimed = out / f"{notebook}.claims.json"
    if claimed.exists():
        FOLDERS["quick"].mkdir(exist_ok=True)
        text = json.dumps(json.loads(claimed.read_text()), indent=1) + "\n"
        write_atomically(FOLDERS["quick"] / claimed.name.replace(".claims", ""), text.encode())


def pictures_of(notebook: str) -> tuple[str, ...]:
    """Read from a notebook's section which pictures of `laptop` are kept."""
    module = import_module(f"landscape_utils.sections.{profiles.section(notebook)}.profile")
    names: tuple[str, ...] = getattr(module, "FINDINGS", ())
    return names


# The page


def page(records: Records) -> str:
    """Write all parts of all claims, `quick` beside `laptop`; first those on which the two disagree."""
    blocks = [HEAD, "## Where the two profiles disagree", disagreements(records), "## In short", *sentences(records)]
    blocks += [counts(records)]
    for notebook, by_profile in records.items():
        rests = [rests_on(profile, by_profile.get(profile)) for profile in FOLDERS]
        blocks += [f"## {notebook}", "\n".join(rests)]
        blocks += [parts_table(notebook, by_profile), *kept_pictures(notebook, by_profile)]
    return "\n\n".join(blocks) + "\n"


def disagreements(records: Records) -> str:
    """List the parts that are seen at one profile and not seen at the other."""
    rows = [
        [f"{claim} {CLAIMS[claim].short}", what(found), *map(cell, found.values())]
        for by_profile in records.values()
        for claim, found in by_part(by_profile)
        if {"seen", "not seen"} <= {part.verdict.replace("exact", "seen") for part in found.values()}
    ]
    return claims.table(["claim", "part", *FOLDERS], rows) if rows else "No part is seen at one and not at the other."


def counts(records: Records) -> str:
    """Count the parts of every notebook by verdict and profile."""
    verdicts = ("seen", "exact", "not seen", "undecided", "not tested")
    rows = []
    for notebook, by_profile in records.items():
        for profile, record in by_profile.items():
            counted = Counter(part.verdict for j in record.judgements.values() for part in j.parts)
            rows.append([f"[{notebook}](#{notebook})", profile, *(str(counted[verdict]) for verdict in verdicts)])
    return claims.table(["parts of", "profile", *verdicts], rows)


def rests_on(profile: str, record: Record | None) -> str:
    """Write data, seeds, networks, processor and versions of a record, in a line."""
    if record is None:
        return f"- `{profile}`: no record."
    about = record.about
    numbers = {"seeds": about["seeds"], "networks": about.get("architectures", [])}
    listed = [f"{name} {', '.join(map(str, values))}" for name, values in numbers.items() if values]
    listed += [about["machine"], f"torch {about['versions']['torch']}"]
    listed += [f"{minutes(about['took'])} min"] if "took" in about else []
    return f"- `{profile}`: {'; '.join([about['data'], *listed])}."


def minutes(seconds: float) -> int:
    """Round seconds up to whole minutes."""
    return -int(-seconds // 60)


def parts_table(notebook: str, by_profile: Mapping[str, Record]) -> str:
    """Write a notebook's claims, a part a row; the claim and the verdicts on it stand with its first part."""
    rows, before = [], ""
    for claim, found in by_part(by_profile):
        head = claim_cells(notebook, claim, by_profile) if claim != before else ["", ""]
        criterion = " / ".join(dict.fromkeys(part.criterion for part in found.values()))
        rows.append([*head, what(found), criterion, *(cell(found[p]) if p in found else "-" for p in FOLDERS)])
        before = claim
    return claims.table(["claim", "the paper", "part", "threshold", *FOLDERS], rows)


def claim_cells(notebook: str, id: str, by_profile: Mapping[str, Record]) -> list[str]:
    """Write a claim with what came of it at each profile, and what its paper reports."""
    claim, picture = CLAIMS[id], picture_of(notebook, id)
    name = f"[{id}](../figures/{picture})" if picture else id
    verdicts = ", ".join(f"{p}: **{r.judgements[id].verdict}**" for p, r in by_profile.items() if id in r.judgements)
    return [f"{name} {claim.statement} {verdicts}", f"{claim.reported} ({claim.source})"]


def picture_of(notebook: str, claim: str) -> str | None:
    """Name the committed picture that a claim is read from; a notebook may draw one a network."""
    stem = f"{notebook}-{CLAIMS[claim].picture}"
    found = [*FIGURES.glob(f"{stem}.png"), *sorted(FIGURES.glob(f"{stem}-*.png"))] if CLAIMS[claim].picture else []
    return found[0].name if found else None


def by_part(by_profile: Mapping[str, Record]) -> Iterable[tuple[str, dict[str, Part]]]:
    """Go through a notebook's parts: the claim, and the part by profile."""
    merged: dict[tuple[str, str], dict[str, Part]] = {}
    for profile, record in by_profile.items():
        for judgement in record.judgements.values():
            for part in judgement.parts:
                merged.setdefault((judgement.id, part.name), {})[profile] = part
    order = list(dict.fromkeys(claim for claim, _ in merged))
    for (claim, _), found in sorted(merged.items(), key=lambda item: order.index(item[0][0])):
        yield claim, found


def what(found: Mapping[str, Part]) -> str:
    """Return in words what a part measures."""
    return next(iter(found.values())).what


def cell(part: Part) -> str:
    """Write the number and the verdict of a part."""
    about = "; ".join(filter(None, [part.reason, "checks the instrument" if part.instrument else ""]))
    return f"{part.measured} **{part.verdict}**".removeprefix("- ") + (f" ({about})" if about else "")


def kept_pictures(notebook: str, by_profile: Mapping[str, Record]) -> list[str]:
    """Show the pictures of `laptop` that are kept."""
    names = pictures_of(notebook) if "laptop" in by_profile else ()
    return [f"![{name}, at the laptop profile](findings/{notebook}-{name}.png)" for name in names]


# The README


def sentences(records: Records) -> list[str]:
    """Write one sentence a paper: which claims held wherever tested, which nowhere, and how many parts were seen."""
    papers: dict[str, dict[str, dict[str, Judgement]]] = {}
    for by_profile in records.values():
        for profile, record in by_profile.items():
            for id, judgement in record.judgements.items():
                papers.setdefault(CLAIMS[id].paper, {}).setdefault(id, {})[profile] = judgement
    return [sentence(paper, found) for paper, found in papers.items()]


def sentence(paper: str, found: Mapping[str, Mapping[str, Judgement]]) -> str:
    """Write what held of one paper, and where it was tested."""
    held: dict[tuple[str, ...], list[str]] = {}
    nowhere = []
    for id, judgements in found.items():
        tested = {p: j.verdict for p, j in judgements.items() if evidence_in(j)}
        if set(tested.values()) == {"reproduced"}:
            held.setdefault(tuple(tested), []).append(f"{CLAIMS[id].short} ({id})")
        elif set(tested.values()) == {"not reproduced"}:
            nowhere.append(f"{CLAIMS[id].short} ({id})")
    where = [f"{place(on)}: {', '.join(names)}" for on, names in sorted(held.items(), key=lambda item: -len(item[0]))]
    said = [f"Held {'; '.join(where)}."] if where else []
    said += [f"Did not hold where tested: {', '.join(nowhere)}."] if nowhere else []
    seen = " and ".join(filter(None, (share_seen(profile, found) for profile in FOLDERS)))
    return " ".join([f"**{paper.capitalize()}.**", *said, f"Seen: {seen}."])


def place(tested: tuple[str, ...]) -> str:
    """Say at which profiles a claim was tested."""
    return "at both profiles" if len(tested) == len(FOLDERS) else f"at `{tested[0]}`, where alone they were tested"


def evidence_in(judgement: Judgement) -> list[Part]:
    """List the parts that were tested and can fail; what checks the instrument is no evidence."""
    return [part for part in judgement.parts if part.verdict != "not tested" and not part.instrument]


def share_seen(profile: str, found: Mapping[str, Mapping[str, Judgement]]) -> str:
    """Write how many of the tested parts were seen at a profile; nothing where there are none."""
    judged = [judgements[profile] for judgements in found.values() if profile in judgements]
    tested = [part for judgement in judged for part in evidence_in(judgement)]
    seen = sum(part.verdict in ("seen", "exact") for part in tested)
    return f"{seen} of {len(tested)} parts at `{profile}`" if tested else ""


def in_readme(text: str, records: Records) -> str:
    """Put the sentences between the README's two marks, and the minutes into its rows of notebooks."""
    told = "\n".join(f"- {sentence}" for sentence in sentences(records))
    text = re.sub(f"{re.escape(BEGIN)}.*?{END}", lambda _: f"{BEGIN}\n\n{told}\n\n{END}", text, flags=re.S)
    row = re.compile(r"^(\| \[`(\d\d_\w+)`\]\([^)]*\) \| [^|]* )\|.*$", flags=re.M)
    return row.sub(lambda match: f"{match[1]}| {' | '.join(times(match[2], records))} |", text)


def times(notebook: str, records: Records) -> list[str]:
    """Write how long a notebook takes: in class, at the quick profile (both as it says), at `laptop` as measured."""
    path = ROOT / "notebooks" / f"{notebook}.ipynb"
    (quick,) = re.findall(r"(?:about )?([^,;]*) on two cores", read_notebook(path)["cells"][0]["source"])
    laptop = records.get(notebook, {}).get("laptop")
    return [f"{minutes_in_class(path)}", quick.strip(), f"{minutes(laptop.about['took'])} min" if laptop else "-"]


if __name__ == "__main__":
    main()
