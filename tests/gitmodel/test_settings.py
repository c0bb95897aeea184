"""Settings: every section is read in one way, and what is wrong with one is named with its remedy."""

import pytest
import yaml
from conftest import room
from gitmodel import rules
from gitmodel.base import settings
from gitmodel.base.project import PARAMS, RULES, UserError
from gitmodel.card.prose import SECTIONS, parsed, read_prose
from gitmodel.monitor import rules as limits
from gitmodel.pipeline import evaluate, prepare, train
from gitmodel.versions import rules as promotion


@pytest.fixture(autouse=True)
def project(sample, tmp_path, monkeypatch):
    """Work in a folder with the sample's parameters, rules and prose."""
    monkeypatch.chdir(room(sample, tmp_path))


def change(path, section, **settings):
    """Write a section with other settings; None takes one out."""
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    changed = {**content.get(section, {}), **settings}
    content[section] = {name: value for name, value in changed.items() if value is not None}
    path.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")


def read_prepare():
    """Read one stage's section."""
    return settings.read_stage(prepare.Parameters, "prepare")


def read_evaluate():
    """Read another stage's section."""
    return settings.read_stage(evaluate.Parameters, "evaluate")


READERS = {
    "prepare": (PARAMS, read_prepare, "test_size"),
    "train": (PARAMS, train.read_train, "max_categories"),
    "evaluate": (PARAMS, read_evaluate, "importance_rows"),
    "model": (RULES, rules.read_model, "name"),
    "gate": (RULES, rules.read_gate, "confidence"),
    "retrain": (RULES, rules.read_gate, "auto_merge"),
    "monitor": (RULES, limits.load, "drift"),
    "registry": (RULES, promotion.load, "in_order"),
}


@pytest.mark.parametrize("section", READERS)
def test_what_the_template_ships_is_sound(section):
    """Every section is read as it is."""
    path, read, key = READERS[section]
    assert read()
    assert key in yaml.safe_load(path.read_text(encoding="utf-8"))[section]


@pytest.mark.parametrize("section", READERS)
def test_an_unknown_setting_is_refused_by_name(section):
    """The line names file, section and setting, and the one that was probably meant."""
    path, read, key = READERS[section]
    misspelt = f"{key[:-2]}{key[-1]}{key[-2]}"
    change(path, section, **{misspelt: 1})
    with pytest.raises(UserError) as error:
        read()
    assert f"{section}.{misspelt} in {path} is no setting: did you mean `{key}`?" == str(error.value)


@pytest.mark.parametrize("section", READERS)
def test_a_value_that_makes_no_sense_is_refused(section):
    """The line names the value and says what to give."""
    path, read, key = READERS[section]
    change(path, section, **{key: [1]})
    with pytest.raises(UserError) as error:
        read()
    expected = "true or false" if section in ("registry", "retrain") else "a"
    assert str(error.value).startswith(f"{section}.{key} in {path} is [1]: give {expected}")


VALUES = {
    "a number as text": ("gate", {"gap": "0.05"}, "gate.gap in rules.yaml is '0.05': give a number above 0"),
    "yes for a number": ("gate", {"gap": True}, "gate.gap in rules.yaml is True: give a number above 0"),
    "not finite": ("gate", {"gap": float("inf")}, "give a number above 0"),
    "a margin below 0": ("gate", {"margins": {"mae": -1}}, "gate.margins.mae in rules.yaml is -1: give a number from"),
    "a stage twice": ("registry", {"stages": ["a", "a"]}, "registry.stages in rules.yaml names a twice"),
    "no stage": ("registry", {"two_person": ["x"]}, "names 'x', which is not in registry.stages"),
    "half a row": ("monitor", {"min_rows": 0.5}, "monitor.min_rows in rules.yaml is 0.5: give a whole number"),
}


@pytest.mark.parametrize(("section", "changes", "said"), VALUES.values(), ids=VALUES)
def test_a_rule_is_checked_by_its_own_limits(section, changes, said):
    """Types are not guessed."""
    change(RULES, section, **changes)
    with pytest.raises(UserError) as error:
        READERS[section][1]()
    assert said in str(error.value)


def test_a_margin_of_no_metric_is_refused():
    """The built-in metrics and those of the user are known."""
    change(RULES, "gate", margins={"mine": 1, "roc_acu": 1})
    with pytest.raises(UserError, match=r"roc_acu in rules\.yaml is no metric: did you mean `roc_auc`\?"):
        rules.require_metrics(rules.read_gate(), ["mine"], str(RULES))
    with pytest.raises(UserError, match="mine in rules"):
        rules.require_metrics(rules.read_gate(), [], str(RULES))


def test_what_is_missing_is_named():
    """A stage has no defaults; rules have, and the model needs its name."""
    change(PARAMS, "prepare", test_size=None)
    change(RULES, "model", name=None)
    change(RULES, "gate", gap=None)
    with pytest.raises(UserError, match=r"params\.yaml has no prepare\.test_size: add it, or restore it with Git"):
        read_prepare()
    with pytest.raises(UserError, match=r"rules\.yaml has no model\.name: add it, or restore it with Git"):
        rules.read_model()
    assert rules.read_gate().gap == 0.05


@pytest.mark.parametrize("section", settings.MOVED)
def test_a_section_of_another_file_is_sent_there(section):
    """A project that is brought over keeps no rule where nobody reads it."""
    change(PARAMS, section, x=1)
    with pytest.raises(UserError, match=rf"`{section}:`, which belongs in .*: move it there"):
        read_prepare()


def test_an_unknown_section_of_the_rules_is_refused():
    """A misspelt section would judge nothing."""
    change(RULES, "registri", stages=["a"])
    with pytest.raises(UserError, match=r"`registri:` in rules\.yaml is no section: did you mean `registry`"):
        promotion.load()


# card.md


def test_prose_is_read_by_its_headings():
    """Comments are not shown, lower headings stay, what is empty is unwritten."""
    prose = parsed(
        "---\nlicense: mit\n---\n<!-- a\n\nhint -->\n## Summary\n\nIt **is**.\n\n### Part\n\n## Limits\n<!-- -->"
    )
    assert (prose.licences.license, prose.written("Summary")) == ("mit", "It **is**.\n\n### Part")
    for heading in ("Limits", "Contact"):
        assert prose.written(heading) == f"_Not written yet: `## {heading}` in card.md._"
    assert prose.data_license == "_Not written yet: `data_license` in card.md._"


def test_the_template_has_all_headings():
    """Nobody has to know which there are."""
    assert list(SECTIONS) == list(read_prose().sections)


WRONG = {
    "## Sumary\n": "`## Sumary` in card.md is no heading of the card: did you mean `Summary`?",
    "# A title\n## Summary\n": "card.md has text above its first heading: put it below `## Summary`",
    "---\nlicence: mit\n---\n": "licence in card.md is no setting: did you mean `license`?",
    "---\nlicense: [mit]\n---\n": "license in card.md is ['mit']: give a text",
    "---\n- x\n---\n": "card.md must hold `key: value` lines between its lines `---`",
    "---\nx: [\n---\n": "card.md does not start with valid YAML",
}


@pytest.mark.parametrize(("text", "said"), WRONG.items())
def test_prose_that_would_be_lost_is_refused(text, said):
    """One line names it."""
    with pytest.raises(UserError) as error:
        parsed(text)
    assert said in str(error.value) and "\n" not in str(error.value)
