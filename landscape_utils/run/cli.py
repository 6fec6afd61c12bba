"""The command `landscape`: run notebooks, fetch data, look after the cache, gather claims."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np
import psutil
import typer
from tqdm import tqdm

from landscape_utils.kit import store
from landscape_utils.kit.errors import require
from landscape_utils.kit.files import home
from landscape_utils.suite import profiles
from landscape_utils.suite.notebooks import copy_notebooks, notebook_path

if TYPE_CHECKING:
    from landscape_utils.run import sweeps
    from landscape_utils.suite.session import Session

app = typer.Typer(
    help="Notebooks on why deep networks generalise: run them, fetch their data, look after their cache.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    add_completion=False,
)
cache = typer.Typer(help="What was computed once and is remembered.", no_args_is_help=True, rich_markup_mode=None)
app.add_typer(cache, name="cache")


def main() -> None:
    """Run the command; bad input ends with one sentence and exit code 2."""
    try:
        app()
    except (ValueError, FileNotFoundError, ConnectionError, ModuleNotFoundError) as error:
        _stop(str(error), 2)
    except KeyError as error:
        _stop(str(error.args[0]), 2)
    except (OSError, FloatingPointError, RuntimeError) as error:
        _stop(str(error), 1)


def _stop(sentence: str, code: int) -> None:
    print(f"landscape: {sentence}", file=sys.stderr)
    sys.exit(code)


@app.command()
def run(
    notebooks: Annotated[list[str] | None, typer.Argument(help="Names such as 01_cctm, or paths.")] = None,
    every: Annotated[bool, typer.Option("--all", help="Run all notebooks.")] = False,
    parameter: Annotated[list[str] | None, typer.Option("-p", help="A parameter, name=value; may be repeated.")] = None,
    profile: Annotated[str | None, typer.Option(help="quick, laptop, standard or paper.")] = None,
    out: Annotated[Path, typer.Option(help="Folder of executed notebooks, numbers and claims.")] = Path("out"),
    figures: Annotated[Path | None, typer.Option(help="Folder of pictures; OUT/figures by default.")] = None,
    at_once: Annotated[int, typer.Option(help="Notebooks at a time; with several, each has one thread.", min=1)] = 1,
    dry_run: Annotated[bool, typer.Option(help="Say what would be computed and what it would cost.")] = False,
) -> None:
    """Execute notebooks and say where their pictures, numbers and claims lie."""
    from landscape_utils.run import execute, reports

    names = profiles.in_order() if every else list(notebooks or [])
    if not names:
        raise ValueError("no notebook is named; give names such as 01_cctm, or --all")
    given = list(parameter or []) + ([f"profile={profile}"] if profile else [])
    # Everything is checked before anything is written.
    jobs = []
    for name in names:
        path = notebook_path(name)
        values = execute.parse(path, given)
        jobs.append((path, values, execute.session_of(path, values)))
    execute.check_data(one for _, _, one in jobs)
    if dry_run:
        for path, _, one in jobs:
            _print_costs(path, one)
        return
    where = {"out": out, "figures": figures or out / "figures"}
    failed, ended = [], {}
    try:
        for path, seconds, problem in execute.execute_all([job[:2] for job in jobs], at_once=at_once, **where):
            if problem:
                failed.append(path.stem)
                tqdm.write(f"landscape: {problem}", file=sys.stderr)
                continue
            ended[path.stem] = seconds
            print(f"{path.stem}: {seconds:.0f} s")
            print(f"  executed notebook  {out / path.name}")
            print(f"  numbers            {out}/{path.stem}-*.nc")
            print(f"  pictures           {where['figures']}/{path.stem}-*")
            print(f"  claims             {out}/{path.stem}.claims.json")
    except KeyboardInterrupt:
        _stop("stopped; what was finished is kept, and the same command goes on from there", 130)
    if len(ended) > 1:
        print(f"\n{reports.seconds(ended, out)}\n")
    if failed or any(out.glob("*.claims.json")):
        _write_report(out, where["figures"])
    if failed:
        _stop(f"{len(failed)} of {len(jobs)} notebooks failed, and have no claims: {', '.join(failed)}", 1)


@app.command()
def sweep(
    notebook: Annotated[str, typer.Argument(help="A name such as 01_cctm, or a path.")],
    parameter: Annotated[
        list[str] | None, typer.Option("-p", help="A parameter and its values: name=a,b or name=0..9; may be repeated.")
    ] = None,
    profile: Annotated[str | None, typer.Option(help="quick, laptop, standard or paper.")] = None,
    workers: Annotated[int | None, typer.Option(help="Processes, of one thread each; one a core by default.")] = None,
    scheduler: Annotated[str | None, typer.Option(help="A Dask scheduler that has workers, tcp://...")] = None,
    out: Annotated[Path, typer.Option(help="Folder of all sweeps.")] = Path("sweeps"),
) -> None:
    """Run a notebook over a product of parameters; the same command goes on where it was stopped."""
    from landscape_utils.run import execute, sweeps

    path = notebook_path(notebook)
    given = list(parameter or []) + ([f"profile={profile}"] if profile else [])
    cells = sweeps.cells_of(path, given, out)
    execute.check_data([execute.session_of(path, cell.values) for cell in cells])  # told before anything runs
    wrong: dict[sweeps.Cell, str] = {}
    if not all(cell.done for cell in cells):
        try:
            with sweeps.cluster(workers, scheduler) as client:
                wrong = sweeps.sweep(path, cells, client)
        except KeyboardInterrupt:
            _stop("stopped; finished runs are kept, and the same command goes on from there", 130)
    _gather(cells, out / path.stem)
    if wrong:
        cell, problem = next(iter(wrong.items()))
        _stop(f"{len(wrong)} of {len(cells)} runs failed; {cell.folder.name}: {problem}", 1)


def _gather(cells: Sequence[sweeps.Cell], folder: Path) -> None:
    """Write a sweep's numbers and its picture, and say where they lie."""
    from landscape_utils.kit.files import write_atomically
    from landscape_utils.run import sweep_plots, sweep_results
    from landscape_utils.suite import plots

    finished = sum(cell.done for cell in cells)
    print(f"{finished} of {len(cells)} runs are finished, each in its folder below {folder}")
    if not finished:
        return
    collected = sweep_results.collect(cells)
    write_atomically(folder / "sweep.nc", collected.to_netcdf(engine="netcdf4"))
    print(f"  numbers   {folder / 'sweep.nc'} (xarray.open_datatree)")
    if collected.attrs["left_out"]:
        print(f"  left out  {collected.attrs['left_out']}")
    if np.isfinite(collected["effect"]).any():
        write_atomically(folder / "sweep.png", plots.to_png(sweep_plots.summary(collected.to_dataset())))
        print(f"  picture   {folder / 'sweep.png'}")


def _print_costs(path: Path, one: Session | None) -> None:
    from landscape_utils.kit.workers import at_once
    from landscape_utils.run import costs

    if one is None:
        print(f"{path.stem}: no training")
        return
    data = one.load_data(download=False)
    print(f"{path.stem}, profile {one.profile}, {data.sizes}")
    start = memory = disk = 0.0
    seen: set[str] = set()
    kinds = [
        (f"  {name}, {recipe}, {epochs} epochs, {len(alike)} trainings", costs.left_of(alike, seen))
        for name, specs in profiles.every_training(one).items()
        for (recipe, epochs), alike in costs.alike(specs).items()
    ]
    beside = at_once(sum(len(left) for _, left in kinds))
    jobs: list[float] = []
    for what, left in kinds:
        if not left:
            print(f"{what}: done already, or counted above")
            continue
        cost = costs.estimate(left[0], costs.data_of(left[0]), beside=beside)
        together = f", {beside} at once" if beside > 1 else ""
        print(f"{what}: {len(left)} times {_duration(cost.seconds)}{together}, {_bytes(cost.disk)} on disk")
        jobs += len(left) * [cost.seconds]
        start = max(start, cost.start)
        memory, disk = max(memory, beside * cost.memory), disk + len(left) * cost.disk
    seconds = start + costs.side_by_side(jobs, beside)
    for name, more in profiles.beside_runs(one).items():
        print(f"  {name}: {_duration(more)}" if more else f"  {name}: done already")
        seconds += more
    free = psutil.disk_usage(str(_existing(home()))).free
    print(
        f"  in all about {_duration(seconds)} of training, {_bytes(memory)} of memory beside Python's own 600 MB, "
        f"{_bytes(disk)} on disk ({_bytes(free)} free); nothing was written"
    )


@app.command("notebooks")
def copy(folder: Annotated[Path, typer.Argument(help="Where to put them.")] = Path("notebooks")) -> None:
    """Put the notebooks and their solutions into a folder of your own; what is there already stays."""
    written, kept = copy_notebooks(folder)
    stays = f"; {len(kept)} were there and stay as they are" if kept else ""
    print(f"{len(written)} files written to {folder}{stays}")


@app.command("list")
def list_notebooks() -> None:
    """List the notebooks, their profiles, and the names of datasets, models and recipes."""
    from landscape_utils.data.sources import dataset_names
    from landscape_utils.training.models import model_names
    from landscape_utils.training.recipes import RECIPES

    for name in profiles.names():
        print(f"{name:20s} {', '.join(profiles.profiles(name))}")
    print(f"\ndatasets   {', '.join(dataset_names())}, path/to/arrays.npz, path/to/imagefolder")
    print(f"models     {', '.join(model_names())}, timm/<any name>")
    print(f"recipes    {', '.join(RECIPES)}")


@app.command()
def data(
    names: Annotated[list[str] | None, typer.Argument(help="Datasets to fetch.")] = None,
    every: Annotated[bool, typer.Option("--all", help="All that the profiles use.")] = False,
) -> None:
    """Fetch datasets ahead, for a room without a network; what is there already stays."""
    from landscape_utils.data.datasets import load_dataset
    from landscape_utils.data.sources import PUBLISHED, data_folder

    wanted = list(PUBLISHED) if every else list(names or [])
    if not wanted:
        raise ValueError("no dataset is named; give names such as cifar10, or --all")
    missing = []
    for name in wanted:
        try:
            loaded = load_dataset(name)
        except FileNotFoundError as error:  # one that cannot be had keeps nobody from the others
            print(error, file=sys.stderr)
            missing.append(name)
            continue
        print(f"{loaded.sizes}, {len(loaded.classes)} classes, inputs {loaded.input_shape}; kept in {data_folder()}")
    if missing:
        _stop(f"{len(missing)} of {len(wanted)} could not be fetched: {', '.join(missing)}", 1)


@cache.command("list")
def cache_list() -> None:
    """List the trained runs."""
    for shelf in store.shelves("runs"):
        provenance = shelf.get_json("run")
        if provenance is None:
            print(f"{shelf.folder.name}  {_bytes(store.size(shelf)):>9s}  unfinished")
            continue
        what = provenance["identity"]
        print(
            f"{shelf.folder.name}  {_bytes(store.size(shelf)):>9s}  {what['model']} on {provenance['dataset']}, "
            f"{provenance['last']} epochs, seed {what['seed']}, {provenance['seconds']:.0f} s on {provenance['device']}"
        )


@cache.command("size")
def cache_size() -> None:
    """Print how much disk the cache takes."""
    if not store.kinds():
        print(f"nothing is kept in {home()}")
    for kind in store.kinds():
        shelves = store.shelves(kind)
        print(f"{len(shelves):5d} {kind}, {_bytes(sum(map(store.size, shelves)))} in {home() / kind}")


@cache.command("clear")
def cache_clear() -> None:
    """Remove all that no process is computing."""
    for kind in store.kinds():
        removed, busy = store.clear(kind)
        print(f"removed {removed} {kind}" + (f"; {busy} are being computed and stay" if busy else ""))


@app.command()
def report(
    out: Annotated[Path, typer.Option(help="Folder with the claims of earlier runs.")] = Path("out"),
    figures: Annotated[Path | None, typer.Option(help="Folder of their pictures; OUT/figures by default.")] = None,
) -> None:
    """Gather the claims of all runs into one page, as HTML and as Markdown; `landscape run` ends with it."""
    from landscape_utils.run import reports

    for section in reports.gather(out, figures or out / "figures"):
        for judgement in section.judgements:
            print(f"{judgement.id:6s} {judgement.verdict:18s} {'; '.join(part.measured for part in judgement.parts)}")
    _write_report(out, figures or out / "figures")


def _write_report(out: Path, figures: Path) -> None:
    from landscape_utils.kit.files import write_atomically
    from landscape_utils.run import reports

    sections, missing = reports.gather(out, figures), reports.missing(out)
    write_atomically(out / "report.html", reports.html(sections, missing).encode())
    write_atomically(out / "report.md", reports.markdown(sections, missing, beside=out).encode())
    print(f"all claims: {out / 'report.html'} and {out / 'report.md'}")


@app.command("app")
def serve_panels(
    notebooks: Annotated[list[str] | None, typer.Argument(help="Names such as 01_cctm; all by default.")] = None,
    parameter: Annotated[list[str] | None, typer.Option("-p", help="A parameter, name=value; may be repeated.")] = None,
    port: Annotated[int, typer.Option(help="Port.")] = 8866,
    ip: Annotated[str, typer.Option(help="Address to listen on; 0.0.0.0 lets the whole network in.")] = "127.0.0.1",
) -> None:
    """Serve the panels without their code; who has the token may look, several at once."""
    from landscape_utils.run import apps, execute

    require("voila", "app")
    jobs = []
    for name in notebooks or profiles.names():
        path = notebook_path(name)
        values = execute.parse(path, list(parameter or []))
        execute.check_data([execute.session_of(path, values)])
        jobs.append((path, values))
    apps.serve(apps.prepare(jobs), ip=ip, port=port)


@app.command()
def lab(port: Annotated[int, typer.Option(help="Port on localhost.")] = 8888) -> None:
    """Open JupyterLab on localhost, with a token, in the folder of the notebooks."""
    folder = notebook_path(profiles.names()[0]).parent.resolve()
    command = [sys.executable, "-m", "jupyterlab", f"--notebook-dir={folder}", "--ip=127.0.0.1", f"--port={port}"]
    os.execv(sys.executable, command)


def _existing(path: Path) -> Path:
    return path if path.exists() else _existing(path.parent)


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def _bytes(count: float) -> str:
    for unit in ("B", "kB", "MB"):
        if count < 1000:
            return f"{count:.0f} {unit}"
        count /= 1000
    return f"{count:.1f} GB"


if __name__ == "__main__":
    main()
