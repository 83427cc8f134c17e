"""Values shown as TOML, which tomli reads back."""

from __future__ import annotations

from typing import Any

import pytest
import tomli

from vagrantish.cli.toml_text import document, value


@pytest.mark.parametrize(
    "table",
    [
        {},
        {"cpus": 2, "memory": "1GiB", "share": 0.5, "on": True, "off": False},
        {"text": 'quotes " and \\ and \n lines \t \x7f \x00 ü 🎉'},
        {"box": {"kernel": "k", "digest": {"kernel": "sha256:0"}}},
        {"forward": [{"guest": 80, "host": 8080}, {"guest": 443}]},
        {"args": ["a", "b"], "empty": [], "mixed": [[1], ["x"]]},
        {"provision": [{"env": {"A B": "c", "d.e": "f"}, "args": [{"x": 1}]}]},
        {"a b": {"": {"ü": 1}}},
        {"deep": {"er": {"x": 1}, "y": 2}},
    ],
)
def test_a_document_says_what_it_was_given(table: dict[str, Any]) -> None:
    assert tomli.loads(document(table)) == table


def test_a_named_document_is_that_table() -> None:
    text = document({"cpus": 2, "ssh": {"user": "x"}}, ("machines", "web"))

    assert text == '[machines.web]\ncpus = 2\n\n[machines.web.ssh]\nuser = "x"'


def test_what_is_not_set_is_left_out() -> None:
    assert document({"disk": None, "ssh": {"user": None, "port": 1}}) == "[ssh]\nport = 1"
    assert value({"a": None, "b": 1}) == "{ b = 1 }"


def test_what_utf8_cannot_carry_is_replaced() -> None:
    assert value("a\udcff") == '"a?"'
