"""`model release`: the files of a version's release."""

import argparse
import re
import tempfile
from pathlib import Path

from gitmodel.base.project import BUNDLE, CARD, UserError, say
from gitmodel.base.writing import replacing_folder
from gitmodel.git.programs import call, last_line
from gitmodel.registry import assets, changelog
from gitmodel.registry.checkout import chosen, obtained
from gitmodel.versions.tags import Version

TEXT = """Write the files of a version's release into a folder, and publish nothing: its bundle as one file, proven by
the digest in the version's tag; the model card; and `notes.md`, the text of the release (what the tag says, then the
card). The same version gives the same bytes. The workflow release.yml calls this, then signs and publishes them."""
WHICH = "such as v1.2.0, or its tag NAME@v1.2.0; a stage stands for the version that serves there"
NOTES = "notes.md"
MOST_NOTES = 100_000  # characters; GitHub takes 125,000


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Say what `model release` takes."""
    parser.description = TEXT
    parser.add_argument("which", metavar="VERSION", help=WHICH)
    parser.add_argument("--output", type=Path, metavar="DIR", default=Path("dist"), help="by default dist")
    parser.set_defaults(command=lambda args: release(args.which, args.output))


def release(which: str, output: Path) -> None:
    """Write the files of a release; UserError, and no folder, if the bundle is not the registered one."""
    version = chosen(which)
    card = committed_card(version)
    if output.exists() and not (output / NOTES).exists():
        raise UserError(f"{output} exists and holds no release: name another folder with --output")
    with obtained(version) as (bundle, source), replacing_folder(output) as draft:
        archive = draft / assets.archive_name(version)
        assets.pack(bundle, archive)
        with tempfile.TemporaryDirectory() as proof:
            assets.unpack(archive, Path(proof, BUNDLE.name))
            if not assets.is_bundle(Path(proof, BUNDLE.name), version.digest):
                raise UserError(f"the bundle of {version.name} changed while it was packed: run this again")
        (draft / CARD.name).write_text(card, encoding="utf-8", newline="\n")
        (draft / NOTES).write_text(notes(version, card), encoding="utf-8", newline="\n")
    say(f"{output / archive.name} is {version.name} {source}: {version.digest}, as {version.tag.name} says")


def committed_card(version: Version) -> str:
    """Return the model card of a version's commit; UserError if it is not that of its bundle."""
    result = call("git", "show", f"{version.tag.commit}:./{CARD.as_posix()}")
    if result.returncode:
        raise UserError(f"{version.name} has no {CARD} ({last_line(result.stderr)}): it was not made by `dvc repro`")
    if version.digest not in result.stdout:
        raise UserError(f"{CARD} of {version.name} is that of another bundle: register a commit of `dvc repro` instead")
    return result.stdout


def notes(version: Version, card: str) -> str:
    """Return what people read at the release: what the tag says, then the card without what needs other files."""
    text = re.sub(r"\A---\n.*?\n---\n", "", card, flags=re.DOTALL)
    text = re.sub(r"^!\[.*\n+", "", text, flags=re.MULTILINE)
    said = changelog.part(version, []).partition("\n")[2].strip()
    return f"{said}\n\nBundle: `{version.digest}`\n\n{text.strip()}\n"[:MOST_NOTES]
