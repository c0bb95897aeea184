"""Damaged and hostile files: each is named in a line, none hangs a command, none goes unnoticed."""

import json
import os
import re
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path

from lab import Lab, Project

BOMB = "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"a{n}: &a{n} [{','.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 10)
)
BUNDLE = "models/bundle"
Damage = Callable[[Project], object]


def _write(name: str, content: str | bytes) -> Damage:
    def damage(project: Project) -> None:
        path = project.path / name
        path.unlink(missing_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)

    return damage


def _cut(name: str, part: float) -> Damage:
    def damage(project: Project) -> None:
        content = (project.path / name).read_bytes()
        _write(name, content[: int(len(content) * part)])(project)

    return damage


def _fifo(name: str) -> Damage:
    def damage(project: Project) -> None:
        (project.path / name).unlink(missing_ok=True)
        os.mkfifo(project.path / name)

    return damage


def _link(name: str, target: str) -> Damage:
    def damage(project: Project) -> None:
        (project.path / name).unlink(missing_ok=True)
        (project.path / name).symlink_to(target)

    return damage


def _moved(name: str) -> Damage:
    """Leave a link in the place of a file, to where the file then lies: outside of its folder."""

    def damage(project: Project) -> None:
        away = project.path.parent / f"{project.path.name}.away"
        (project.path / name).replace(away)
        (project.path / name).symlink_to(away)

    return damage


def _signed(name: str, content: str) -> Damage:
    """Write a file of the bundle, and its hash into the manifest: what a hostile bundle would have."""

    def damage(project: Project) -> None:
        _write(f"{BUNDLE}/{name}", content)(project)
        path = project.path / BUNDLE / "manifest.json"
        manifest = json.loads(path.read_text())
        manifest["files"][name] = {"sha256": sha256(content.encode()).hexdigest(), "bytes": len(content)}
        _write(f"{BUNDLE}/manifest.json", json.dumps(manifest))(project)

    return damage


def _manifest(**changes: object) -> Damage:
    def damage(project: Project) -> None:
        manifest = json.loads((project.path / BUNDLE / "manifest.json").read_text())
        _write(f"{BUNDLE}/manifest.json", json.dumps({**manifest, **changes}))(project)

    return damage


def _schema(**changes: str) -> Damage:
    def damage(project: Project) -> None:
        path = project.path / "schema.yaml"
        text = path.read_text()
        for key, value in changes.items():
            text = re.sub(rf"^{key}: .*$", f"{key}: {value}", text, flags=re.MULTILINE)
        path.write_text(text)

    return damage


BRACKETS = "[" * 200_000
TEXTS = dict.fromkeys(("model.onnx", "schema.yaml", "profile.json"), "x")
UP = "../" * 12 + "etc/passwd"
PLOTS = re.compile(r"^plots:$", re.MULTILINE)
SCORE, MONITOR, VERIFY = ("score", "data/batch.csv", "o.csv"), ("monitor", "data/batch.csv"), ("verify",)
REPRO = ("!make", "repro")
PREPARE, STATUS, INGEST = ("!dvc", "repro", "prepare"), ("status",), ("ingest", "data/batch.csv")
READ, FORCED = ("!python", "-m", "gitmodel.pipeline.prepare"), ("!dvc", "repro", "--single-item", "--force")
DAMAGED: tuple[tuple[str, Damage, tuple[tuple[str, ...], ...]], ...] = (
    ("manifest: brackets", _write(f"{BUNDLE}/manifest.json", BRACKETS), (SCORE, MONITOR, VERIFY)),
    ("manifest: objects", _write(f"{BUNDLE}/manifest.json", '{"a":' * 100_000), (SCORE, VERIFY)),
    ("manifest: no text", _write(f"{BUNDLE}/manifest.json", b"\xff\xfe\x00"), (SCORE, VERIFY)),
    ("manifest: a long number", _write(f"{BUNDLE}/manifest.json", "9" * 5_000), (SCORE, VERIFY)),
    (
        "manifest: files of text",
        _manifest(files=TEXTS),
        (SCORE, MONITOR),
    ),
    ("manifest: files a list", _manifest(files=list(TEXTS)), (SCORE, MONITOR)),
    ("manifest: features of text", _manifest(features="x"), (SCORE, MONITOR)),
    ("manifest: features of lists", _manifest(features={"derived": [[1]], "encoding": {}}), (SCORE, MONITOR)),
    ("manifest: format of text", _manifest(format="2"), (SCORE, MONITOR)),
    ("manifest: format a list", _manifest(format=[2]), (SCORE, MONITOR)),
    ("manifest: classes a number", _manifest(classes=3), (SCORE, MONITOR)),
    ("profile: empty", _signed("profile.json", "{}"), (MONITOR,)),
    ("profile: a list", _signed("profile.json", "[]"), (MONITOR,)),
    ("profile: nothing", _signed("profile.json", ""), (MONITOR,)),
    ("profile: columns of text", _signed("profile.json", '{"columns": "x", "predictions": 3}'), (MONITOR,)),
    ("profile: brackets", _signed("profile.json", BRACKETS), (MONITOR,)),
    ("schema: brackets", _signed("schema.yaml", "a: " + BRACKETS), (SCORE, MONITOR)),
    ("schema: an alias bomb", _signed("schema.yaml", BOMB), (SCORE, MONITOR)),
    ("schema: a list", _signed("schema.yaml", "[1, 2]"), (SCORE, MONITOR)),
    ("model: cut", _signed("model.onnx", "abc"), (SCORE,)),
    ("bundle: a FIFO more", _fifo(f"{BUNDLE}/pipe"), (SCORE, VERIFY)),
    ("bundle: a FIFO for the manifest", _fifo(f"{BUNDLE}/manifest.json"), (SCORE, VERIFY)),
    ("bundle: a FIFO for the model", _fifo(f"{BUNDLE}/model.onnx"), (SCORE, MONITOR, VERIFY)),
    ("bundle: a link out of it", _moved(f"{BUNDLE}/model.onnx"), (SCORE,)),
    ("bundle: a link to /dev/zero", _link(f"{BUNDLE}/profile.json", "/dev/zero"), (SCORE, MONITOR)),
    ("skops: cut", _cut("models/model.skops", 0.5), ((*FORCED, "evaluate"),)),
    (
        "skops: nearly whole",
        _cut("models/model.skops", 0.99),
        ((*FORCED, "package"),),
    ),
    ("params: an alias bomb", _write("params.yaml", BOMB), (REPRO, VERIFY)),
    ("params: brackets", _write("params.yaml", "a: " + BRACKETS), (VERIFY,)),
    ("rules: an alias bomb", _write("rules.yaml", BOMB), (("gate", "--base", "HEAD"), ("margins",), STATUS)),
    ("rules: brackets", _write("rules.yaml", "a: " + BRACKETS), (("margins",), STATUS)),
    ("dvc.lock: an alias bomb", _write("dvc.lock", BOMB), (VERIFY,)),
    ("metrics: brackets", _write("reports/metrics.json", BRACKETS), (VERIFY, ("gate", "--base", "HEAD"))),
    (
        "table: /etc/passwd",
        _schema(table=UP),
        (PREPARE, INGEST),
    ),
    ("table: an absolute path", _schema(table="/etc/passwd"), (PREPARE, INGEST)),
    (
        "table: a link to /etc/passwd",
        _link("data/raw.csv", "/etc/passwd"),
        (READ,),
    ),
    (
        "table: a FIFO",
        _fifo("data/raw.csv"),
        (READ, INGEST),
    ),
    (
        "batch: a FIFO",
        _fifo("data/batch.csv"),
        (SCORE, MONITOR, INGEST, ("adopt", INGEST[1], "--target", "x")),
    ),
    ("batch: /dev/zero", _link("data/batch.csv", "/dev/zero"), (SCORE, MONITOR, INGEST)),
)


def damaged(lab: Lab) -> Iterator[str]:
    """Damage a file, run the commands that read it."""
    for name, damage, commands in lab.some(DAMAGED, 8):
        with lab.copy() as project:
            (project.path / "data/batch.csv").write_text("\n".join(project.lines()[:300]) + "\n")
            damage(project)
            for words in lab.some(commands, 1):
                found = project.run(*words, memory=6 << 30)
                wrong = found.refused()
                leaked = "root:x:" in found.said()
                yield f"{name}: {wrong}" if wrong else f"{name}: {words[0]} shows the file" if leaked else ""
            Path(f"{project.path}.away").unlink(missing_ok=True)


def _flip(path: Path) -> None:
    path.chmod(0o644)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def unnoticed(lab: Lab) -> Iterator[str]:
    """Flip a byte where DVC keeps results, and add what no lock knows: `verify` finds it."""
    with lab.copy() as project:
        places = sorted(path for path in (project.path / ".dvc/cache/runs").rglob("*") if path.is_file())
        places += sorted(path for path in (project.path / ".dvc/cache/files").rglob("*") if path.is_file())
    for place in lab.some([path.relative_to(project.path) for path in places], 2):
        with lab.copy() as project:
            _flip(project.path / place)
            found = project.run("verify")
            told = place.name in found.said() and not found.unclean()
            yield found.refused() if found.code else "" if told else f"{place}: verify says nothing"
    with lab.copy() as project:
        pipeline = project.path / "dvc.yaml"
        pipeline.write_text(PLOTS.sub("plots:\n  - x.csv:\n      x: a", pipeline.read_text()))
        found = project.run("verify")
        covered = "plots" in found.said().lower()
        yield "" if found.code or covered else "dvc.yaml: other plots, and verify says nothing"


def locks_left(lab: Lab) -> Iterator[str]:
    """Leave what a killed DVC leaves behind: `make repro` and `verify` cure it, or name the remedy."""
    for name, content in lab.some((("rwlock", ""), ("rwlock", "{"), ("rwlock", "[]"), ("lock", ""), ("lock", "1")), 2):
        for words, stale in ((("verify",), False), (("!make", "repro"), False), (("!make", "repro"), True)):
            with lab.copy() as project:
                (project.path / ".dvc/tmp").mkdir(exist_ok=True)
                (project.path / f".dvc/tmp/{name}").write_text(content)
                if stale:
                    params = project.path / "params.yaml"
                    params.write_text(params.read_text().replace("learning_rate: 0.1", "learning_rate: 0.2"))
                found = project.run(*words)
                cured = not found.code or (f"tmp/{name}" in found.said() and "remove" in found.said().lower())
                yield found.unclean() or ("" if cured else f"{name} {content!r}: {words} {found.err.strip()[:150]}")


FAMILIES = {
    "damaged and hostile files": damaged,
    "a byte flipped in the cache, plots unknown": unnoticed,
    "locks that a killed DVC leaves": locks_left,
}
