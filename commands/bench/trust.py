"""`make bench-trust`: whether a model may be believed, measured, beside what was agreed.

    python -m commands.bench.trust --real ../shared/data --markdown docs/trust.md

`--list` says what the parts are. Those that need real radiographs are left out where there are none.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

import typer

from commands.bench.parts import Json, Markdown, Real, chosen, measure, real_data, run
from commands.console import out, table

if TYPE_CHECKING:
    from commands.bench.figures import Figure

PARTS = {
    "published": "a published DenseNet's probabilities for 22,433 real radiographs, calibrated on one half of the "
    "patients and judged on the other, ten halves",
    "referral": "a fifth of the images referred, fitted on one half of the patients and judged on the other, twenty "
    "halves: the published network, and one of our own on nih256",
    "own": "small networks trained here on nih256 with the focal loss (kept under var/bench/trust): calibration, "
    "operating points",
    "strange": "such a network's out-of-distribution score against photographs, CT and MR, negatives, turned and "
    "childlike images",
    "explain": "its heatmaps beside the grad-cam library's and random maps: boxes, deletion and insertion, "
    "redrawn weights",
    "speed": "the bootstrap, the report page, and the price of explanations; needs no real radiograph",
}


def bench(
    real: Real = None,
    part: Annotated[list[str] | None, typer.Option(help=f"Of {', '.join(PARTS)}; repeatable. Default: all.")] = None,
    epochs: Annotated[int, typer.Option(min=1, help="Of each own network.")] = 10,
    networks: Annotated[int, typer.Option(min=1, help="Own networks, which differ in their seed.")] = 3,
    list_parts: Annotated[bool, typer.Option("--list", help="Say what the parts are, and measure nothing.")] = False,
    markdown: Markdown = None,
    json: Json = False,
) -> None:
    """Measure calibration, conformal answers, strangeness, explanation and evaluation."""
    from commands.bench import trust_own as with_network
    from commands.bench import trust_parts as parts
    from commands.bench.page import tell
    from thorax.settings import load

    if list_parts:
        table("Parts of bench-trust", ("part", "what it measures"), PARTS.items())
        return
    wanted, folder = chosen(part, PARTS), real_data(real)
    jobs: dict[str, Callable[[], list[Figure]]] = {"speed": parts.speed}
    if folder is not None:
        made = with_network.Own(load(), folder, epochs, networks)
        jobs |= {
            "published": lambda: parts.published(folder),
            "referral": lambda: parts.published_referral(folder) + with_network.referral(made),
            "own": lambda: with_network.own(made),
            "strange": lambda: with_network.strange(made),
            "explain": lambda: with_network.explain(made),
        }
    tell(measure({name: jobs[name] for name in wanted if name in jobs}), markdown=markdown, json=json)
    if folder is None and not json:
        out.print("No real radiographs are at hand: only what needs none was measured. Name a folder with --real.")


if __name__ == "__main__":
    run(bench)
