"""The bundles of main and canary by the digests in the log: in folders that are here, or by the registry's tags."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from gitmodel.base.outlet import one_line
from gitmodel.base.project import BUNDLE, UserError
from gitmodel.bundle.bundle import Bundle
from gitmodel.bundle.fast import FastBundle
from gitmodel.git import snapshot
from gitmodel.registry.assets import is_bundle
from gitmodel.versions import own, rules, tags
from gitmodel.versions.tags import Version


class NotAtHand(UserError):
    """A bundle that is neither in a folder here nor in DVC's cache or remote, or whose code is not."""


@contextmanager
def opened(wanted: str, whose: str, given: Sequence[Path]) -> Iterator[tuple[Bundle, str]]:
    """Give the bundle with a digest, and a sentence if it predicts with its own code.

    NotAtHand if it, or the code that it needs, cannot be had; of a given one a UserError says why.
    """
    with ExitStack() as stack:
        folder = stack.enter_context(folder_of(wanted, whose, given))
        try:
            found = stack.enter_context(own.opened(FastBundle, folder))
        except UserError as error:
            if folder in given:
                raise
            raise NotAtHand(f"the bundle of {whose} cannot predict here ({one_line(error)})") from None
        yield found


@contextmanager
def folder_of(wanted: str, whose: str, given: Sequence[Path]) -> Iterator[Path]:
    """Give the folder of the bundle with a digest: a given one, one in models/, or that of a version."""
    folders = [*given, BUNDLE, *sorted(path.parent for path in BUNDLE.parent.glob("*/manifest.json"))]
    here = next((folder for folder in folders if is_bundle(folder, wanted)), None)
    version = None if here else version_of(wanted)
    if here:
        yield here
        return
    if version:
        with snapshot.laid_out(version.tag.commit) as folder:
            for _ in snapshot.stored(folder):
                if is_bundle(folder / BUNDLE, wanted):
                    yield folder / BUNDLE
                    return
    name = version.name if version else "VERSION"
    remedy = f"bring it with `model checkout {name}`, or name it with --bundle"
    raise NotAtHand(f"the bundle of {whose} is not here: {remedy}")


def version_of(wanted: str) -> Version | None:
    """Return the registered version of a digest; None if no tag names it, or there is no repository here."""
    with suppress(UserError):
        versions = tags.read(rules.model_name()).versions.values()
        return next((version for version in versions if version.digest == wanted), None)
    return None
