"""Where an output of the pipeline is kept, as dvc.yaml says it: by DVC, or (`cache: false`) in Git."""

from pathlib import Path

import yaml

PIPELINE = Path("dvc.yaml")
Output = tuple[yaml.Node, yaml.MappingNode | None]  # the path, and what is said of it


def is_cached(text: str, path: Path) -> bool | None:
    """Tell whether DVC keeps an output, by the text of dvc.yaml; None if no stage has it among its `outs:`."""
    found = output(text, path)
    if found is None:
        return None
    said = option(found[1], "cache")
    return said is None or str(said.value).lower() != "false"


def with_cache(text: str, path: Path, cached: bool) -> str:
    """Return dvc.yaml with an output that DVC keeps or does not keep; all else stays as it is, comments too."""
    found = output(text, path)
    if found is None or is_cached(text, path) == cached:
        return text
    name, options = found
    if said := option(options, "cache"):
        return text[: said.start_mark.index] + str(cached).lower() + text[said.end_mark.index :]
    if options is None:
        place, more = name.end_mark.index, f":\n{' ' * (name.start_mark.column + 4)}cache: false"
    elif options.flow_style:
        place, more = options.start_mark.index + 1, "cache: false, "
    else:
        place, more = options.start_mark.index, f"cache: false\n{' ' * options.start_mark.column}"
    return text[:place] + more + text[place:]


def output(text: str, path: Path) -> Output | None:
    """Return the nodes of an output; None if no stage has it among its `outs:`."""
    stages = option(yaml.compose(text), "stages")
    for _, stage in stages.value if isinstance(stages, yaml.MappingNode) else []:
        outs = option(stage, "outs")
        for entry in outs.value if isinstance(outs, yaml.SequenceNode) else []:
            name, options = entry.value[0] if isinstance(entry, yaml.MappingNode) else (entry, None)
            if name.value == path.as_posix():
                return name, options
    return None


def option(node: yaml.Node | None, key: str) -> yaml.Node | None:
    """Return the value of a key of a mapping; None if there is none."""
    entries = node.value if isinstance(node, yaml.MappingNode) else []
    return next((value for name, value in entries if name.value == key), None)
