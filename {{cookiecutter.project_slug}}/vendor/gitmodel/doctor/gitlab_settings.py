"""What the gate relies on in the settings of a project on GitLab: how to see it over the API, and how to set it."""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from gitmodel.base.project import UserError
from gitmodel.doctor.protection import MAIN, PROTECT
from gitmodel.gitlab.acceptance import LABEL
from gitmodel.gitlab.api import Project, opened

TAGS = ("*@v*", "*#*#*")
NOBODY, MAINTAINER = 0, 40
WAITS = {"only_allow_merge_if_pipeline_succeeds": True, "allow_merge_on_skipped_pipeline": False}
VARIABLES = {"ci_pipeline_variables_minimum_override_role": "maintainer"}
CONFIG = "ci_config_path"


@dataclass(frozen=True)
class Need:
    """Something that must be set: how to see it, and how to set it; or what a person has to do."""

    name: str
    is_met: Callable[[Project], bool]
    meet: Callable[[Project], object] | None
    remedy: str


def about(project: Project) -> dict[str, Any]:
    """Return what GitLab says of the project as a whole."""
    told: dict[str, Any] = project.ask("GET", "")
    return told


def has(project: Project, wanted: Mapping[str, object]) -> bool:
    """Tell whether settings of the project have these values; what GitLab does not tell is not met."""
    told = about(project)
    return all(told.get(name) == value for name, value in wanted.items())


def main_is_closed(project: Project) -> bool:
    """Tell whether nobody pushes to main."""
    branch = project.found(f"protected_branches/{MAIN}") or {}
    levels = branch.get("push_access_levels", [{"access_level": MAINTAINER}])
    return bool(branch) and all(one["access_level"] == NOBODY for one in levels) and not branch["allow_force_push"]


def close_main(project: Project) -> None:
    """Let nobody push to main, and maintainers and developers merge into it."""
    if project.found(f"protected_branches/{MAIN}"):
        project.ask("DELETE", f"protected_branches/{MAIN}")
    content = {"name": MAIN, "push_access_level": NOBODY, "merge_access_level": 30, "allow_force_push": False}
    project.ask("POST", "protected_branches", content)


def loose_tags(project: Project) -> list[str]:
    """Return which tags of versions and stages are not protected: somebody may move them."""
    return [tag for tag in TAGS if not project.found(f"protected_tags/{quote(tag, safe='')}")]


def protect_tags(project: Project) -> None:
    """Protect the tags that are not protected yet."""
    for tag in loose_tags(project):
        project.ask("POST", "protected_tags", {"name": tag, "create_access_level": MAINTAINER})


def make_label(project: Project) -> None:
    """Make the label that accepts a regression."""
    content = {"name": LABEL, "color": "#D93F0B", "description": "This merge request may make the model worse"}
    project.ask("POST", "labels", content)


NEEDS = (
    Need("main takes merge requests only", main_is_closed, close_main, PROTECT),
    Need(
        "main waits for the pipeline",
        lambda project: has(project, WAITS),
        lambda project: project.ask("PUT", "", WAITS),
        PROTECT,
    ),
    Need("tags of versions stay", lambda project: not loose_tags(project), protect_tags, PROTECT),
    Need(
        "label accept-regression exists",
        lambda project: project.found(f"labels/{LABEL}") is not None,
        make_label,
        PROTECT,
    ),
    Need(
        "no pipeline overrides what GitLab says of it",
        lambda project: has(project, VARIABLES),
        lambda project: project.ask("PUT", "", VARIABLES),
        PROTECT,
    ),
    Need(
        "the checks lie where no merge request changes them",
        lambda project: "@" in (about(project).get(CONFIG) or ""),
        None,
        "a merge request brings its own .gitlab-ci.yml: see `The file that judges` in docs/gitlab.md",
    ),
)


def project_of_person() -> Project:
    """Return the project as a person may ask it; UserError without their token."""
    if not any(map(os.environ.get, ("GITLAB_TOKEN", "MODEL_TOKEN"))):
        raise UserError("GitLab is asked with a token in GITLAB_TOKEN: make one with the scope api, of a maintainer")
    return opened()
