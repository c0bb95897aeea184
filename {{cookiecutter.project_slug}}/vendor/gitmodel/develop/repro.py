"""`model repro`: run the stages whose inputs changed, once nothing is left that would stop DVC, or hang it."""

import argparse

from gitmodel.base.lock import held
from gitmodel.base.pipeline_file import PIPELINE
from gitmodel.base.project import UserError, read_yaml
from gitmodel.base.settings import mapping, meant
from gitmodel.git.programs import reproduce


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Say what `model repro` takes."""
    parser.description = (
        "Run the stages whose inputs changed, as `dvc repro` does, and give a margin in rules.yaml to each metric that"
        " has none. What a killed DVC left is mended before, and YAML that DVC would read for ever is refused."
    )
    parser.add_argument("stages", metavar="STAGE", nargs="*", help="only these, and those that they need")
    parser.add_argument("--force", action="store_true", help="run them even if nothing changed")
    parser.add_argument("--downstream", action="store_true", help="run these, and those that need them")
    parser.add_argument("--no-margins", action="store_true", help="leave rules.yaml as it is; so do single stages")
    parser.set_defaults(command=_command)


def _command(args: argparse.Namespace) -> None:
    require_known(args.stages)
    options = [f"--{name}" for name in ("force", "downstream") if getattr(args, name)]
    reproduce(*options, *args.stages)
    if not (args.stages or args.no_margins):
        with held("model repro"):
            _write_missing_margins()


def require_known(names: list[str]) -> None:
    """Raise UserError for a stage that dvc.yaml does not have."""
    stages = mapping(read_yaml(PIPELINE), "stages", str(PIPELINE))
    for name in names:
        if name not in stages:
            raise UserError(f"{PIPELINE} has no stage `{name}`: {meant(name, stages)}")


def _write_missing_margins() -> None:
    from gitmodel.gate.margins import write_margins  # not before DVC has run: it needs what takes long to import

    write_margins(argparse.Namespace(missing=True))
