"""`model checkout`: put the bundle of a version into a folder, and prove that it is the one that was registered."""

import argparse
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .. import former
from ..bundle import digest, read_verified
from ..project import BUNDLE, UserError, replacing_folder, say
from . import rules, tags
from .promote import require_usable
from .rules import Rules
from .signatures import require_signed
from .status import none_here
from .tags import VERSION, Registry, Version, require_version

TEXT = """Put the bundle of a version, or of the one that serves in a stage, into a folder. It comes from the work tree,
DVC's cache or DVC's remote, or else is made anew from the version's commit; its digest must be the one in the version's
tag. The work tree and its models/bundle stay as they are."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Say what `model checkout` takes."""
    parser.description = TEXT
    parser.add_argument("which", metavar="VERSION|STAGE", help="such as v1.2.0, or prod")
    parser.add_argument("--output", type=Path, metavar="DIR", help="by default models/VERSION")
    parser.set_defaults(command=lambda args: checkout(args.which, args.output))


def checkout(which: str, output: Path | None = None) -> None:
    """Write the bundle of a version; UserError, and no folder, if it cannot be had or is not the registered one."""
    rule, registry = rules.load(), tags.read(rules.model_name())
    if not registry.tags:
        raise UserError(none_here(registry.name))
    version = resolve(registry, rule, which)
    require_usable(version)
    if rule.require_signed_tags:
        require_signed(version.tag.object, version.tag.name)
    if not version.digest:
        raise UserError(f"{version.tag.name} carries no digest: `model register` did not make it, so nothing is proven")
    folder = output or BUNDLE.parent / version.name
    if is_bundle(folder, version.digest):
        return say(f"{folder} holds {version.name} already ({version.digest})")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())) and not (folder / "manifest.json").exists():
        raise UserError(f"{folder} exists and holds no bundle: name another folder with --output")
    with obtained(version) as (bundle, source), replacing_folder(folder) as draft:
        shutil.copytree(bundle, draft, dirs_exist_ok=True)
        if not is_bundle(draft, version.digest):
            raise UserError(f"the bundle of {version.name} changed while it was copied: run this again")
    say(f"{folder} holds {version.name} {source}: {version.digest}, as {version.tag.name} says")


def resolve(registry: Registry, rule: Rules, which: str) -> Version:
    """Return the version that is meant, by its own name or as what serves in a stage."""
    if re.fullmatch(VERSION, which) or re.fullmatch(VERSION, f"v{which}"):
        return registry.find(require_version(which))
    if which not in registry.stages:
        rule.require_stage(which)
    version = registry.serving(which)
    rule.require_allowed(registry, version, which)
    return version


@contextmanager
def obtained(version: Version) -> Iterator[tuple[Path, str]]:
    """Give the folder of a version's bundle, and where it came from; UserError if no way leads to its digest."""
    if is_bundle(BUNDLE, version.digest):
        yield BUNDLE, "from the work tree"
        return
    with former.laid_out(version.tag.commit) as folder:
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
    try:
        yield from former.bundles(folder)
    except UserError as error:
        raise UserError(
            f"the bundle of {version.name} is neither in DVC's cache nor in its remote, and cannot be made anew"
            f" ({error}): `dvc push` it from where it was made"
        ) from None


def is_bundle(folder: Path, wanted: str) -> bool:
    """Tell whether a folder holds a whole bundle of this digest."""
    try:
        read_verified(folder)
        return digest(folder) == wanted
    except (UserError, OSError):
        return False
