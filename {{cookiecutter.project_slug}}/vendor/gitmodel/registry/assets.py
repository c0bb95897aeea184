"""What a release of a version holds: its bundle as one file, the same bytes each time; fetched back from its forge."""

import shutil
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gitmodel.base.outlet import one_line, words
from gitmodel.base.project import BUNDLE, UserError
from gitmodel.bundle.contents import digest, read_verified
from gitmodel.git.programs import call, last_line
from gitmodel.gitlab.api import on_gitlab
from gitmodel.gitlab.api import opened as gitlab_project
from gitmodel.gitlab.release import fetched
from gitmodel.versions.tags import Version

SOURCE = "from its release"
MOST_BYTES = 2 << 30  # of an unpacked bundle, as of an asset on GitHub


def archive_name(version: Version) -> str:
    """Return what the bundle is called in the release, such as income-model-v1.2.0.tar."""
    return f"{version.tag.name.replace('@', '-')}.tar"


def pack(bundle: Path, archive: Path) -> None:
    """Write a bundle as one file that does not tell when, where and by whom it was packed."""
    with tarfile.open(archive, "w", format=tarfile.PAX_FORMAT) as files:
        for path in sorted(bundle.iterdir()):
            entry = tarfile.TarInfo(f"{BUNDLE.name}/{path.name}")
            entry.size = path.stat().st_size
            with path.open("rb") as content:
                files.addfile(entry, content)


def unpack(archive: Path, bundle: Path) -> None:
    """Put the files of a packed bundle into a folder; UserError if it holds anything else."""
    shutil.rmtree(bundle, ignore_errors=True)
    bundle.mkdir(parents=True)
    try:
        with tarfile.open(archive, "r:") as files:
            entries = files.getmembers()
            if sum(entry.size for entry in entries) > MOST_BYTES:
                raise UserError(f"{archive.name} is larger than any bundle may be")
            for entry in entries:
                content = files.extractfile(entry)
                if content is None or Path(entry.name).parent != Path(BUNDLE.name):
                    raise UserError(f"{archive.name} holds {one_line(entry.name)[:80]!r}, which is no file of a bundle")
                with content, (bundle / Path(entry.name).name).open("wb") as copy:
                    shutil.copyfileobj(content, copy)
    except (tarfile.TarError, OSError, KeyError, ValueError) as error:
        raise UserError(f"{archive.name} cannot be unpacked ({words(error)[:100]})") from None


def download(version: Version, bundle: Path) -> None:
    """Put the bundle of a version's release into a folder, unproven; UserError if there is none."""
    name = archive_name(version)
    if on_gitlab():
        return unpack_bytes(fetched(gitlab_project(), version.tag.name, name), name, bundle)
    if not shutil.which("gh"):
        raise UserError("a release is fetched by gh, which is not installed: install it, or leave --release out")
    with tempfile.TemporaryDirectory(prefix="model-release-") as folder:
        words = ["release", "download", version.tag.name, "--pattern", name, "--dir", folder]
        result = call("gh", *words, GH_PROMPT_DISABLED="1")
        if result.returncode or not Path(folder, name).is_file():
            raise UserError(
                f"{name} cannot be had from the release {version.tag.name} ({last_line(result.stderr)}):"
                " look at the run of release.yml for that tag, or `gh auth login`"
            )
        unpack(Path(folder, name), bundle)


def unpack_bytes(content: bytes, name: str, bundle: Path) -> None:
    """Put the files of a packed bundle into a folder."""
    with tempfile.TemporaryDirectory(prefix="model-release-") as folder:
        Path(folder, name).write_bytes(content)
        unpack(Path(folder, name), bundle)


def fetch(version: Version, bundle: Path) -> bool:
    """Put the bundle of a version's release into a folder, if there is such a release, and gh to reach it."""
    try:
        download(version, bundle)
    except UserError:
        return False
    return True


@contextmanager
def released(version: Version) -> Iterator[tuple[Path, str]]:
    """Give the folder of the bundle in a version's release; UserError if it is not the one that was registered."""
    with tempfile.TemporaryDirectory(prefix="model-release-") as name:
        bundle = Path(name, BUNDLE.name)
        download(version, bundle)
        if not is_bundle(bundle, version.digest):
            raise UserError(
                f"{archive_name(version)} in the release {version.tag.name} is not the bundle that was registered"
                f" ({version.digest}): it was changed afterwards; use it nowhere, and find out who changed it"
            )
        yield bundle, SOURCE


def is_bundle(folder: Path, wanted: str) -> bool:
    """Tell whether a folder holds a whole bundle of this digest."""
    try:
        read_verified(folder)
        return digest(folder) == wanted
    except (UserError, OSError):
        return False
