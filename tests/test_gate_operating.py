"""The gate blocks equal models seldom and a true loss nearly always: a short run of benchmarks/gate_operating.py."""

import pytest
from conftest import ROOT, Bake, BakedProject

MOST_FALSE_ALARMS, FEWEST_CATCHES = 0.05, 0.95
REPEAT = 200
REPEAT_LARGE = 40  # each takes long; more of them: benchmarks/gate_operating.py

pytestmark = pytest.mark.slow


@pytest.fixture
def project(bake: Bake) -> BakedProject:
    """Return a generated project."""
    return bake()


def blocked(
    project: BakedProject, environment: dict[str, str], *options: str, repeat: int = REPEAT
) -> list[tuple[str, float, float]]:
    """Run the benchmark and return name, share that the gate blocks, share that a fixed tolerance blocks."""
    benchmark = [str(ROOT / "benchmarks" / "gate_operating.py"), "--repeat", str(repeat), *options]
    lines = project.run(["python", *benchmark], **environment).stdout.splitlines()[2:]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return [(f"{name}, margins {margins}", share(gate), share(fixed)) for name, _, margins, gate, fixed, _ in cells]


def share(cell: str) -> float:
    """Return 0.028 for `2.8% (1.7% to 4.6%)`."""
    return float(cell.split("%")[0]) / 100


@pytest.mark.parametrize(
    ("rows", "draws", "repeat", "models", "count"),
    [
        (300, 300, REPEAT, "equal: ", 8),
        (1000, 200, REPEAT, "equal: two classes, 30", 2),
        (5000, 100, REPEAT_LARGE, "equal: two classes, 30", 2),
    ],
)
def test_equal_models_are_seldom_blocked(
    project: BakedProject, environment: dict[str, str], rows: int, draws: int, repeat: int, models: str, count: int
) -> None:
    """Of equally good models, at most one in twenty is blocked, over all metrics and groups, whatever the margins."""
    options = ("--draws", str(draws), "--rows", str(rows), "--only", models)
    found = blocked(project, environment, *options, repeat=repeat)
    assert len(found) == count
    assert [case for case in found if case[1] > MOST_FALSE_ALARMS] == []
    assert min(fixed for _, _, fixed in found) > MOST_FALSE_ALARMS  # what a fixed tolerance would do


def test_true_loss_is_blocked(project: BakedProject, environment: dict[str, str]) -> None:
    """A true loss of 3 points of accuracy on 1,000 rows is blocked, judged alone or with all else."""
    found = blocked(project, environment, "--draws", "100", "--rows", "1000", "--only", "3 points")
    assert len(found) == 2
    assert [case for case in found if case[1] < FEWEST_CATCHES] == []
