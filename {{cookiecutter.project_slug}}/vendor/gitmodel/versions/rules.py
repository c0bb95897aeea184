"""The rules of promotion, from the section `registry:` of params.yaml."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, fields
from typing import Any

from gitmodel.base.project import PARAMS, UserError, read_params, read_yaml
from gitmodel.versions.signatures import SIGN, require_signed, signer
from gitmodel.versions.tags import NAME, Registry, Tag, Version

ANEW = f"commit a change, then register that, signed, as a new version; {SIGN}"


@dataclass(frozen=True)
class Rules:
    """What promotion asks for; see the comments in params.yaml. The last stage is the one that users see."""

    stages: tuple[str, ...] = ("staging", "prod")
    in_order: bool = False
    two_person: tuple[str, ...] = ()
    require_signed_tags: bool = False

    def require_stage(self, stage: str, no: str = "no") -> None:
        """Raise UserError unless params.yaml names the stage."""
        if stage not in self.stages:
            listed = ", ".join(self.stages)
            raise UserError(f"{stage!r:.60} is {no} stage: {listed} are, as registry.stages in {PARAMS} says")

    def require_order(self, registry: Registry, version: Version, stage: str) -> None:
        """Raise UserError if a version has not been in all the stages before."""
        been = {tag.stage for tag in registry.tags if not tag.cancel and tag.commit == version.tag.commit}
        for earlier in self.stages[: self.stages.index(stage)] if self.in_order else ():
            if earlier not in been:
                raise UserError(
                    f"{version.name} has not been in {earlier}: `model promote {version.name} {earlier}` first, as"
                    f" registry.in_order in {PARAMS} asks for"
                )

    def counts(self, tag: Tag) -> bool:
        """Tell whether a tag counts: where signatures are asked for, one that has a good one."""
        return not self.require_signed_tags or bool(signer(tag.object))

    def require_registered(self, version: Version) -> str:
        """Return the key that signed a version's tag, if signatures are asked for; UserError if that does not count."""
        return require_signed(version.tag.object, version.tag.name, ANEW) if self.require_signed_tags else ""

    def require_assigned(self, tag: Tag) -> None:
        """Raise UserError if the tag that decides what serves in a stage does not count."""
        if self.require_signed_tags:
            require_signed(tag.object, tag.name, f"promote a version to {tag.stage} anew, signed; {SIGN}")

    def require_second_person(self, version: Version, stage: str, promoters: Iterable[str]) -> None:
        """Raise UserError unless one of the promoters (addresses, or keys) is not the one who registered it."""
        if stage not in self.two_person:
            return
        first = self.require_registered(version) or version.tag.email
        if all(promoter.casefold() == first.casefold() for promoter in promoters):
            raise UserError(
                f"{version.name} was registered by {version.tag.by}, so that another person has to promote it to"
                f" {stage}, as registry.two_person in {PARAMS} asks for"
            )

    def require_allowed(self, registry: Registry, version: Version, stage: str) -> None:
        """Raise UserError if what serves in a stage was not brought there as the rules ask for."""
        assigned = [tag for tag in registry.tags if tag.stage == stage and not tag.cancel]
        assigned = [tag for tag in assigned if tag.commit == version.tag.commit]
        signers = [key for tag in assigned if self.require_signed_tags and (key := signer(tag.object))]
        if not signers:
            self.require_assigned(assigned[-1])
        self.require_second_person(version, stage, signers or [tag.email for tag in assigned])


def load() -> Rules:
    """Return the rules of the work tree's params.yaml."""
    return rules_of(read_yaml(PARAMS))


def rules_of(params: dict[str, Any]) -> Rules:
    """Return the rules in the content of a params.yaml; UserError names the setting that makes no sense."""
    section = params.get("registry")
    if section is None:
        return Rules()
    if not isinstance(section, dict):
        raise UserError(f"`registry:` in {PARAMS} must hold `setting: value` lines")
    known = [setting.name for setting in fields(Rules)]
    for name in section:
        if name not in known:
            raise UserError(f"registry.{name} in {PARAMS} is no setting: {', '.join(known)} are")
    for name in ("in_order", "require_signed_tags"):
        if not isinstance(section.get(name, False), bool):
            raise UserError(f"registry.{name} in {PARAMS} must be true or false")
    stages = _names(section, "stages", Rules.stages)
    people = _names(section, "two_person", ())
    if not stages or set(people) - set(stages):
        raise UserError(f"registry.stages in {PARAMS} must name at least one stage, and those of registry.two_person")
    switches = {name: section[name] for name in ("in_order", "require_signed_tags") if name in section}
    return Rules(stages=stages, two_person=people, **switches)


def model_name() -> str:
    """Return what the registry calls the model: `package.name` of params.yaml."""
    return str(read_params("package")["name"])


def _names(section: dict[str, Any], name: str, default: tuple[str, ...]) -> tuple[str, ...]:
    found = section.get(name, default)
    sound = isinstance(found, (list, tuple)) and all(
        isinstance(text, str) and re.fullmatch(NAME, text) for text in found
    )
    if not sound or len(set(found)) < len(found):
        raise UserError(f"registry.{name} in {PARAMS} must list names of letters, digits, - and _, such as [prod]")
    return tuple(found)
