from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest
import tomli
from hypothesis import given, settings
from hypothesis import strategies as st

from vagrantish import toml
from vagrantish.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from vagrantish.toml import KeyPath


def problem_of(text: str) -> str:
    with pytest.raises(ConfigError) as caught:
        toml.parse(text, "Xhyvefile")
    (problem,) = caught.value.problems
    return str(problem)


def read_problem_of(path: Path) -> str:
    with pytest.raises(ConfigError) as caught:
        toml.read(path)
    (problem,) = caught.value.problems
    return str(problem)


# --- positions -------------------------------------------------------------------------------

SAMPLE = '''\
# a comment with [brackets] and "quotes
box = "ubuntu@24.04"
"quoted key" = 1
'single.quoted' = 2
a.b . "c d" = 3
"\\u0041\\"" = 4
text = """
[not.a.header]
fake = 1
"quote\\"""" \t# ends with a quote of its own
raw = \'\'\'
]]\'\'\'\'\'
list = [ # comment ]
  1, [2, 3],
  { x = "}", y.z = [",",] },
]
when = 1979-05-27 07:32:00
[boot]
timeout = "300s"
[[forward]]
guest = 80
[[forward]]
guest = 81
[forward.extra]
deep = true
[machines.web]
cpus = 2
[[machines.web.provision]]
inline = "a"
[[machines.web.provision]]
inline = "b"
env = { A = "1", B = "2" }
[ machines . "db" ]
cpus = 1
'''


@pytest.mark.parametrize(
    ("path", "line"),
    [
        (("box",), 2),
        (("quoted key",), 3),
        (("single.quoted",), 4),
        (("a", "b", "c d"), 5),
        (('A"',), 6),
        (("text",), 7),
        (("raw",), 11),
        (("list",), 13),
        (("list", 0), 14),
        (("list", 1, 1), 14),
        (("list", 2, "x"), 15),
        (("list", 2, "y", "z", 0), 15),
        (("when",), 17),
        (("boot",), 18),
        (("boot", "timeout"), 19),
        (("forward",), 20),
        (("forward", 0), 20),
        (("forward", 0, "guest"), 21),
        (("forward", 1), 22),
        (("forward", 1, "guest"), 23),
        (("forward", 1, "extra"), 24),
        (("forward", 1, "extra", "deep"), 25),
        (("machines",), 26),
        (("machines", "web", "cpus"), 27),
        (("machines", "web", "provision", 1), 30),
        (("machines", "web", "provision", 1, "env", "B"), 32),
        (("machines", "db"), 33),
    ],
)
def test_the_line_of_a_key_is_the_one_it_is_written_on(path: KeyPath, line: int) -> None:
    document = toml.parse(SAMPLE, "Xhyvefile")

    assert document.line(path) == line


def test_a_path_that_is_not_there_is_placed_at_what_is_around_it() -> None:
    document = toml.parse("\n\n[boot]\ntimeout = '1s'\n", "Xhyvefile")

    assert document.where(("boot", "stall", "x")) == "Xhyvefile:3"
    assert document.where(("nothing",)) == "Xhyvefile:1"


def test_lines_are_counted_alike_with_crlf() -> None:
    document = toml.parse(SAMPLE.replace("\n", "\r\n"), "Xhyvefile")

    assert document.line(("machines", "db", "cpus")) == 34
    assert document.table["machines"]["db"]["cpus"] == 1


def bare_or_quoted(draw: st.DrawFn) -> tuple[str, str]:
    """A key and one way to write it."""
    key = draw(st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=4))
    bare = key and all(char.isascii() and (char.isalnum() or char in "-_") for char in key)
    ways = [key] if bare else []
    if "'" not in key:
        ways.append(f"'{key}'")
    escaped = key.replace("\\", "\\\\").replace('"', '\\"')
    ways.append(f'"{escaped}"')
    ways.append('"' + "".join(f"\\U{ord(char):08x}" for char in key) + '"')
    return key, draw(st.sampled_from(ways))


STRINGS = st.sampled_from(
    ['"a]b"', "'}#'", '"""x\n[a]\n"""', "'''\n]'''", '"\\""', '""""q"""""', "''", '"""\\"""a"""']
)
SCALARS = st.sampled_from(["1", "-2.5e3", "true", "inf", "1979-05-27", "07:32:00", "0xff"])
GAPS = st.sampled_from(["", " ", "\n", " # ] } , =\n", "\n\t"])


@st.composite
def values(draw: st.DrawFn, depth: int = 2) -> str:
    kind = draw(st.integers(0, 3 if depth else 1))
    if kind == 0:
        return draw(STRINGS)
    if kind == 1:
        return draw(SCALARS)
    if kind == 2:
        items = draw(st.lists(values(depth=depth - 1), max_size=3))
        body = ",".join(draw(GAPS) + item + draw(GAPS) for item in items)
        return f"[{body}{draw(GAPS)}]"
    pairs = [
        f"{draw(keys())} = {draw(values(depth=depth - 1))}" for _ in range(draw(st.integers(0, 3)))
    ]
    return "{ " + ", ".join(pairs) + " }"


@st.composite
def keys(draw: st.DrawFn) -> str:
    parts = [bare_or_quoted(draw)[1] for _ in range(draw(st.integers(1, 2)))]
    return draw(st.sampled_from([".", " . "])).join(parts)


@st.composite
def documents(draw: st.DrawFn) -> str:
    """Text that is often TOML: headers, lists of tables, dotted keys, comments, odd strings."""
    lines = []
    names = ["a", "b", '"a.b"', "'c'"]
    for _ in range(draw(st.integers(0, 8))):
        kind = draw(st.integers(0, 4))
        if kind == 0:
            dotted = ".".join(draw(st.lists(st.sampled_from(names), min_size=1, max_size=3)))
            lines.append(f"[{dotted}]" if draw(st.booleans()) else f"[[ {dotted} ]] # x")
        elif kind == 1:
            lines.append(draw(GAPS))
        else:
            lines.append(f"{draw(keys())} = {draw(values())}")
    return draw(st.sampled_from(["\n", "\r\n"])).join(lines)


def paths_of(value: object, base: KeyPath = ()) -> Iterator[KeyPath]:
    items: Any = ()
    if isinstance(value, dict):
        items = value.items()
    elif isinstance(value, list):
        items = enumerate(value)
    for key, item in items:
        yield (*base, key)
        yield from paths_of(item, (*base, key))


@settings(max_examples=600, deadline=None)
@given(documents())
def test_every_key_of_every_file_stands_where_its_position_says(text: str) -> None:
    try:
        document = toml.parse(text, "X")
    except ConfigError:
        return
    normal = text.replace("\r\n", "\n")

    for path in paths_of(document.table):
        offset = document.offset(path)
        parent = document.offset(path[:-1])
        last = path[-1]
        if isinstance(last, int):
            found = normal[offset]  # the element of a list, or the name in a [[header]]
            assert found not in " \t\n#,]", (path, normal[offset:])
            assert offset >= parent
        else:
            assert _key_at(normal, offset) == last, (path, normal[offset:])


def _key_at(text: str, offset: int) -> str:
    rest = text[offset:]
    for end in range(1, len(rest) + 1):
        if rest[end : end + 1] in (" ", ".", "=", "]", "\t"):
            try:
                (key,) = tomli.loads(f"{rest[:end]}=0")
            except tomli.TOMLDecodeError:
                continue
            return key
    raise AssertionError(f"no key at {rest!r}")


@settings(max_examples=300, deadline=None)
@given(st.text(st.sampled_from("ab=[]{}\"'.,# \n\t1\\"), max_size=40))
def test_any_text_is_parsed_or_refused_and_then_has_positions(text: str) -> None:
    try:
        document = toml.parse(text, "X")
    except ConfigError:
        return

    for path in paths_of(document.table):
        assert 1 <= document.line(path) <= text.count("\n") + 1


# --- what is refused -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("a = 1\nb = \n", "Xhyvefile:2: is not TOML: invalid value"),
        ("memory = 1GiB", "Xhyvefile:1: is not TOML: expected newline or end of document"),
        ("memory = GiB", "Xhyvefile:1: is not TOML: invalid value (text goes in quotes"),
        ("a = 1\n\na = 2", "Xhyvefile:3: is not TOML: what this line sets was set before"),
        ("[a]\n[a]", "Xhyvefile:2: is not TOML: cannot declare ('a',) twice"),
        ('a = "x', "Xhyvefile:1: is not TOML: unterminated string"),
        ("a = 1\x00", "Xhyvefile:1: is not TOML: expected newline"),
        ("# \x1b[2J", "Xhyvefile:1: is not TOML: found invalid character '\\x1b'"),
        ("a = 1\r b = 2", "Xhyvefile:1: is not TOML"),
        ("\n\n\ufeffa = 1", "Xhyvefile:3: is not TOML: invalid statement"),
        (f"a = {'[' * 5000}", "Xhyvefile: is nested too deep to be settings"),
        (f"{'a.' * 5000}a = 1", "Xhyvefile: is nested too deep to be settings"),
        (f"[{'a.' * 5000}a]", "Xhyvefile: is nested too deep to be settings"),
        (f"a = {'9' * 5000}", "Xhyvefile: "),
    ],
)
def test_what_is_not_toml_is_told_with_its_line(text: str, problem: str) -> None:
    told = problem_of(text)

    assert told.startswith(problem)
    assert "\n" not in told
    assert len(told) < 400
    assert all(char.isprintable() for char in told)


def test_deep_but_accepted_nesting_has_positions_without_recursion() -> None:
    document = toml.parse(f"\na = {'[' * 300}1{']' * 300}", "X")

    assert document.line(("a", *([0] * 300))) == 2


def test_a_file_with_a_byte_order_mark_is_read(tmp_path: Path) -> None:
    path = tmp_path / "Xhyvefile"
    path.write_bytes(b"\xef\xbb\xbfbox = 'micro'\r\n")

    document = toml.read(path)

    assert document.table == {"box": "micro"}
    assert document.where(("box",)) == "Xhyvefile:1"


@pytest.mark.parametrize(
    ("raw", "problem"),
    [
        (b"a = 1\nb = '\xff'", "Xhyvefile:2: is not UTF-8 text (save the file as UTF-8)"),
        ("a = 1".encode("utf-16"), "Xhyvefile:1: is not UTF-8 text (save the file as UTF-8)"),
        (b"#" * ((1 << 20) + 1), "Xhyvefile: is bigger than 1 MiB: no settings are"),
    ],
)
def test_bytes_that_are_no_settings_are_refused(tmp_path: Path, raw: bytes, problem: str) -> None:
    path = tmp_path / "Xhyvefile"
    path.write_bytes(raw)

    assert read_problem_of(path) == problem


def test_a_file_of_the_greatest_size_is_read(tmp_path: Path) -> None:
    path = tmp_path / "Xhyvefile"
    path.write_bytes(b"#" * ((1 << 20) - 6) + b"\na = 1")

    assert toml.read(path).line(("a",)) == 2


def test_folders_pipes_and_missing_files_are_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")

    assert "is a folder" in read_problem_of(tmp_path)
    assert "is not a regular file" in read_problem_of(tmp_path / "pipe")
    assert "cannot be read: No such file" in read_problem_of(tmp_path / "gone")


@pytest.mark.parametrize(
    "body",
    [
        "a = [" + "1," * 300_000 + "]",
        "[[a]]\n" * 100_000,
        "#\n" * 400_000,
        'a = "' + "\\n" * 400_000 + '"',
        "a = '''" + "\n" * 900_000 + "'''",
        "\n".join(f"k{index} = {index}" for index in range(60_000)),
        "a = " + "[" * 300 + "1," * 300_000 + "]" * 300,
    ],
    ids=["long list", "many tables", "comments", "escapes", "long text", "many keys", "deep list"],
)
def test_the_biggest_files_are_read_and_indexed_in_seconds(body: str) -> None:
    document = toml.parse(f"{body}\n[z]\nlast = 1\n", "X")

    assert document.line(("z", "last")) == body.count("\n") + 3


# --- keys and values from the command line ---------------------------------------------------


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("cpus", ("cpus",)),
        ("machines.web.cpus", ("machines", "web", "cpus")),
        ('machines."a.b" . cpus', ("machines", "a.b", "cpus")),
    ],
)
def test_a_dotted_key_is_taken_apart(text: str, key: tuple[str, ...]) -> None:
    assert toml.parse_key(text) == key


@pytest.mark.parametrize(
    "text", ["", " ", "a b", "a.", "[a]", "a\nb", "a=1", "a#", "x." * 5000 + "x"]
)
def test_what_is_no_key_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        toml.parse_key(text)


@pytest.mark.parametrize(
    ("text", "value"),
    [("2", 2), ("true", True), ('"2"', "2"), ("[1, 'a']", [1, "a"]), ("{a = 1}", {"a": 1})],
)
def test_one_toml_value_is_parsed(text: str, value: object) -> None:
    assert toml.parse_value(text) == value


@pytest.mark.parametrize("text", ["", "2GiB", "1\nother = 2", "1\n[table]", "[" * 9999, "9" * 9999])
def test_what_is_not_one_value_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        toml.parse_value(text)
