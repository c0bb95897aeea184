"""`model checkout`: put the bundle of a version into a folder, and prove that it is the one that was registered."""

import argparse
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gitmodel.base.outlet import one_line
from gitmodel.base.project import BUNDLE, UserError, say
from gitmodel.base.writing import replacing_folder
from gitmodel.bundle.contents import features_of
from gitmodel.contract.origin import OtherCode
from gitmodel.git import snapshot
from gitmodel.registry import assets
from gitmodel.registry.assets import is_bundle
from gitmodel.registry.promote import require_usable
from gitmodel.registry.status import none_here
from gitmodel.versions import own, rules, tags
from gitmodel.versions.rules import PromotionRules
from gitmodel.versions.tags import VERSION, Registry, Version, require_version

TEXT = """Put the bundle of a version, or of the one that serves in a stage, into a folder. It comes from the work tree,
DVC's cache, DVC's remote or the version's release on GitHub, or else is made anew from the version's commit; its digest
must be the one in the version's tag, and the code here the one that it needs. The work tree and its models/bundle stay
as they are."""
ANY_CODE = "also a bundle that needs other code than is here; `model monitor` runs it with its own"
WHICH = "such as v1.2.0, or prod; or the whole name of a tag, which for a stage must be the one that counts"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Say what `model checkout` takes."""
    parser.description = TEXT
    parser.add_argument("which", metavar="VERSION|STAGE", help=WHICH)
    parser.add_argument("--output", type=Path, metavar="DIR", help="by default models/VERSION")
    parser.add_argument("--release", action="store_true", help="from the release on GitHub (gh), and nowhere else")
    parser.add_argument("--any-code", action="store_true", help=ANY_CODE)
    parser.set_defaults(command=lambda args: checkout(args.which, args.output, args.release, args.any_code))


def checkout(which: str, output: Path | None = None, released: bool = False, any_code: bool = False) -> None:
    """Write the bundle of a version; UserError, and no folder, if it cannot be had or is not the registered one."""
    version = chosen(which)
    folder = output or BUNDLE.parent / version.name
    if is_bundle(folder, version.digest) and not released:
        require_code(folder, version, any_code)
        return say(f"{folder} holds {version.name} already ({version.digest})")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())) and not (folder / "manifest.json").exists():
        raise UserError(f"{folder} exists and holds no bundle: name another folder with --output")
    obtain = assets.released if released else obtained
    with obtain(version) as (bundle, source), replacing_folder(folder) as draft:
        shutil.copytree(bundle, draft, dirs_exist_ok=True)
        if not is_bundle(draft, version.digest):
            raise UserError(f"the bundle of {version.name} changed while it was copied: run this again")
        require_code(draft, version, any_code)
    say(f"{folder} holds {version.name} {source}: {version.digest}, as {version.tag.name} says")


def require_code(bundle: Path, version: Version, any_code: bool) -> None:
    """Raise UserError if the code that is here is not the one that a version's bundle needs."""
    if any_code:
        return
    try:
        features_of(bundle, f"the bundle of {version.name}")
    except OtherCode as error:
        raise own.refusal(error, version.tag.commit, version.name) from None


def chosen(which: str) -> Version:
    """Return the version that is meant; UserError if it may not be used, or nothing proves what its bundle is."""
    rule, registry = rules.load(), tags.read(rules.model_name())
    if not registry.tags:
        raise UserError(none_here(registry.name))
    version = resolve(registry, rule, which)
    require_usable(version)
    rule.require_registered(version)
    if not version.digest:
        raise UserError(f"{version.tag.name} carries no digest: `model register` did not make it, so nothing is proven")
    return version


def resolve(registry: Registry, rule: PromotionRules, which: str) -> Version:
    """Return the version that is meant, by its own name, as what serves in a stage, or by a tag."""
    if "@" in which or "#" in which:
        return resolve_tag(registry, rule, which)
    if re.fullmatch(VERSION, which) or re.fullmatch(VERSION, f"v{which}"):
        return registry.find(require_version(which))
    if which not in registry.stages:
        rule.require_stage(which, "neither a version, such as v1.2.0, nor a")
    version = registry.serving(which)
    rule.require_assigned(registry.stages[which])
    rule.require_allowed(registry, version, which)
    return version


def resolve_tag(registry: Registry, rule: PromotionRules, name: str) -> Version:
    """Return the version of a tag; UserError if it is not here, or another one counts for its stage by now."""
    tag = next((tag for tag in registry.tags if tag.name == name), None)
    if tag is None:
        raise UserError(f"{one_line(name)[:200]} is no tag of {registry.name} here: `git fetch --tags` brings all")
    if tag.version:
        return registry.find(tag.version)
    if tag.commit in registry.by_commit:
        require_usable(registry.by_commit[tag.commit])
    counts = registry.stages.get(tag.stage)
    if counts != tag:
        now = f"{counts.name} ({registry.version_of(counts)[:20]}) does" if counts else "nothing does"
        raise UserError(f"{name} does not decide any more what serves as {tag.stage}, {now}: promote or roll back")
    return resolve(registry, rule, tag.stage)


@contextmanager
def obtained(version: Version) -> Iterator[tuple[Path, str]]:
    """Give the folder of a version's bundle, and where it came from; UserError if no way leads to its digest."""
    if is_bundle(BUNDLE, version.digest):
        yield BUNDLE, "from the work tree"
        return
    with snapshot.laid_out(version.tag.commit) as folder:
        for source in sources(version, folder):
            if is_bundle(folder / BUNDLE, version.digest):
                yield folder / BUNDLE, source
                return
    raise UserError(
        f"what commit {version.tag.commit[:9]} makes is not the bundle of {version.name} ({version.digest}): another"
        " machine may round differently, or the cache is damaged (`model verify`); `dvc push` it from where it was made"
    )


def sources(version: Version, folder: Path) -> Iterator[str]:
    """Yield each way by which a bundle came into the folder."""
    yield from snapshot.stored(folder)
    if assets.fetch(version, folder / BUNDLE):
        yield assets.SOURCE
    try:
        yield snapshot.remade(folder)
    except UserError as error:
        raise UserError(
            f"the bundle of {version.name} is neither in DVC's cache nor in its remote nor in a release, and cannot be"
            f" made anew ({error}): `dvc push` it from where it was made"
        ) from None
