"""YAML that is changed in places: comments, quotes, order and long lines stay as they are."""

import io
from collections.abc import Callable
from typing import Any

from ruamel.yaml import YAML

NULL = "tag:yaml.org,2002:null"


def changed(text: str, change: Callable[[Any], object], indented: bool = False) -> str:
    """Return YAML after `change` of its content; `indented`: lists stand two places to the right of their key."""
    yaml = YAML()
    yaml.preserve_quotes, yaml.width = True, 4096
    yaml.representer.add_representer(type(None), lambda writer, _: writer.represent_scalar(NULL, "null"))
    if indented:
        yaml.indent(mapping=2, sequence=4, offset=2)
    content = yaml.load(text)
    change(content)
    written = io.StringIO()
    yaml.dump(content, written)
    return written.getvalue()
