"""A model that has lived: versions, promotions, a roll back, a retirement, overridden rules, batches, malice."""

import json
from pathlib import Path

import pytest
import registry_cases
from gate_cases import MARGINS
from gitmodel.base.project import METRICS, PROSE
from registry_cases import Model

EVIL = '</script><img src=x onerror=alert(1)> & "quoted" \x1b[31m\u202e `code` {{x}} <!-- body -->'
SECRETS = ("Secret-A", "Secret-B")  # groups of people
PATIENT = "p.person@example.com"
WATCHED = Path("reports/monitoring/history.jsonl")
CARD = f"""---
license: mit
---

## Summary

Tells whether {EVIL}

## Limits

Nobody knows.
"""


@pytest.fixture(scope="module", autouse=True)
def calm():
    """Be quick, and apart from whoever runs this."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        registry_cases.calm(monkeypatch)
        yield


class Life(Model):
    """Such a repository; `spread` tells whether results say how sure they are."""

    def __init__(self, folder):
        """Live through it."""
        self.spread = True
        super().__init__(folder)
        self.contract["sensitive"], self.contract["slices"] = ["sex"], ["region", "sex"]
        self.contract["columns"]["mail"] = {"type": "category", "personal": True, "feature": False}
        self.first()
        self.looser()
        self.worse()
        self.more_data()
        self.watched()

    def write(self, noise=1.0):
        """Write results whose groups have telling names, and of which the lock knows the table."""
        self.inputs["data/raw.csv"] = self.hash
        super().write(noise)
        content = json.loads((self.folder / METRICS).read_text(encoding="utf-8"))
        if self.spread:
            content["spread"] = dict.fromkeys(content["test"], 0.01)
            content["rows"] = {"train": 50, "test": len(self.frame)}
        numbers = {"rows": 30, "accuracy": 0.9, "log_loss": 0.3}
        content["slices"] = {
            "sex": {SECRETS[0]: numbers, SECRETS[1]: {**numbers, "accuracy": 0.7}},
            "region": {"north" + EVIL: numbers, "south": {**numbers, "accuracy": 0.8}},
        }
        self.write_text(METRICS, json.dumps(content))
        self.write_text(PROSE, CARD)
        self.pack()

    def by(self, person, message):
        """Commit as a person."""
        self.git("config", "user.name", person)
        self.git("add", "--all")
        self.git("-c", f"user.name={person}", "commit", "--quiet", f"--author={person} <x@example.com>", "-m", message)

    def first(self):
        """A first version serves; nobody knows how sure its metrics are."""
        self.spread = False
        self.write()
        self.by("Ann", "First model")
        self.do("register", "--reason", f"to try {EVIL}")
        self.do("promote", "v1.0.0", "prod", "--reason", "nothing else is there")

    def looser(self):
        """A rule becomes looser, and is taken back; another one stays looser."""
        self.spread = True
        self.rules["gate"]["margins"] = {**MARGINS["binary"], "log_loss": 0.5}
        self.rules["gate"]["gap"] = 0.2
        self.write()
        self.by(EVIL.replace("<", "(").replace(">", ")"), f"Looser\n\nAccept-regression: the board asked {EVIL}")
        self.rules["gate"]["margins"] = dict(MARGINS["binary"])
        self.write()
        self.by("Bob", "As before\n\n<!-- Accept-regression: why -->")

    def worse(self):
        """A worse version is accepted, serves, is rolled back and retired."""
        self.write(3.0)
        self.by("Bob", "Fewer columns")
        self.do("register", "v1.1.0", "--accept", f"the law {EVIL}")
        self.do("promote", "v1.1.0", "prod")
        self.do("rollback", "prod", "--reason", "too many complaints")
        self.do("retire", "v1.1.0", "--reason", f"worse {EVIL}")

    def more_data(self):
        """Another table, with a column that came and one that went."""
        self.hash = "b" * 32
        self.contract["columns"]["z" + EVIL[:20]] = {"type": "number"}
        self.frame["z" + EVIL[:20]] = 0.0
        self.write(0.9)
        self.by("Ann", "More rows")
        self.do("register", "v2.0.0", "--accept", "the wider gap is right")
        self.do("promote", "v2.0.0", "staging")

    def watched(self):
        """Two batches are watched: all is quiet, then not; the history is in a branch of its own."""
        quiet = {"batch": "june.csv", "time": "2025-07-01T00:00:00Z", "rows": 90, "verdict": "quiet", "alerts": []}
        quiet |= {"sizes": {"quality/roc_auc//": 0.001}}
        alerts = [f"drift/distance/mail/{PATIENT}", f"bias/selection_rate/sex/{SECRETS[0]}", "quality/roc_auc//"]
        alarm = {**quiet, "batch": f"july{EVIL}", "time": "2025-08-01T00:00:00Z", "verdict": "alert", "alerts": alerts}
        alarm |= {"model": self.status()["versions"][0]["digest"], "sizes": {"quality/roc_auc//": 0.03}}
        self.git("switch", "--quiet", "--create", "monitoring")
        self.write_text(WATCHED, "".join(f"{json.dumps(run)}\n" for run in (quiet, alarm)))
        self.by("robot", "Watched")
        self.git("switch", "--quiet", "main")
