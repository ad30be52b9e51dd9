"""`make bench-scale`: how far one machine's speed multiplies, and how time and memory grow with the rows of a dataset.

    python -m commands.bench.scale --markdown docs/scaling.md
    python -m commands.bench.scale --part rows --rows 1000 --rows 3000 --rows 10000

Parts: *cores*: preprocessing by one process and by two, in turns. *rows*: time and memory of the steps from 1,000 to
100,000 rows, each in a fresh process, the exponent of their growth, and a plot. *rates*: what an image costs each part
of the system; they are kept for *plan*, the simulation of larger datasets, which `commands.bench.simulate` runs for any
number of images and any cluster. About twenty minutes on two cores.
"""

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from commands.bench.figures import Figure, tables_of, told
from commands.bench.parts import Json, Markdown, chosen, measure, run

if TYPE_CHECKING:
    from commands.bench.scale_rows import Growth, Taken

PARTS = ("cores", "rows", "rates", "plan")
ROWS = (1_000, 3_000, 10_000, 30_000, 100_000)
#: The steepest growth that is still called linear.
LINEAR = 1.05
_MIB = "peak memory, MiB"


def bench(
    part: Annotated[list[str] | None, typer.Option(help=f"Only these: {', '.join(PARTS)}. Repeatable.")] = None,
    rows: Annotated[list[int] | None, typer.Option(min=0, help="Sizes of the dataset; repeatable. 0: none.")] = None,
    repeats: Annotated[int, typer.Option(min=1, help="Measurements of each step at each size.")] = 1,
    images: Annotated[int, typer.Option(min=200, help="Images of a preprocessing pass.")] = 9_600,
    files: Annotated[int, typer.Option(min=8, help="Phantoms that these images are.")] = 240,
    rounds: Annotated[int, typer.Option(min=1, help="Passes of one process, and of two.")] = 3,
    seconds: Annotated[float, typer.Option(min=0.1, help="Processor time a rate is measured for.")] = 4.0,
    keep: Annotated[
        Path | None, typer.Option(help="A JSON file to which measurements of rows are added; those in it count too.")
    ] = None,
    pictures: Annotated[
        Path | None, typer.Option(help="Folder of the plot; beside the page where none is named.")
    ] = None,
    markdown: Markdown = None,
    json: Json = False,
) -> None:
    """Measure how the system grows, and reckon what it takes beyond this machine."""
    from commands.bench import scale_cores
    from commands.bench.page import tell
    from thorax.errors import InputError
    from thorax.settings import load

    wanted, sizes = chosen(part, PARTS), sorted({one for one in rows or ROWS if one})
    if "rates" in wanted and "rows" not in wanted:
        raise InputError("The part rates needs what the part rows measures.", "Ask for both.")
    kept = load().var / "bench"
    found: dict[str, object] = {}

    def grown() -> list[Figure]:
        taken, found["row_bytes"] = measure_rows(sizes, repeats, keep)
        found["taken"] = taken
        folder = pictures or (markdown.parent / "images" if markdown is not None else None)
        if folder is not None:
            draw(taken, folder / "scaling.png")
        return grown_figures(taken)

    def rated() -> list[Figure]:
        from commands.bench.scale_rates import SIDE, rates

        return rates(kept / f"phantoms-{SIDE}", 8, seconds, found["taken"], found["row_bytes"])  # type: ignore[arg-type]

    jobs: dict[str, Callable[[], list[Figure]]] = {
        "cores": lambda: scale_cores.cores(kept / f"phantoms-{files}", files, images, rounds),
        "rows": grown,
        "rates": rated,
    }
    told_of = tables_of(measure({name: jobs[name] for name in wanted if name in jobs}))
    if "plan" in wanted:
        from commands.bench.simulate import tables

        told_of |= tables()
    tell(told_of, markdown=markdown, json=json)


def measure_rows(sizes: Sequence[int], repeats: int, keep: Path | None = None) -> "tuple[list[Taken], float]":
    """Measure every step at every size; return what they took, and the bytes a row of the image store's table.

    Args:
        sizes: rows.
        repeats: of each.
        keep: a file in which earlier measurements lie, and later ones will; sizes may be measured one by one.
    """
    from commands.bench import scale_rows
    from commands.console import err
    from thorax.files import read_json, write_json

    taken: list[Taken] = []
    row_bytes = 0.0
    if keep is not None and keep.is_file():
        kept = read_json(keep)
        taken, row_bytes = [scale_rows.Taken(**one) for one in kept["taken"]], kept["row_bytes"]
    for size in sizes:
        with tempfile.TemporaryDirectory(prefix="thorax-bench-") as name:
            folder = Path(name)
            scale_rows.prepare(folder, size)
            for _ in range(repeats):
                for step in scale_rows.STEPS:
                    taken.append(scale_rows.measure(folder, step, size))
                    err.print(f"  {size:,} rows, {step}: {taken[-1].seconds:.1f} s", markup=False)
            row_bytes = (folder / "store" / "rows.parquet").stat().st_size / size
        if keep is not None:
            write_json(keep, {"taken": [asdict(one) for one in taken], "row_bytes": row_bytes})
    return taken, row_bytes


def grown_figures(taken: "Sequence[Taken]") -> list[Figure]:
    """Return the exponents, and below what each step took at the largest size."""
    from commands.bench.scale_rows import STEPS, growth

    sizes = sorted({one.rows for one in taken})
    part = f"Growth from {sizes[0]:,} to {sizes[-1]:,} rows: the exponent, and its 95% interval"
    lines = []
    for step, agreed in STEPS.items() if len(sizes) > 2 else ():
        mine = [one for one in taken if one.step == step]
        # What others do on the machine lengthens the seconds of the clock, and hardly those of the processor.
        measured = {"processor time": "work", "memory": "mib", "time by the clock": "seconds"}
        for what, name in measured.items():
            amounts = [getattr(one, name) for one in mine]
            bound = LINEAR if agreed and name != "seconds" else None
            lines.append(_exponent(part, f"{step}: {what}", growth([one.rows for one in mine], amounts), bound))
        late = [one for one in mine if one.rows >= sizes[-1] / 12]
        if len({one.rows for one in late}) >= 3:
            for what, name in measured.items():
                fit = growth([one.rows for one in late], [getattr(one, name) for one in late])
                lines.append(_exponent(part, f"{step}: {what}, the last decade alone", fit, None))
    took = f"What {sizes[-1]:,} rows take"
    for step in STEPS:
        last = [one for one in taken if one.step == step and one.rows == sizes[-1]]
        lines.append(told(took, f"{step}: seconds", min(one.seconds for one in last), ".1f"))
        lines.append(told(took, f"{step}: seconds of processor time", min(one.work for one in last), ".1f"))
        lines.append(told(took, f"{step}: {_MIB}", max(one.mib for one in last), ".0f"))
    return lines


def _exponent(part: str, what: str, fit: "Growth", bound: float | None) -> Figure:
    shown = f"{fit.exponent:.2f} ({fit.low:.2f} to {fit.high:.2f})"
    if bound is None:
        return Figure(part, what, shown, found=fit.exponent)
    return Figure(part, what, shown, f"≤ {bound:g}", fit.exponent <= bound, fit.exponent)


def draw(taken: "Sequence[Taken]", file: Path) -> None:
    """Plot time and memory against rows, both by their logarithms, beside a line of exponent one."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    from commands.bench.scale_rows import STEPS

    figure, axes = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
    colours = dict(zip(STEPS, ("#0072b2", "#d55e00", "#009e73", "#999999", "#cc79a7", "#e69f00"), strict=True))
    for axis, name, label in zip(axes, ("seconds", "mib"), ("seconds", _MIB), strict=True):
        for step, colour in colours.items():
            mine = [one for one in taken if one.step == step]
            axis.plot(
                [one.rows for one in mine],
                [getattr(one, name) for one in mine],
                "o-",
                ms=3,
                lw=1.2,
                c=colour,
                label=step,
            )
        sizes = sorted({one.rows for one in taken})
        top = max(getattr(one, name) for one in taken)
        axis.plot(sizes, [top * one / sizes[-1] for one in sizes], ":", c="#555555", lw=1, label="exponent 1")
        axis.set(xscale="log", yscale="log", xlabel="rows of the dataset", ylabel=label)
        axis.set_ylim(bottom=0.7 * min(getattr(one, name) for one in taken))
        axis.grid(alpha=0.3)
    axes[0].legend(fontsize=8, frameon=False)
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file, dpi=110, metadata={"Software": None})
    plt.close(figure)


if __name__ == "__main__":
    run(bench)
