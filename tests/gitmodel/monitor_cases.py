"""Made-up results of watching, realistic and hostile, for the tests of the page, the report and the history."""

from dataclasses import replace

from gitmodel.monitor.findings import Finding, decide, key
from gitmodel.monitor.result import CANNOT_JUDGE, Result

EVIL = "</style><script>alert(1)</script><img src=x onerror=alert(1)>"
NAMES = (
    *(
        EVIL,
        "größe 🐟",
        "\"q\" 'p' & co",
        "a|b `c` *d* [e](f)",
        "line\nline",
        "a/b",
        "@everyone #1",
        "--",
        "<!-- body -->",
    ),
    *("W" * 3_000, "\u202egnp.exe", "\u2028", "&lt;b&gt;", "1. x", "https://example.org/?a=b", "\\1"),
)
MODEL = {"name": "income-model", "version": "v1.3.0", "digest": "sha256:5f0c2e61a7b9d3"}
BATCH = {"name": "data/census_1995.csv", "rows": 4_000, "first": None, "last": None, "kind": "table"}
SETTINGS = {"confidence": 0.95, "drift": 0.1, "violations": 0.01, "missing": 0.05, "gap": 0.05, "history": 100}
AGES = [f"{low} to {low + 4}" for low in range(17, 92, 5)]
METRICS = {
    "binary": {"roc_auc": (0.93, 0.01), "log_loss": (0.21, 0.02), "accuracy": (0.92, 0.02), "ece": (0.012, 0.02)},
    "multiclass": {"log_loss": (0.61, 0.05), "accuracy": (0.78, 0.02), "f1": (0.71, 0.03)},
    "regression": {"rmse": (41_250.0, 1_200.0), "mae": (28_100.0, 900.0), "r2": (0.71, 0.02)},
}


def drift(column, size, p, picture=None, limit=0.1):
    """Return the change of one column."""
    sentence = f"`{column}`: the distribution moved by {size:.2g} (limit {limit:g})."
    return Finding(
        *("drift", "distance", sentence, column),
        **{"value": size, "before": 0.0, "size": size, "limit": limit, "p": p, "rows": 4_000, "picture": picture},
        remedy="Look at how the column is made now; if the world has changed, train on new rows.",
    )


def numbers(shift):
    """Return the picture of a number whose mass moves to the right."""
    before = [1 / (1 + abs(place - 5)) for place in range(len(AGES))]
    now = [1 / (1 + abs(place - 5 - shift)) for place in range(len(AGES))]
    return {"labels": AGES, "before": [b / sum(before) for b in before], "now": [n / sum(now) for n in now]}


def values(names, before, now):
    """Return the picture of a category."""
    return {"labels": list(names), "before": before, "now": now}


def quality(task, worse, estimate=False):
    """Return each metric of a task, worse by so many margins."""
    for name, (before, margin) in METRICS[task].items():
        sign = -1 if name in ("roc_auc", "accuracy", "f1", "r2") else 1
        value = before + sign * margin * worse
        yield Finding(
            *("quality", f"estimated_{name}" if estimate else name, f"{name} lost {margin * worse:.3g}."),
            **{"value": value, "before": before, "low": value - margin / 2, "high": value + margin / 2},
            **{"size": margin * worse, "limit": margin, "p": 0.0001 if worse > 1 else 0.4, "rows": 4_000},
            remedy="Add new labelled rows and train again." if worse > 1 else "",
        )


def bias(column, groups, gap):
    """Return how far groups are apart in each rate, which the picture holds by group."""
    for name, before in (("selection_rate", 0.1), ("true_positive_rate", 0.6), ("calibration", -0.03)):
        now = [before + gap * place / max(len(groups) - 1, 1) for place in range(len(groups))]
        sentence = (
            f"{name}: the groups of `{column}` differ by {gap:.3g}, where they differed by 0 at test, allowed 0.05"
        )
        yield Finding(
            *("bias", name, sentence, column),
            **{"value": gap, "before": 0.0, "low": gap - 0.01, "high": gap + 0.01, "size": gap, "limit": 0.05},
            **{"p": 0.0001 if gap > 0.05 else 0.6, "rows": 3_800, "remedy": "look at the rows of these groups"},
            picture={"labels": list(groups), "before": [before] * len(groups), "now": now},
        )


def reliability():
    """Return how often what was predicted with some probability came true."""
    chances = [0.05 + place / 10 for place in range(10)]
    picture = {"labels": [f"{chance:.2g}" for chance in chances], "before": chances, "now": [c**2 for c in chances]}
    sentence = "probabilities were 0.12 on average, and 0.09 came true (the picture shows it by probability)"
    return Finding("quality", "reliability", sentence, value=0.03, rows=4_000, picture=picture)


def health():
    """Return what is known of the service, and what is not."""
    yield Finding("health", "latency_ms", "99 % of requests took at most 8.2 ms.", value=8.2, size=8.2, limit=50.0)
    yield Finding("health", "errors", "0.2 % of requests were refused.", value=0.002, size=0.002, limit=0.01, p=0.9)
    yield Finding("health", "model_days", "The model is 412 days old.", value=412, size=412.0, limit=365.0)
    yield Finding("health", "skew", "No rows of the log could be scored again: it has no columns.")


def contract(column, share):
    """Return the share of rows that break a rule."""
    sentence = f"{share:.1%} of the rows hold a value of `{column}` that the schema does not allow."
    sizes = {"value": share, "before": 0.0, "size": share, "limit": 0.01, "p": 0.0001 if share > 0.01 else 1.0}
    return Finding("contract", "values", sentence, column, **sizes, rows=4_000, remedy="Ask who delivers the table.")


def result(findings, history=(), notes=(), verdict="", **changes):
    """Return a result of findings that are still to be decided."""
    found = decide(list(findings), 0.95)
    said = verdict or ("alert" if any(f.verdict == "alert" for f in found) else "quiet")
    batch = {**BATCH, **changes.pop("batch", {})}
    return Result(said, batch, {**MODEL, **changes}, found, "", dict(SETTINGS), list(notes), list(history))


def alert(task="binary", history=()):
    """Return a batch in which much changed."""
    workers = ["Private", "Self-employed", "Federal government", "State government", "Never worked", "Without pay"]
    found = [
        drift("age", 0.31, 1e-9, numbers(3)),
        drift(
            "class_of_worker",
            0.17,
            1e-6,
            values(workers, [0.7, 0.1, 0.1, 0.06, 0.03, 0.01], [0.4, 0.3, 0.1, 0.1, 0.08, 0.02]),
        ),
        replace(drift("", 0.12, 1e-5, numbers(1)), name="predicted_probability", group="yes"),
        Finding("bias", "groups", "`birth_country` is not in these rows", "birth_country"),
        *(drift(f"column {place}", 0.01 + place / 500, 0.3, numbers(0)) for place in range(37)),
        contract("industry", 0.042),
        contract("education", 0.0),
        *quality(task, 1.6),
        reliability(),
        *bias("sex", ["Female", "Male"], 0.11),
        *bias("race", ["White", "Black", "Asian or Pacific Islander", "fewer than 10 rows each"], 0.01),
        *health(),
    ]
    return result(found, history, notes=["12 labels belong to requests that are not in the log."])


def quiet(task="binary"):
    """Return a batch in which nothing changed, without labels."""
    found = [drift(f"column {place}", 0.002 * place, 0.3, numbers(0)) for place in range(18)]
    return result([*found, *quality(task, 0.4, estimate=True), *bias("sex", ["Female", "Male"], 0.01)])


def hostile():
    """Return a batch whose every text means something to HTML, Markdown, a terminal or a path."""
    pictures = values(NAMES, [1 / len(NAMES)] * len(NAMES), [0.5] + [0.5 / (len(NAMES) - 1)] * (len(NAMES) - 1))
    found = [drift(name, 0.3, 1e-9, pictures) for name in NAMES]
    found += [contract(name, 0.5) for name in NAMES]
    found += [finding for name in NAMES for finding in bias(name, NAMES, 0.2)]
    batch = {"name": EVIL, "kind": "log", "first": EVIL, "last": "2026-11-25T10:00:00Z"}
    before = run(found, "2026-11-24T10:00:00Z", EVIL)
    return result(found, [before], NAMES, batch=batch, name=EVIL, version=EVIL, digest=EVIL)


def wide(columns=500):
    """Return a batch of a wide table in which everything changed."""
    found = [drift(f"a column with quite a long name {place}", 0.3, 1e-9, numbers(2)) for place in range(columns)]
    found += [contract(f"a column with quite a long name {place}", 0.2) for place in range(columns)]
    return result([*found, *quality("regression", 3), *bias("sex", ["Female", "Male"], 0.11), *health()])


def empty():
    """Return a batch in which nothing could be compared."""
    return result([], batch={"rows": 0})


def stopped():
    """Return a batch that could not be judged."""
    nobody = {"name": None, "version": None, "digest": None}
    return Result(CANNOT_JUDGE, {**BATCH, "rows": 0}, nobody, reason=f"the batch has no column {EVIL}: name another")


def run(findings, time, batch="data/earlier.csv", scale=1.0):
    """Return an earlier run, with sizes so many times those of findings."""
    sizes = {key(f): round(f.size * scale, 4) for f in findings if f.size is not None}
    alerts = [key(f) for f in findings if f.size is not None and f.size * scale > f.limit]
    verdict = "alert" if alerts else "quiet"
    return {"batch": batch, "time": time, "rows": 4_000, "verdict": verdict, "alerts": alerts, "sizes": sizes}


def earlier(findings):
    """Return nine months in which the changes grew."""
    months = [f"2026-{month:02}-01T06:00:00Z" for month in range(2, 11)]
    return [run(findings, time, f"batches/{time[:7]}.csv", 0.1 + place / 10) for place, time in enumerate(months)]


CASES = {
    **{f"alert, {task}": lambda task=task: alert(task, earlier(alert(task).findings)) for task in METRICS},
    **{"quiet": quiet, "hostile": hostile, "wide": wide, "empty": empty, "stopped": stopped},
}
