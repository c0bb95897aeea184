"""A body is decoded in Rust where that hides nothing, else in Python: both mean the same."""

import json

import pytest
from gitmodel.serve import body
from gitmodel.serve.checks import Refused

SOUND = (
    {"rows": [{"a": 1, "b": "x", "c": None}, {"a": 0.1 + 0.2}]},
    {"rows": [{"at": "2024-01-01T10:00:00", "a:b": "::"}], "explain": True},
    {"inputs": {"a": [1, 2], "b": ["x", "y"]}},
    {"inputs": [{"name": "a", "shape": [1], "data": [2**60], "parameters": {"x": {"y": [{}]}}}]},
    {"instances": [{"a": '\\ \u20ac \U0001f600 "'}]},
    {},
)
TWICE = (
    b'{"a": 1, "a": 2}',
    b'{"rows": [{"a": 1, "b": 2, "a": 3}]}',
    b'{"rows": [{"a": {"b": 1, "b": 2}}]}',
    b'{"rows": [[{"b": 1, "b": 2}]]}',
    b'{"rows": [{"a": 1, "a": 2}], "text": "no: colon"}',
    b'{"rows": [{"a": 1, "\\u0061": 2}]}',
    b'{"rows": [{"a": "\\u003a", "b": 1, "b": 2}]}',
)


@pytest.mark.parametrize("content", SOUND, ids=lambda content: json.dumps(content)[:40])
@pytest.mark.parametrize("ascii_only", [True, False])
def test_a_body_means_what_python_reads(content, ascii_only):
    """Every value comes as it was sent, of the same type."""
    text = json.dumps(content, ensure_ascii=ascii_only).encode()
    assert content == body.parse(text)
    assert json.dumps(content) == json.dumps(body.parse(text))


@pytest.mark.parametrize("text", TWICE)
def test_no_key_is_lost(text):
    """A key that an object has twice is told, wherever it stands and however it is spelled."""
    with pytest.raises(Refused) as refused:
        body.parse(text)
    assert "stands twice in one object" in refused.value.text


def test_usual_rows_are_decoded_in_rust(monkeypatch):
    """Rows without colons and escapes in their texts need no Python."""
    monkeypatch.setattr(body, "DECODER", None)
    assert body.parse(b'{"rows": [{"a": 1, "b": "x"}], "explain": false}')["rows"] == [{"a": 1, "b": "x"}]
