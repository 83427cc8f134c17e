from __future__ import annotations

import contextlib
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vagrantish.errors import RenderError
from vagrantish.render import Renderer, render_file, render_value
from vagrantish.units import parse_size

CONTEXT: dict[str, Any] = {
    "params": {"port": 8080, "items": ["a", "b"], "fast": True, "keys": "mine"},
    "env": {"HOME": "/home/me", "keys": "no method"},
    "host": {"os": "linux", "arch": "x86_64", "cpus": 4, "memory": 8 << 30},
    "project": {"name": "shop", "dir": "/srv/shop"},
    "machine": {"name": "web-2", "index": 2},
}


def refusal_of(text: str) -> str:
    with pytest.raises(RenderError) as caught:
        render_value(text, CONTEXT)
    assert "\n" not in caught.value.message
    return caught.value.message


@pytest.mark.parametrize(
    ("text", "rendered"),
    [
        ("plain", "plain"),
        ("{{ params.port }}", "8080"),
        ("{{ params.port + machine.index }}", "8082"),
        ("{{ params['port'] }}", "8080"),
        ("{{ params.keys }} {{ env.keys }}", "mine no method"),
        ("{{ host.cpus // 2 }}", "2"),
        ("{{ env.HOME }}/x", "/home/me/x"),
        ('{{ env.get("NOPE", "d") }}{{ env.get("HOME") }}', "d/home/me"),
        ("{{ env.NOPE | default('d') }}", "d"),
        ("{{ 'yes' if 'HOME' in env else 'no' }}", "yes"),
        ("{{ 'on' if env.NOPE is defined else 'off' }}", "off"),
        ("{{ 'x' if false }}", ""),
        ("{% for item in params.items %}{{ loop.index }}{{ item }}{% endfor %}", "1a2b"),
        ("{% for i in range(3) %}{{ i }}/{{ loop.length }} {% endfor %}", "0/3 1/3 2/3 "),
        ("{% for k, v in {'a': 1}.items() %}{{ k }}{{ v }}{% endfor %}", "a1"),
        (
            "{% for x in [1, [2]] recursive %}{{ loop(x) if x is iterable else x }}{% endfor %}",
            "12",
        ),
        ("{% macro twice(x) %}{{ x }}{{ x }}{% endmacro %}{{ twice('ab') }}", "abab"),
        ("{% set x %}a{{ params.port }}{% endset %}{{ x | upper }}", "A8080"),
        ("{% filter upper %}abc{% endfilter %}", "ABC"),
        ("{{ params.items | join('-') }} {{ 'a,b'.split(',')[1] }}", "a-b b"),
        ("{{ [3, 1] | sort | map('string') | join(',') }}", "1,3"),
        ("{{ '%03d' % 7 }} {{ '%s.%s' | format('a', 'b') }}", "007 a.b"),
        ("{{ 'x' * 3 }} {{ 2 ** 10 }} {{ 'a' ~ 1 }}", "xxx 1024 a1"),
        ("{{ ['<a>'] | tojson }}", '["\\u003ca\\u003e"]'),
        ("{{ {'a': 1} | tojson ~ '<' }}", '{"a": 1}<'),
        ("{{ (host.memory // 4) | size }}", "2GiB"),
        ("{{ '1GiB' | size // 2 }}", "536870912"),
        ("{% raw %}{{ .Names }}{% endraw %}", "{{ .Names }}"),
        ("echo ${#PATH} {# {{ 1 }}", "echo ${#PATH} {# 1"),
        ("a\n{{ 1 }}\n", "a\n1\n"),
        ("a\r\n{{ 1 }}\r\n", "a\r\n1\r\n"),
    ],
)
def test_a_value_is_rendered(text: str, rendered: str) -> None:
    assert render_value(text, CONTEXT) == rendered


def test_a_file_keeps_its_last_newline_and_drops_comments() -> None:
    text = "{# who made this #}port = {{ params.port }}\n"

    assert render_file(text, CONTEXT) == "port = 8080\n"


@given(st.integers(0, 1 << 60))
def test_every_size_the_filter_writes_can_be_read_again(size_bytes: int) -> None:
    written = render_value("{{ machine.bytes | size }}", {"machine": {"bytes": size_bytes}})

    read = parse_size(written)

    assert read <= size_bytes
    assert size_bytes - read < 1 << 20


# --- what is wrong is told -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{{ params.prot }}", "there is no parameter `prot`; did you mean `port`?"),
        ("{{ machine.nmae }}", "`machine` has no `nmae`; did you mean `name`?"),
        ("{{ parms.port }}", "`parms` is not defined; did you mean `params`?"),
        ("{{ x }}", "`x` is not defined; templates know env, host, machine, params, project"),
        ("{{ env.NOPE }}", 'the environment variable NOPE is not set; env.get("NOPE", "…")'),
        ("{{ {}.a }}", "a dict has no `a`"),
        ("{{ env }}", "`env` is many things: name one, as in env.NAME"),
        ("{{ [1] | map('string') }}", "a generator cannot be written out"),
        ("{{ range }}", "a function cannot be written out"),
        ("{{ 1 / 0 }}", "the template fails: division by zero"),
        ("{{ 1 + 'a' }}", "the template fails: unsupported operand"),
        ("{{ 'secret'.index('x') }}", "the template fails with ValueError"),
        ("{{ 'secret' | size }}", "the template fails with ValueError"),
        ("a\nb {{ 1 / 0 }}", "the template fails: division by zero (line 2 of the text)"),
        ("a\n\n{{ params.prot }}", "did you mean `port`? (line 3 of the text)"),
        ("{{ 1", "the template is wrong: unexpected end of template"),
        ("a\n{% if %}", "(line 2 of the text)"),
        ("{{ .Names }}", "the template is wrong: unexpected '.'"),
        ("{{ 1 | nope }}", "the template is wrong: No filter named 'nope'."),
        ("{% include 'x' %}", "a template has no `include` here"),
        ("{% extends 'x' %}", "a template has no `extends` here"),
        ("{% import 'x' as y %}", "a template has no `import` here"),
        ("{{ 1 }}\0", "a template holds no NUL character"),
    ],
)
def test_what_is_wrong_with_a_template_is_told(text: str, message: str) -> None:
    assert message in refusal_of(text)


def test_wrong_braces_come_with_a_way_to_write_them_literally() -> None:
    with pytest.raises(RenderError) as caught:
        render_value("docker ps --format '{{.Names}}'", CONTEXT)

    assert "{% raw %}" in caught.value.hint


def test_a_name_not_given_is_not_known_here() -> None:
    with pytest.raises(RenderError, match="`machine` is not known here"):
        render_value("{{ machine.name }}", {"params": {}})


# --- what a stranger may try -----------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "{{ ''.__class__.__mro__ }}",
        "{{ ''['__class__'] }}",
        "{{ () | attr('__class__') }}",
        "{{ ([1] | map(attribute='__class__') | list)[0].__mro__ }}",
        "{{ cycler.__init__.__globals__ }}",
        "{{ lipsum.__globals__ }}",
        "{{ joiner.__init__ }}",
        "{{ namespace.__init__ }}",
        "{{ range.__globals__ }}",
        "{{ dict.__subclasses__() }}",
        "{{ dict.mro() }}",
        "{{ env.__class__ }}",
        "{{ env.get.__globals__ }}",
        "{{ env.get.__func__ }}",
        "{{ env.values }}",
        "{{ params.label }}",
        "{{ params.__slots__ }}",
        "{{ self.__init__.__globals__ }}",
        "{{ self._TemplateReference__context }}",
        "{% for i in [1] %}{{ loop._context }}{% endfor %}",
        "{% for i in [1] %}{{ loop.__init__.__globals__ }}{% endfor %}",
        "{% macro f() %}{% endmacro %}{{ f._environment }}",
        "{% macro f() %}{% endmacro %}{{ f.__init__.__globals__ }}",
        "{{ '{0.__class__}'.format(1) }}",
        "{{ '{a.__class__}'.format_map({'a': 1}) }}",
        "{{ 'x'.encode() }}",
        "{{ x.__class__ }}",
        "{{ [].append(1) }}",
        "{{ {}.update(a=1) }}",
        "{{ params.items.append('c') }}",
        "{{ context }}",
        "{{ environment }}",
        "{{ self }}",
        "{{ caller() }}",
        "{{ super() }}",
    ],
)
def test_no_template_gets_out_of_the_sandbox(text: str) -> None:
    refusal_of(text)

    assert CONTEXT["params"]["items"] == ["a", "b"]


BIG = "'x' * 900000"
BOMBS = [
    "{% for i in range(10**9) %}{% endfor %}",
    "{% for i in range(9999) %}{% for j in range(9999) %}{% endfor %}{% endfor %}",
    "{% for i in range(9999) %}{% for j in range(9999) %}x{% endfor %}{% endfor %}",
    "{% for i in range(9999) %}{{ range(9999) | list | length }}{% endfor %}",
    "{% set r = range(9999) | list %}{% for i in r %}{{ -1 in r }}{% endfor %}",
    "{% set r = range(9999) | list %}{% for i in r %}{{ r == r[1:] }}{% endfor %}",
    "{% set r = range(9999) | list %}{% for i in r %}{{ r | map('int') | sum }}{% endfor %}",
    "{% set r = range(9999) | list %}{% for i in r %}{{ r is iterable }}{% endfor %}",
    "{% for a in [1, 1] recursive %}{{ loop([1, 1]) }}{% endfor %}",
    "{% macro f(n) %}{% if n %}{{ f(n - 1) }}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(60) }}",
    "{{ 'x' * 10**9 }}",
    "{{ 10**9 * 'x' }}",
    "{{ ['x'] * 10**9 }}",
    "{{ [[[1] * 1000] * 1000] * 1000 }}",
    "{{ 9 ** (9 ** 9) }}",
    "{{ 2 ** 4000 ** 2 ** 2 }}",
    "{{ 'x' | center(10**9) }}",
    "{{ 'x' | center(width=10**9) }}",
    "{{ 'x'.ljust(10**9) }}",
    "{{ 'x'.zfill(10**9) }}",
    "{{ '%999999999d' % 1 }}",
    "{{ '%*d' % (10**9, 1) }}",
    "{{ '%999999999d' | format(1) }}",
    "{{ ('%(a)s' * 100000) % {'a': 'x' * 100000} }}",
    "{{ '{:>999999999}'.format(1) }}",
    "{{ ('x' * 100000) | replace('x', 'y' * 100000) }}",
    "{{ ('x' * 100000).replace('x', 'y' * 100000) }}",
    "{{ ('x' * 100000) | replace(old='x', new='y' * 100000) }}",
    "{{ ('x\\n' * 10000) | indent(10**5) }}",
    "{{ ('x\\n' * 10000) | indent('x' * 100000) }}",
    "{{ ('x ' * 10000) | wordwrap(1, true, 'x' * 100000) }}",
    "{{ [1] | batch(10**9, 'x') | list }}",
    "{{ [1] | slice(10**9) | list }}",
    "{{ [1] | slice(slices=10**9) | list }}",
    "{{ 5 | round(10**8) }}",
    "{{ [1] | tojson(indent=10**9) }}",
    "{{ range(9999) | join('x' * 10000) }}",
    "{{ [[1] * 9999] | sum(start=[]) }}",
    "{{ " + "('a ' * 100000) | title | " * 40 + "upper }}",
    "{% set a = [1] %}" + "{% set a = [a, a] %}" * 40 + "{{ a }}",
    "{% set a = [1] %}" + "{% set a = (a, a) %}" * 40 + "{{ a == a }}",
    "{% set a = [1] %}" + "{% set a = {'x': a, 'y': a} %}" * 40 + "{{ a | tojson }}",
    "{% set a = [1] %}" + "{% set a = dict(x=a, y=a) %}" * 40 + "{{ a | string }}",
    "{% set a = 'xx' %}" + "{% set a = a ~ a %}" * 40 + "{{ a }}",
    "{% set a = 'xx' %}" + "{% set a = a + a %}" * 40 + "{{ a }}",
    "{% set a = 'xx' %}" + "{% set a %}{{ a }}{{ a }}{% endset %}" * 40,
    "{% macro f(x) %}{{ x }}{{ x }}{% endmacro %}{{ " + "f(" * 40 + "'xx'" + ")" * 40 + "}}",
    f"{{% set a = {BIG} %}}{{{{ a }}}}{{{{ a }}}}",
    f"{{% set a = {BIG} %}}{{{{ [a, a] }}}}",
    f"{{% set a = {BIG} %}}{{% for i in range(9999) %}}{{{{ a[1:] == a }}}}{{% endfor %}}",
    f"{{% set a = {BIG} %}}{{% for i in range(9999) %}}{{{{ a.count('y') }}}}{{% endfor %}}",
    "{{ 1 }}" * 100_000,
    "{{ " + "1 + " * 100_000 + "1 }}",
    "{{ " + "(" * 5000 + ")" * 5000 + " }}",
    "{{ " + "-" * 5000 + "1 }}",
    "{% if 1 %}" * 500 + "{% endif %}" * 500,
    "{% for x in [1] %}" * 30 + "{% endfor %}" * 30,
    "x" * ((1 << 20) + 1) + "{{ 1 }}",
]


@pytest.mark.parametrize("text", BOMBS, ids=[bomb[:40] for bomb in BOMBS])
def test_no_template_takes_much_time_or_memory(text: str) -> None:
    started = time.process_time()

    refusal_of(text)

    assert time.process_time() - started < 5


def test_what_many_values_take_comes_out_of_one_allowance() -> None:
    renderer = Renderer()
    text = "{% for i in range(9000) %}{% endfor %}"

    def render_often() -> None:
        for _ in range(200):
            renderer.render(text, CONTEXT)

    with pytest.raises(RenderError, match="too much work"):
        render_often()


def test_a_hundred_machines_with_a_hundred_usual_values_fit_the_allowance() -> None:
    renderer = Renderer()
    values = [f"{{{{ machine.name }}}}-{{{{ params.port + {number} }}}}" for number in range(100)]

    for _machine in range(100):
        for value in values:
            renderer.render(value, CONTEXT)


PIECES = st.sampled_from(
    ["{{", "}}", "{%", "%}", "{#", "a", "'x'", "1", "if ", "endif", "for i in ", "endfor", "range(",
     "(", ")", "[", "]", "*", "**", "~", "|", "upper", "join", "size", ".", "__class__", "env", "\n",
     "params", "set a=", "macro f()", "endmacro", "is ", "defined", ",", "=", "raw", "endraw", "-", "\\"]
)  # fmt: skip


@settings(max_examples=500, deadline=None)
@given(st.lists(PIECES, max_size=25).map("".join))
def test_any_text_is_rendered_or_refused_with_our_own_error(text: str) -> None:
    with contextlib.suppress(RenderError):
        assert isinstance(render_value(text, CONTEXT), str)
