"""`/`, where a person tries the model, and `/docs`, the documentation: whole HTML documents, for the headers `CSP`."""

import json
import re
from collections.abc import Iterable, Iterator
from html import unescape
from typing import Any

from gitmodel.base.markdown import title
from gitmodel.bundle.bundle import Bundle
from gitmodel.contract.schema import Schema
from gitmodel.metrics.decision import MOST_LIKELY
from gitmodel.metrics.own import better
from gitmodel.serve.page.form import form
from gitmodel.serve.page.html import CSP, block, document, exactly, text
from gitmodel.serve.page.reference import documentation

__all__ = ["CSP", "documentation", "home", "sign_in"]
CLASSES_SHOWN = 12


def home(
    bundle: Bundle,
    version: str,
    digest: str,
    profile: dict[str, Any],
    example: dict[str, Any],
    card: str | None = None,
) -> str:
    """Return the page where a person tries the model, filled with an example row; `card` is Markdown."""
    schema, manifest = bundle.schema, bundle.manifest
    body = f"""<header><div>
<h1>{text(manifest["name"])} <span class="pill" id="version">{text(version)}</span></h1>
<p class="lead">{_predicts(schema)}</p></div>
<nav aria-label="More">{_links(card)}</nav></header>
<main class="try">
{form(schema, profile, example)}
<div class="side">
<section class="card" aria-labelledby="result"><h2 id="result">Prediction</h2>
<div id="verdict" role="status">Fill in the form, then press Predict.</div>
<div id="drawing" {_known(schema, profile)}></div>{_decides(bundle)}
<div id="reasons"></div>
<details id="exchange" hidden><summary>The same with curl, and the answer</summary><pre></pre><pre></pre></details>
</section>
{_measured(manifest, version, digest)}
</div>{_card(card)}</main>"""
    return document(manifest["name"], body)


def sign_in() -> str:
    """Return the page that asks for a token: what a browser gets, with status 401, where a token is required."""
    body = """<main class="signin"><form class="card" id="sign-in"><h1>Sign in</h1>
<p class="lead">This service answers to those who have a token.</p><p></p>
<div><label for="token">Token</label>
<input id="token" type="password" autocomplete="off" required autofocus aria-describedby="token-problem">
<span class="problem" id="token-problem" role="alert"></span></div>
<p></p><button class="main">Open</button>
<p class="soft">It stays in this page's memory and is gone when you leave.</p></form></main>"""
    return document("Sign in", body)


def _predicts(schema: Schema) -> str:
    target = f"Predicts <strong>{text(schema.target)}</strong>"
    if not schema.classes:
        return f"{target}, a number"
    more = len(schema.classes) - CLASSES_SHOWN
    shown = ", ".join(text(name) for name in schema.classes[:CLASSES_SHOWN])
    return f"{target}: {shown.replace(', ', ' or ') if len(schema.classes) == 2 else shown}" + (
        f" and {more:,} more" if more > 0 else ""
    )


def _links(card: str | None) -> str:
    about = ("Model card", "#card") if card else ("Manifest", "model")
    links = (("Documentation", "docs"), about, ("Service metrics", "metrics"))
    return "".join(f'<a href="{address}">{name}</a>' for name, address in links)


def _card(card: str | None) -> str:
    """Return the model card as it is written, without the metadata for machines and the codes of its marks."""
    if not card:
        return ""
    words = unescape(re.sub(r"\A---\n.*?\n---\n", "", card, flags=re.DOTALL)).replace("\u200b", "").strip()
    return f"""<section class="card whole" id="card"><h2>Model card</h2>
<pre tabindex="0">{block(words)}</pre>
<p class="soft">As data, with the manifest: <a href="model">model</a></p></section>"""


def _known(schema: Schema, profile: dict[str, Any]) -> str:
    """Return what predictions are drawn against: the shares of classes in the training rows, or the known range."""
    if not schema.classes:
        known = profile["predictions"]
        low, high = (known.get(name) for name in ("min", "max"))
        return f'data-range="{exactly(json.dumps({"min": low, "max": high, "edges": known["edges"]}))}"'
    target = profile["columns"][schema.target]
    rows = target["rows"] - target["missing"]
    shares = {name: count / rows for name, count in target["counts"].items() if name in schema.classes}
    return f'data-shares="{exactly(json.dumps(shares))}"'


def _decides(bundle: Bundle) -> str:
    """Return what makes a label, where it is not the most likely class, and how far an interval can be trusted."""
    told = [] if bundle.decision == MOST_LIKELY else [f"Label: {bundle.decision.told(bundle.schema)}."]
    told += [f"Interval: {bundle.interval.told(bundle.schema)}."] if bundle.interval else []
    return "".join(f'<p class="soft">{text(line)}</p>' for line in told)


def _measured(manifest: dict[str, Any], version: str, digest: str) -> str:
    """Return the metrics of the model and of its baselines, and what it was measured on."""
    own = manifest.get("own_metrics", {})
    columns = {"model": manifest["metrics"]["test"], **manifest["metrics"]["baseline"]}
    head = "".join(f'<th scope="col">{text(name)}</th>' for name in columns)
    body = "".join(_metric(name, better(name, own), columns.values()) for name in manifest["metrics"]["test"])
    rows = manifest["data"]["rows"]
    return f"""<section class="card" aria-labelledby="measured"><h2 id="measured">How good it is</h2>
{"".join(_warnings(manifest))}<div class="wide"><table class="metrics">
<thead><tr><th scope="col">metric</th>{head}</tr></thead>
<tbody>{body}</tbody></table></div>
<dl class="facts"><dt>Measured on</dt><dd>{rows["test"]:,} test rows that it was not trained on</dd>
<dt>Trained on</dt><dd>{rows["train"]:,} others</dd><dt>Version</dt><dd><code>{text(version)}</code></dd>
<dt>Digest</dt><dd><code>{text(digest)}</code></dd></dl></section>"""


def _metric(name: str, direction: str, results: Iterable[dict[str, float]]) -> str:
    arrow, meaning = "↑" if direction == "higher" else "↓", f"{direction} is better"
    cells = "".join(f"<td>{_rounded(result.get(name))}</td>" for result in results)
    head = f'{text(title(name))} <span aria-hidden="true">{arrow}</span><span class="unseen"> ({meaning})</span>'
    return f'<tr><th scope="row">{head}</th>{cells}</tr>'


def _rounded(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}" if abs(value) < 1 else f"{value:,.4g}"


def _warnings(manifest: dict[str, Any]) -> Iterator[str]:
    if not manifest["beats_trivial"]:
        yield '<p class="notice">This model is no better than guessing. Do not use it.</p>'
    elif not manifest["beats_linear"]:
        yield '<p class="notice">A linear model, which is simpler, is at least as good.</p>'
