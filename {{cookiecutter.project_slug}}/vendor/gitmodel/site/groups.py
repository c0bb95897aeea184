"""For whom the model is worse, over its versions; and the versions of the table."""

from collections.abc import Mapping

from gitmodel.base.markdown import figure, number, title
from gitmodel.base.project import some
from gitmodel.log.facts import Table, Version
from gitmodel.page import pictures
from gitmodel.page.html import section, text, wide
from gitmodel.site.parts import Site, day, folded, md5, row

MOST_VERSIONS, MOST_GROUPS = 30, 30


def whom(site: Site) -> str:
    """Return the section: the gaps of each column, and its groups where they are no people."""
    shown = site.facts.versions[-MOST_VERSIONS:]
    if not shown or not shown[-1].gaps:
        return ""
    before = f", beside {some(len(shown) - 1, 'version')} before it" if len(shown) > 1 else ""
    name = f"{text(shown[-1].name)}{before}. "
    legend = f"From {site.metrics(shown[-1])}. Gap: the largest difference between groups, on test rows."
    legend += " Pictures: over the versions, from 0 on." if len(shown) > 1 else ""
    parts = "".join(_column(site, column, shown) for column in shown[-1].gaps)
    return section("whom", "For whom", f'<p class="soft">{name}{legend}</p>{parts}')


def _column(site: Site, column: str, shown: list[Version]) -> str:
    """Return the gaps between the groups of a column, then its groups."""
    about_people = column in site.facts.hidden
    why = ' <p class="soft">About people: its groups are not shown here.</p>' if about_people else ""
    gaps = "".join(
        _over(title(metric), [version.gaps.get(column, {}).get(metric) for version in shown])
        for metric in shown[-1].gaps[column]
    )
    head = f"<th>gap</th><th>now</th>{'<th>version before</th><th>over the versions</th>' if len(shown) > 1 else ''}"
    table = wide(head, gaps, f"{column[:80]}: gaps between its groups") if gaps else ""
    return f"<h3>{text(column, 80)}</h3>{why}{table}{_groups(column, shown)}"


def _over(name: str, values: list[float | None]) -> str:
    """Return a row: what a number is now, and after more than one version what it was, and how it went."""
    numbers = ["-" if value is None else figure(value, 3) for value in values[:-3:-1]]
    drawn = [pictures.spark([(value, False) for value in values], None)] if len(values) > 1 else []
    return row(text(name, 80) or "(empty)", *numbers, *drawn)


def _groups(column: str, shown: list[Version]) -> str:
    """Return the groups of a column in the newest version, by metric, with the first metric over the versions."""
    groups = shown[-1].groups.get(column, {})
    metrics = list(dict.fromkeys(name for found in groups.values() for name in found if name != "rows"))
    if not metrics:
        return ""
    rows = "".join(_group(column, value, metrics, shown) for value in list(groups)[:MOST_GROUPS])
    names = "".join(f"<th>{text(title(metric))}</th>" for metric in metrics)
    past = f"<th>{text(title(metrics[0]))} over the versions</th>" if len(shown) > 1 else ""
    head = f"<th>group</th><th>rows</th>{names}{past}"
    return wide(head, rows, f"{column[:80]}: its groups") + pictures.others(len(groups), MOST_GROUPS)


def _group(column: str, value: str, metrics: list[str], shown: list[Version]) -> str:
    past = [version.groups.get(column, {}).get(value, {}) for version in shown]
    now: Mapping[str, float] = past[-1]
    drawn = [pictures.spark([(found.get(metrics[0]), False) for found in past], None)] if len(past) > 1 else []
    numbers = [number(now.get(metric)) for metric in metrics]
    return row(text(value, 80) or "(empty)", f"{now.get('rows', 0):,.0f}", *numbers, *drawn)


def data(site: Site) -> str:
    """Return the section: the versions of the table, the newest first."""
    rows = [_table(site, table) for table in reversed(site.facts.tables)]
    names = ("since", "MD5", "rows", "columns that came", "columns that went", "by", "commit")
    head = "".join(f"<th>{name}</th>" for name in names)
    return section("data", "Data", folded(head, rows, "Versions of the table, the newest first", "versions"))


def _table(site: Site, table: Table) -> str:
    rows = f"{sum(table.rows.values()):,}" if table.rows else "-"
    came, went = (", ".join(text(name, 80) for name in names) or "-" for names in (table.added, table.gone))
    return row(day(table.time), md5(table.data), rows, came, went, text(table.by, 60), site.commit(table.commit))
