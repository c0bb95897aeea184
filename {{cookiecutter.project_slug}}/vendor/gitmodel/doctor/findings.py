"""What was looked at, what was found, and what mends it. A check yields a line for each fault: cause, then remedy."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from gitmodel.base.project import UserError
from gitmodel.doctor.forge import CannotAsk, Forge, Refused

OK, MISSING, UNKNOWN = "ok", "missing", "unknown"
ASK = "ask an administrator to run `model doctor`"

Check = Callable[[Forge], Iterator[str]]


class Unknown(Exception):
    """A check cannot tell; its text says why, and who can."""


@dataclass(frozen=True)
class Finding:
    """A check, how it ended, and the fault with its remedy."""

    state: str
    check: str
    fault: str = ""

    def __str__(self) -> str:
        """Return the line for it."""
        return f"{self.state:8} {self.check}{f': {self.fault}' if self.fault else ''}"


def look(forge: Forge, checks: Mapping[str, Check]) -> Iterator[Finding]:
    """Yield what each check finds: every fault, or that there is none. What GitHub does not tell is never ok."""
    for name, check in checks.items():
        sound = True
        for state, fault in _faults(check, forge):
            sound = False
            yield Finding(state, name, fault)
        if sound:
            yield Finding(OK, name)


def _faults(check: Check, forge: Forge) -> Iterator[tuple[str, str]]:
    try:
        for fault in check(forge):
            yield MISSING, fault
    except CannotAsk:
        raise
    except UserError as error:
        yield MISSING, str(error)
    except Unknown as error:
        yield UNKNOWN, str(error)
    except Refused as error:
        if error.is_of_the_plan:
            yield MISSING, f"GitHub says: {error}"
        else:
            yield UNKNOWN, f"GitHub does not tell ({error}): {ASK}"
