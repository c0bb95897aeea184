"""`model register`: make the model of the last commit a version."""

import argparse
import json
from dataclasses import dataclass, field
from pathlib import Path

from gitmodel.base.files import parse_json
from gitmodel.base.outlet import words
from gitmodel.base.project import UserError
from gitmodel.git.programs import call, git
from gitmodel.registry import proposal, remote, write
from gitmodel.versions import rules
from gitmodel.versions.rules import PromotionRules
from gitmodel.versions.tags import Registry, require_version

TEXT = """Make the model of the last commit a version: an annotated tag NAME@VERSION that carries the digest of the
bundle, the metrics, the hash of the data and the verdict of the gate against the version that serves. Refused: changes
that are not committed, results that `model verify` does not accept, a model that is worse than the one that serves, or
no better than guessing. Without VERSION the next one is taken from what changed: schema or target: major; data,
features or parameters: minor; anything else: patch."""
MOST_WHY = 200  # characters of what the gate says, in an error


@dataclass
class Evidence:
    """What the tag says of the model, for people and for machines."""

    text: list[str] = field(default_factory=list)
    fields: dict[str, str] = field(default_factory=dict)
    changes: list[proposal.Change] = field(default_factory=list)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Say what `model register` takes."""
    parser.description = TEXT
    parser.add_argument("version", nargs="?", metavar="VERSION", help="such as v1.2.0")
    parser.add_argument("--accept", metavar="REASON", help="although the gate does not pass; it is kept")
    parser.add_argument("--reason", default="", metavar="TEXT", help="why this version, for those who read the history")
    remote.add_push(parser)
    parser.set_defaults(command=lambda args: register(args.version, args.accept, args.reason, args.push))


def register(asked: str | None = None, accepted: str | None = None, reason: str = "", push: str | None = None) -> None:
    """Write the tag of a version; UserError names what stands in the way."""
    wanted = "" if asked is None else require_version(asked)
    if accepted is not None and not words(accepted):
        raise UserError('--accept needs a reason, which stays in the tag: `--accept "what makes up for it"`')
    commit = committed()
    registry, there = remote.opened(rules.model_name(), push)
    if commit in registry.by_commit:
        known = registry.by_commit[commit]
        if (not wanted or wanted == known.name) and not known.retired:
            return remote.nothing_to_do(registry, there, f"this commit is {known.name} already")
        raise UserError(f"this commit is {known.name} already, and has no second version: change something, commit")
    require_new(registry, wanted)
    rule = rules.load()
    evidence = examine(registry, rule, words(accepted or ""))
    version = wanted or proposal.next_version(registry, evidence.changes)
    require_new(registry, version)
    draft = write.Draft(
        f"{registry.name}@{version}",
        commit,
        f"Register {registry.name} {version}",
        "\n".join([*([words(reason)] if reason else []), *evidence.text]),
        {"Version": version, **evidence.fields, "Reason": reason},
    )
    write.publish(registry, draft, rule, there)


def committed() -> str:
    """Return the id of the last commit; UserError if the work tree is not what it holds."""
    result = call("git", "rev-parse", "--quiet", "--verify", "HEAD^{commit}")
    if result.returncode:
        raise UserError("there is no commit here to register: run `make init`, `dvc repro`, then commit")
    if changed := git("status", "--porcelain", "-z").split("\0")[0]:
        raise UserError(
            f"{changed[2:].strip()} is not committed, and a version is a commit: run `git add --all && git commit`"
        )
    return result.stdout.strip()


def require_new(registry: Registry, version: str) -> None:
    """Raise UserError if a version exists."""
    if version in registry.versions:
        known = registry.versions[version]
        raise UserError(f"{version} exists, since {known.tag.date} (by {known.tag.by}): take another number")


def examine(registry: Registry, rule: PromotionRules, accepted: str) -> Evidence:
    """Return the evidence for the model of the work tree; UserError if it may not become a version."""
    from gitmodel.bundle.contents import digest, read_manifest
    from gitmodel.gate import results
    from gitmodel.verify import command as verify

    verify.check()
    manifest, identity = read_manifest(), digest()
    if manifest.get("name") != registry.name:
        raise UserError(f"the bundle is of {manifest.get('name')!r}, not of {registry.name!r}: run `dvc repro`")
    if not manifest.get("beats_trivial"):
        raise UserError("the model is no better than guessing (the trivial baseline): improve it")
    found = Evidence(fields={"Digest": identity, "Data": f"md5:{manifest['data']['md5']}"})
    found.fields["Metrics"] = json.dumps(manifest["metrics"]["test"])
    add_verdict(found, registry, rule, accepted)
    last = next(reversed(registry.versions.values()), None)
    former = results.from_commit(last.tag.commit) if last else None
    if last and former:
        found.changes = proposal.changes(former, results.from_folder())
        found.text += [f"Changed since {last.name}:", *(f"- {words(text)}" for _, text in found.changes[:20])]
    return found


def add_verdict(found: Evidence, registry: Registry, rule: PromotionRules, accepted: str) -> None:
    """Add the verdict of the gate against what serves; UserError if it does not pass and nobody accepts it."""
    from gitmodel.base.outlet import short
    from gitmodel.gate import report, results
    from gitmodel.gate.command import settle
    from gitmodel.gate.compare import Change, against
    from gitmodel.gate.judge import REGRESSION
    from gitmodel.gate.judgement import CANNOT_JUDGE, Judgement

    served = registry.stages.get(rule.stages[-1])
    metrics = parse_json(found.fields["Metrics"])
    found.text.append(", ".join(f"{name} {value:.4g}" for name, value in metrics.items()))
    if served is None:
        found.fields["Gate"] = "nothing serves yet"
        return
    judgement = Judgement(accepted=accepted)
    settle(judgement, lambda: against(served.commit, Change(results.from_folder(), Path()), judgement))
    lines = [line.strip() for line in (*report.in_short(judgement).splitlines(), judgement.reason) if line]
    name, headline = registry.version_of(served), report.headline(judgement).split(" ", 1)[1]
    more = f"`model gate --base '{served.name}'` tells more"
    if judgement.exit_status:
        why = judgement.reason or ": ".join([headline, *(report.reasons(judgement) or judgement.loosened)[:1]])
        mend = "restore the rule" if judgement.loosened and judgement.verdict != REGRESSION else "improve it"
        remedy = "" if judgement.verdict == CANNOT_JUDGE else f": {mend}, or `--accept REASON` ({more})"
        raise UserError(f"against {name}, which serves as {served.stage}: {short(why, MOST_WHY)}{remedy}")
    found.text += [f"Against {name}, which serves as {served.stage}: {lines[0]}", *(f"- {line}" for line in lines[1:])]
    found.fields |= {"Gate": judgement.verdict, "Against": name, "Accepted": accepted}
