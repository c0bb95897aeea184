"""The scripts that the checks of both forges run."""

import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import BIN, LIBRARY, commit_all, run

SCRIPTS = LIBRARY / "gitmodel/ci"
SEEN = "id -u; env; test -r /proc/$PPID/environ && tr '\\0' '\\n' < /proc/$PPID/environ; touch made"


@pytest.fixture
def folder() -> Iterator[Path]:
    """Return a folder that everybody may read, as that of a runner is."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        (Path(name) / "alone").mkdir()
        yield Path(name)


def test_the_linter_finds_nothing() -> None:
    """In any script."""
    paths = sorted(map(str, SCRIPTS.glob("*.sh")))
    assert len(paths) >= 5
    run([str(BIN / "shellcheck"), *paths], LIBRARY)


def deaf(script: str) -> list[str]:
    """Return pipes into programs that may end before they have read everything."""
    return re.findall(r"\| *(?:head\b|grep (?:\S+ )*?(?:-\w*q|--quiet)|sed (?:-n )?'?\d*q)[^\n]*", script)


def test_no_pipe_ends_before_all_is_read() -> None:
    """With pipefail, what writes into one dies of SIGPIPE now and then, and its step with it."""
    assert [len(deaf(line)) for line in ("a | head -n 1", "a | grep -vq b", "a | grep -v --quiet b")] == [1, 1, 1]
    room = SCRIPTS.parents[2]
    paths = [*SCRIPTS.glob("*.sh"), *room.glob(".git*/**/*.yml"), room / ".gitlab-ci.yml"]
    assert len(paths) > 20
    assert [(path.name, found) for path in paths for found in deaf(path.read_text())] == []


def test_alone_means_without_the_variables_of_the_job(folder: Path) -> None:
    """Neither given nor found in the process that started it; what it makes stays, and its status is passed on."""
    words = ["bash", str(SCRIPTS / "alone.sh"), "alone", "sh", "-c"]
    seen = run([*words, SEEN], folder, check=False, CI_JOB_TOKEN="secret-token").stdout
    assert "PATH=" in seen
    assert "secret-token" not in seen
    assert (folder / "alone/made").exists()
    assert run([*words, "exit 3"], folder, check=False).returncode == 3


@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("setpriv"), reason="only root can be somebody else")
def test_alone_is_nobody_where_the_job_is_root(folder: Path) -> None:
    """Who cannot read what root's processes hold, nor write beside its folder."""
    words = ["bash", str(SCRIPTS / "alone.sh"), "alone", "sh", "-c"]
    plain = f"/usr/bin:/bin:{Path('/usr/bin/python3').parent}"
    (folder / "python").symlink_to("/usr/bin/python3")
    said = run([*words, "id -u; touch ../beside"], folder, check=False, PATH=f"{folder}:{plain}")
    assert (said.stdout, said.returncode != 0) == ("65534\n", True)
    assert not (folder / "beside").exists()


@pytest.mark.parametrize(
    ("rules", "said"),
    [(None, "yes"), ("", "yes"), ("gate:\n", "yes"), ("gate: {repeat_training: false}\n", "no"), ("a: 1\n", "yes")],
)
def test_training_is_repeated_unless_the_rules_of_the_commit_say_no(
    tmp_path: Path, rules: str | None, said: str
) -> None:
    """Those of the work tree do not count."""
    run("git -c init.defaultBranch=main init --quiet", tmp_path)
    if rules is not None:
        (tmp_path / "rules.yaml").write_text(rules)
    (tmp_path / "other").touch()
    commit_all(tmp_path, "start")
    (tmp_path / "rules.yaml").write_text("gate: {repeat_training: false}\n" if said == "yes" else "")
    path = f"{BIN}{os.pathsep}{os.environ['PATH']}"
    assert run(["bash", str(SCRIPTS / "repeated.sh"), "HEAD"], tmp_path, PATH=path).stdout == f"{said}\n"
