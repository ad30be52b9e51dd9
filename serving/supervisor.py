"""Run BentoML's supervisor with two of its habits changed: `python -m serving.supervisor serve ...`.

It looks after its workers every ten seconds, and inside a container it does not replace one that died. Here it looks
every second, and replaces it wherever it runs: the other workers go on, and nobody waits for an orchestrator.
"""

import functools
import sys

_CHECK_SECONDS = 1.0


def main() -> None:
    """Run BentoML's command line."""
    from bentoml import serving
    from bentoml._internal.utils import circus

    serving.running_inside_container = lambda: False
    circus.create_standalone_arbiter = functools.partial(circus.create_standalone_arbiter, check_delay=_CHECK_SECONDS)
    from bentoml_cli.cli import cli

    sys.argv[0] = "bentoml"
    cli()


if __name__ == "__main__":
    main()
