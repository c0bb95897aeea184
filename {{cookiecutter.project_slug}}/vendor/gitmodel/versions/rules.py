"""The rules of promotion, from the section `registry:` of rules.yaml."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import Field

from gitmodel.base.project import RULES, UserError
from gitmodel.base.settings import Switch, parse
from gitmodel.rules import read_model, read_rules
from gitmodel.versions.signatures import SIGN, require_signed, signer
from gitmodel.versions.tags import NAME, Registry, Tag, Version

ANEW = f"commit a change, then register that, signed, as a new version; {SIGN}"


Stage = Annotated[str, Field(pattern=f"^{NAME}$")]
NAMES = "a list of names of letters, digits, - and _, such as [prod]"


@dataclass(frozen=True)
class PromotionRules:
    """What promotion asks for; see the comments in rules.yaml. The last stage is the one that users see."""

    stages: Annotated[tuple[Stage, ...], Field(strict=False, min_length=1, description=NAMES)] = ("staging", "prod")
    in_order: Switch = False
    two_person: Annotated[tuple[Stage, ...], Field(strict=False, description=NAMES)] = ()
    require_signed_tags: Switch = False

    def require_stage(self, stage: str, no: str = "no") -> None:
        """Raise UserError unless rules.yaml names the stage."""
        if stage not in self.stages:
            listed = ", ".join(self.stages)
            raise UserError(f"{stage!r:.60} is {no} stage: {listed} are, as registry.stages in {RULES} says")

    def require_order(self, registry: Registry, version: Version, stage: str) -> None:
        """Raise UserError if a version has not been in all the stages before."""
        been = {tag.stage for tag in registry.tags if not tag.cancel and tag.commit == version.tag.commit}
        for earlier in self.stages[: self.stages.index(stage)] if self.in_order else ():
            if earlier not in been:
                raise UserError(
                    f"{version.name} has not been in {earlier}: `model promote {version.name} {earlier}` first, as"
                    f" registry.in_order in {RULES} asks for"
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
                f" {stage}, as registry.two_person in {RULES} asks for"
            )

    def require_allowed(self, registry: Registry, version: Version, stage: str) -> None:
        """Raise UserError if what serves in a stage was not brought there as the rules ask for."""
        assigned = [tag for tag in registry.tags if tag.stage == stage and not tag.cancel]
        assigned = [tag for tag in assigned if tag.commit == version.tag.commit]
        signers = [key for tag in assigned if self.require_signed_tags and (key := signer(tag.object))]
        if not signers:
            self.require_assigned(assigned[-1])
        self.require_second_person(version, stage, signers or [tag.email for tag in assigned])


def load() -> PromotionRules:
    """Return the rules of the work tree's rules.yaml."""
    return rules_of(read_rules())


def rules_of(content: Mapping[str, Any]) -> PromotionRules:
    """Return the rules in the content of a rules.yaml; UserError names the setting that makes no sense."""
    rules = parse(PromotionRules, content, "registry", str(RULES))
    for name in ("stages", "two_person"):
        for stage in getattr(rules, name):
            if getattr(rules, name).count(stage) > 1:
                raise UserError(f"registry.{name} in {RULES} names {stage} twice: leave one out")
    for stage in rules.two_person:
        if stage not in rules.stages:
            raise UserError(f"registry.two_person in {RULES} names {stage!r}, which is not in registry.stages")
    return rules


def model_name() -> str:
    """Return what the registry calls the model: `model.name` of rules.yaml."""
    return read_model().name
