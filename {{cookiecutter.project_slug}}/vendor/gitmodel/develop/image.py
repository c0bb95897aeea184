"""`model image`: build the image that serves the bundle, and start it."""

import argparse
import shutil
from pathlib import Path

from gitmodel.base.project import BUNDLE, UserError
from gitmodel.git.programs import call, follow

COMPOSE = Path("compose.yaml")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Say what `model image` takes."""
    parser.description = (
        f"Build the image that serves {BUNDLE.as_posix()}, labelled with commit and version, by Docker's compose."
    )
    parser.add_argument("--name", metavar="REGISTRY/NAME:TAG", help="its name; by default that of compose.yaml")
    parser.add_argument("--up", action="store_true", help="start it, too, with its monitoring: see compose.yaml")
    parser.set_defaults(command=_command)


def _command(args: argparse.Namespace) -> None:
    docker = found_docker()
    labels = {"COMMIT": _commit(), "VERSION": _version()} | ({"IMAGE": args.name} if args.name else {})
    follow(docker, "compose", "build", "model", **labels)
    if args.up:
        follow(docker, "compose", "up", "--detach", **labels)


def found_docker() -> str:
    """Return Docker; UserError if something is missing to build the image."""
    if not COMPOSE.exists():
        raise UserError(f"this project has no {COMPOSE}: it was made without an image (`deploy_target: none`)")
    docker = shutil.which("docker")
    if not docker:
        raise UserError("docker is not installed: install it, then run this again")
    if not (BUNDLE / "manifest.json").is_file():
        raise UserError(f"{BUNDLE.as_posix()} is missing: run `model repro`, or `dvc pull`")
    if call(docker, "compose", "version").returncode:
        raise UserError("docker has no compose: install its compose plugin, then run this again")
    return docker


def _commit() -> str:
    """Return the last commit in full, marked if files differ from it; empty where there is none."""
    words = ("--always", "--dirty", "--abbrev=40", "--exclude", "*")
    return call("git", "describe", *words).stdout.strip()


def _version() -> str:
    """Return the newest version that is registered at the last commit; empty if none is."""
    tags = call("git", "tag", "--points-at", "HEAD", "--list", "*@v*", "--sort=-version:refname").stdout.split()
    return tags[0].rpartition("@")[2] if tags else ""
