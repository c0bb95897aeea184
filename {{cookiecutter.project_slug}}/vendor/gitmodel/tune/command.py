"""`model tune`: seek better parameters on the training rows, and write the best into params.yaml.

No test row is read. What is written is an ordinary change: `make repro`, then the gate judges it on the test rows.
"""

import argparse
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from gitmodel.base.files import read_text
from gitmodel.base.outlet import json_text
from gitmodel.base.project import PARAMS, UserError, say, some
from gitmodel.base.round_trip import changed
from gitmodel.base.settings import meant
from gitmodel.base.writing import seen, write_text
from gitmodel.contract.schema import load
from gitmodel.metrics.builtin import LOSS
from gitmodel.pipeline.train import estimators, folds_to_compare, is_auto, models_of, read_train, require_rows
from gitmodel.tune import trials as kept
from gitmodel.tune.search import Search
from gitmodel.tune.spaces import drawn, space_of
from gitmodel.tune.trials import TRIALS, Trial

TRIALS_AT_FIRST = 40
TEXT = """Seek better parameters for the model of params.yaml, or for those that --model names, on the training rows
alone. Of `auto` that is its first one, which stays one of several. Each trial is measured on the folds that
`validation` has. What cannot win is given up early. The best ones go into params.yaml, all trials into
reports/trials.csv. Ctrl-C stops it and keeps what was tried: the same command goes on from there."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Say what `model tune` takes."""
    parser.description = TEXT
    parser.add_argument(
        "--trials", type=_count, metavar="N", help=f"trials of each model in all (default: {TRIALS_AT_FIRST})"
    )
    parser.add_argument("--minutes", type=_minutes, metavar="M", help="begin no trial after so many minutes")
    parser.add_argument(
        "--model", nargs="+", metavar="NAME", help="names in ESTIMATORS of train.py (default: train.model)"
    )
    parser.set_defaults(command=lambda args: tune(args.trials, args.minutes, args.model))


def tune(most: int | None = None, minutes: float | None = None, models: Sequence[str] | None = None) -> Trial:
    """Try, keep what was tried, and write the winner into params.yaml; return it."""
    require_rows()
    params, seen_params = read_train(), seen(PARAMS)
    names = list(models or models_of(params)[:1])
    for name in names:
        if name not in estimators():
            raise UserError(f"--model {name}: {meant(name, estimators())}")
        space_of(name)
    search = Search.of(load(), params, folds_to_compare(params))
    done = kept.read(search.identity)
    search.best = kept.winner(done).by_fold if not all(trial.given_up for trial in done) else []
    loss = LOSS[search.schema.task]
    say(f"{len(search.known.table):,} training rows, {len(search.parts)} folds; less {loss} is better")
    if done:
        say(f"{some(len(done), 'trial')} from before in {TRIALS}")
    until = time.monotonic() + 60 * minutes if minutes else float("inf")
    most = most or (10_000 if minutes else TRIALS_AT_FIRST)
    try:
        for name, given in wanted(names, params, most, done):
            if time.monotonic() > until:
                break
            done.append(search.tried(len(done), name, given))
            kept.write(done)
            say(told(done[-1], most * len(names)))
    except KeyboardInterrupt:
        say("stopped; what was tried is kept")
    if all(trial.given_up for trial in done):
        raise UserError("no trial was finished: nothing was changed; run the same command again for longer")
    best = kept.winner(done)
    keep(best, params, seen_params, len(done), loss)
    return best


def wanted(
    names: Sequence[str], params: Mapping[str, Any], most: int, done: Sequence[Trial]
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield what to try, each model in turn: first what params.yaml says, then at random, and nothing twice."""
    tried = {(trial.model, json_text(trial.given)) for trial in done}
    for number in range(most):
        for name in names:
            own = dict(params.get(name) or {})
            given = own if not number else own | drawn(name, number, params["seed"])
            if number and params.get("stop_early") and "max_iter" in own:  # which is the most that there may be
                given["max_iter"] = max(given["max_iter"], own["max_iter"])
            if (name, json_text(given)) not in tried:
                yield name, given


def told(trial: Trial, of: int) -> str:
    """Return what a person is told of a trial."""
    ended = f" on {len(trial.by_fold)} folds, where the best is better: given up" if trial.given_up else ""
    so_far = f"best {trial.best:.4g}, {trial.seconds:.1f} s"
    return f"trial {trial.trial + 1} of {of}: {trial.model} {trial.loss:.4g}{ended} ({so_far})"


def keep(best: Trial, params: Mapping[str, Any], read: tuple[int, ...], count: int, loss: str) -> None:
    """Write the winner into params.yaml, comments kept; say what to do next."""
    score = f"{loss} {best.loss:.4g} in validation (spread {best.spread:.2g}), the best of {some(count, 'trial')}"
    stays = is_auto(params) and best.model in models_of(params)
    if (stays or best.model == params["model"]) and best.given == dict(params.get(best.model) or {}):
        say(f"what {PARAMS} has is the best: {score}; nothing was changed")
        return
    text = read_text(PARAMS)
    write_text(PARAMS, with_winner(text, best, params["model"] if stays else best.model, score), read)
    say(f"{PARAMS}: {best.model} with {best.parameters}: {score}")
    say("next: `make repro`, `model gate --base main`, and commit it: the gate judges it on the test rows")


def with_winner(text: str, best: Trial, model: str, score: str) -> str:
    """Return the text of params.yaml with other parameters for a model, and the model; comments and all else stay."""

    def change(content: Any) -> None:
        section = content["train"]
        section["model"] = model
        if not isinstance(section.get(best.model), dict):
            section[best.model] = {}
        for name, value in best.given.items():
            section[best.model][name] = value
        section.yaml_add_eol_comment(f"by `model tune`: {score}", best.model)

    return changed(text, change, indented=True)


def _count(text: str) -> int:
    if not text.isdigit() or not 1 <= int(text) <= 10_000:
        raise argparse.ArgumentTypeError(f"{text!r}: give a whole number from 1 to 10,000")
    return int(text)


def _minutes(text: str) -> float:
    try:
        found = float(text)
    except ValueError:
        found = 0.0
    if not 0 < found < 100_000:
        raise argparse.ArgumentTypeError(f"{text!r}: give a number of minutes above 0")
    return found
