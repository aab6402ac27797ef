"""Rules on template source: what is refused, and which seed paths a template needs."""

from itertools import pairwise

import pytest

from runtime.domain.errors import TemplateError
from runtime.domain.templates.check import check_template
from runtime.domain.templates.reads import Findings
from runtime.domain.templates.template import Step

ESCAPES = {
    "argument of defined": "{{ b is defined(x.__class__) }}",
    "argument of undefined": "{{ b is undefined[x|attr('mro')] }}",
    "class of a text": "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    "class by item": "{{ ''['__class__'] }}",
    "class by attr filter": "{{ ''|attr('__class__') }}",
    "class by map": "{{ ['']|map(attribute='__class__')|list }}",
    "class by a mapped filter": "{{ ['']|map('attr', '__class__')|list }}",
    "attr filter under another name": "{% set f = 'attr' %}{{ ['']|map(f, '__class__')|list }}",
    "class by groupby": "{{ ['']|groupby('__class__') }}",
    "class by selectattr": "{{ ['']|selectattr('__class__')|list }}",
    "format method": "{{ '{0.__class__}'.format(seed) }}",
    "format_map method": "{{ '{a.__class__}'.format_map(seed) }}",
    "format by filter": "{{ '%(a)s'|format(a=1) }}",
    "globals of a function": "{{ cycler.__init__.__globals__ }}",
    "globals of lipsum": "{{ lipsum.__globals__['os'].popen('id').read() }}",
    "globals of range": "{{ range.__self__ }}",
    "template itself": "{{ self.__init__.__globals__ }}",
    "private name": "{{ _self }}",
    "namespace": "{% set ns = namespace(x=1) %}{{ ns.x }}",
    "joiner": "{{ joiner(',') }}",
    "dict constructor": "{{ dict(a=1) }}",
    "changing a list": "{{ seed.items_.append(1) }}",
    "changing a mapping": "{{ seed.update({'a': 1}) }}",
    "encoding": "{{ 'a'.encode('rot13') }}",
    "translation": "{{ 'a'.translate({97: 'b'}) }}",
    "loop internals": "{% for a in [1] %}{{ loop._iterable }}{% endfor %}",
    "loop call": "{% for a in [1] recursive %}{{ loop([1]) }}{% endfor %}",
    "macro internals": "{% macro m() %}{{ caller }}{% endmacro %}{{ m._func }}",
    "import": "{% import 'a' as a %}",
    "from import": "{% from 'a' import b %}",
    "extends": "{% extends 'a' %}",
    "block": "{% block b %}{% endblock %}",
    "call block": "{% call x() %}{% endcall %}",
    "autoescape": "{% autoescape true %}{% endautoescape %}",
    "dynamic include": "{% include seed.name %}",
    "unpacked arguments": "{{ x.join(*seed.y) }}",
    "unpacked arguments of a filter": "{{ x|join(*seed.y) }}",
    "unpacked arguments of a test": "{{ x is divisibleby(**seed.y) }}",
    "a test that is not there": "{{ x is escaped }}",
    "set on a namespace": "{% set seed.x = 1 %}",
    "markup": "{{ '<b>'|safe }}",
    "xmlattr": "{{ seed|xmlattr }}",
    "pprint": "{{ seed|pprint }}",
    "callable test": "{{ seed is callable }}",
    "calling a call": "{{ x.upper()() }}",
}

BOMBS = {
    "text times number": "{{ 'A'*2000000000 }}",
    "number times text": "{{ 2000000 * 'A' }}",
    "list times number": "{{ [1] * seed.n }}",
    "concatenation times number": "{{ (a ~ b) * 2 }}",
    "nested ranges": (
        "{% for a in range(9999) %}{% for b in range(9999) %}{{ b }}{% endfor %}{% endfor %}"
    ),
    "range": "{% for a in range(10001) %}{% endfor %}",
    "range with a start": "{{ range(-9999, 9999)|list }}",
    "ljust": "{{ 'a'.ljust(2000000000) }}",
    "zfill": "{{ 'a'.zfill(2000000000) }}",
    "center": "{{ 'a'|center(2000000000) }}",
    "percent": "{{ '%2000000000d' % 1 }}",
    "format": "{{ '%2000000000d'|format(1) }}",
    "format method": "{{ '{:>2000000000}'.format(1) }}",
    "lipsum": "{{ lipsum(n=99999) }}",
    "power": "{{ 9**9**9 }}",
    "indent": "{{ 'a\n'|indent(2000000000) }}",
    "indent by the seed": "{{ 'a\n'|indent(n) }}",
    "precision": "{{ 1.5|round(1000000, 'ceil') }}",
    "batch": "{{ [1]|batch(1000000000, 0)|list }}",
    "slice": "{{ [1]|slice(1000000000)|list }}",
    "large number": "{{ 1000001 }}",
    "digits": "{{ " + "9" * 5000 + " }}",
    "large float": "{{ 1e300 }}",
    "long sum": "{{ 1" + " + 1" * 200 + " }}",
    "parentheses": "{{ " + "(" * 5000 + " }}",
    "nested loops": "{% for a in x %}" * 9 + "{% endfor %}" * 9,
    "long path": "{{ a" + ".b" * 50_000 + " }}",
    "many nodes": "{{ a.b }}" * 10_000,
}


def check(prompt: str, **fragments: str) -> Findings:
    steps = (Step(id="first", prompt="x"), Step(id="here", prompt=prompt))
    return check_template((*steps, Step(id="last", prompt="x")), fragments)


def refusal(prompt: str, **fragments: str) -> str:
    with pytest.raises(TemplateError) as caught:
        check(prompt, **fragments)
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith('step "here", prompt')
    return message


@pytest.mark.parametrize("prompt", ESCAPES.values(), ids=ESCAPES.keys())
def test_an_escape_is_refused_before_it_is_compiled(prompt: str) -> None:
    refusal(prompt)


@pytest.mark.parametrize("prompt", BOMBS.values(), ids=BOMBS.keys())
def test_a_bomb_is_refused_before_it_is_compiled(prompt: str) -> None:
    refusal(prompt)


@pytest.mark.parametrize(
    ("prompt", "part"),
    [
        ("a\n{{ x", "line 2: unexpected end of template"),
        ("a\nb {{ x|uper }}", 'line 2: there is no filter "uper", did you mean "upper"?'),
        ("{{ x is strng }}", 'no test "strng", did you mean "string"?'),
        ("{{ x.uper() }}", 'calling .uper() is not allowed, did you mean "upper"?'),
        ("{{ steps.nope.output }}", 'step "nope" does not exist; steps before this one: first'),
        ("{{ steps.last.output }}", 'step "last" runs later; steps before this one: first'),
        ("{{ steps.here.output }}", 'step "here" runs later'),
        ("{{ steps['nope'].output }}", 'step "nope" does not exist'),
        ("{{ steps.nope.output|default('') }}", 'step "nope" does not exist'),
        ("{{ steps.first.text }}", "write steps.first.output"),
        ("{{ steps.first }}", "write steps.first.output"),
        ("{{ steps[x].output }}", "write steps.<id>.output"),
        ("{{ steps }}", "write steps.<id>.output"),
        ("{{ range }}", "seed.range"),
        ("{{ loop.index }}", "inside a loop only"),
        ("{{ 2 ** 3 }}", "** is not allowed"),
        ("{% for a in x recursive %}{% endfor %}", "recursive loops"),
        ("{% set steps = 1 %}", "can't be set"),
        ("{% for seed in x %}{% endfor %}", "can't be set"),
        ("{% with index = 1 %}{% endwith %}", "can't be set"),
        ("{% set _x = 1 %}", "can't be set"),
        ("{{ range() }}", "write range(stop)"),
        ("{{ range(1, 2, 0) }}", "write range(stop)"),
        ("{% include 'a' ignore missing %}", "ignore missing"),
        ("{% include 'a' without context %}", "without context"),
        ("{% include ['a', 'b'] %}", "one constant name"),
        ("{{ [1]|select('tset')|list }}", "select: name a test"),
        ("{{ [1]|selectattr('a', t)|list }}", "selectattr: name a test"),
        ("{{ [1]|selectattr(t)|list }}", "the attribute must be a constant"),
    ],
)
def test_a_refusal_says_where_and_what(prompt: str, part: str) -> None:
    assert part in refusal(prompt)


@pytest.mark.parametrize(
    ("prompt", "paths"),
    [
        ("{{ author.name }} {{ author.name }} {{ age }}", ("age", "author.name")),
        ("{{ seed.author.name }}{{ seed }}{{ index }}", ("author.name",)),
        ("{{ author['name'] }}{{ a[0].b }}{{ m[key] }}", ("a", "author.name", "key", "m")),
        ("{{ x['a.b'].c }}", ("x",)),
        ("{{ name.upper() }}{{ seed.tags.items() }}", ("name", "tags")),
        ("{% for c in characters %}{{ c.name }}{{ loop.index }}{% endfor %}", ("characters",)),
        ("{% for a, b in x|dictsort %}{{ a }}{{ b }}{% endfor %}{{ a }}", ("a", "x")),
        ("{% for a in x if a.ok %}{{ a }}{% else %}{{ a }}{% endfor %}", ("a", "x")),
        ("{{ y }}{% set y = z %}{{ y }}", ("y", "z")),
        ("{% set y %}{{ z }}{% set w = 1 %}{% endset %}{{ y }}{{ w }}", ("w", "z")),
        ("{% with a = b %}{{ a }}{% endwith %}{{ a }}", ("a", "b")),
        ("{% filter upper %}{{ a }}{% endfilter %}", ("a",)),
        ("{{ a.b|default('x') }}{{ c|d(e) }}", ("e",)),
        ("{{ a|default('x') }}{{ a }}", ("a",)),
        ("{% if a.b is defined %}{{ a.b.c }}{{ a.bc }}{% endif %}", ("a.bc",)),
        ("{{ a.b if seed.a is defined else c }}", ("c",)),
        ("{{ a is not undefined and a }}", ()),
        ("{{ a.b is odd }}{{ c if (d ~ e) is defined }}", ("a.b", "c", "d", "e")),
        ("{% if a %}{{ b }}{% endif %}", ("a", "b")),
        ("{{ steps.first.output.field }}", ()),
        ("{% raw %}{{ a }}{% endraw %}{# {{ b }} #}", ()),
        ("{% for a in range(n) %}{{ a }}{% endfor %}", ("n",)),
        ("{{ x|map(attribute='name')|join(', ') }}", ("x",)),
    ],
)
def test_required_paths_are_derived(prompt: str, paths: tuple[str, ...]) -> None:
    assert check(prompt).requirements == paths


@pytest.mark.parametrize(
    "prompt",
    [
        "{{ a|truncate_tokens(50) }}{{ a|extract_keywords(3)|join(', ') }}{{ a|tojson }}",
        "{{ a|random_sentence }}{{ ['formal']|writing_style }}{{ b|random }}",
        "{% for i in range(3) %}{{ loop.cycle('a', 'b') }}{% endfor %}",
        "{{ a.split(',')|map('trim')|reject('equalto', '')|list|join(' and ') }}",
        "{{ a * 2 + 3 // 2 % 4 - -1 }}{{ a ~ b }}{{ a[1:3] }}",
        "{{ [1, 2]|sum }}{{ {'a': 1}|dictsort }}{{ 1.25|round(1) }}{{ a|indent(4, true) }}",
        "{% if a in ['x'] and not b or c > 3 %}y{% elif d %}z{% else %}w{% endif %}",
        "{% for a in range(100) %}{% for b in range(1000) %}{% endfor %}{% endfor %}",
        "{% if [a][0].b is defined %}y{% endif %}",
    ],
)
def test_ordinary_prompts_pass(prompt: str) -> None:
    check(prompt)


def test_system_texts_are_checked_like_prompts() -> None:
    with pytest.raises(TemplateError, match='step "a", system, line 1: there is no filter'):
        check_template((Step(id="a", prompt="x", system="{{ x|nope }}"),), {})
    found = check_template((Step(id="a", prompt="{{ x }}", system="{{ y }}"),), {})
    assert found.requirements == ("x", "y")


def test_a_fragment_is_judged_where_it_is_included() -> None:
    include = "{% for c in x %}{% include 'f' %}{% endfor %}"
    assert check(include, f="{{ c.name }}{{ z }}").requirements == ("x", "z")
    assert check("{% include 'f' %}", f="{{ c.name }}").requirements == ("c.name",)
    message = refusal("\n{% include 'f' %}", f="\n\n{{ steps.last.output }}")
    assert 'fragment "f", line 3: step "last" runs later' in message


def test_what_a_fragment_sets_stays_in_the_fragment() -> None:
    assert check("{% include 'f' %}{{ y }}", f="{% set y = 1 %}").requirements == ("y",)


def test_includes_are_listed_with_and_without_their_source() -> None:
    found = check("{% include 'f' %}{% include 'g' %}", f="{% include 'h' %}")
    assert found.includes == ("f", "g", "h")


def test_a_cycle_of_includes_is_named() -> None:
    message = refusal("{% include 'f' %}", f="{% include 'g' %}", g="{% include 'f' %}")
    assert message.endswith("includes form a cycle: f → g → f")


def test_includes_go_five_deep() -> None:
    names = ["a", "b", "c", "d", "e"]
    fragments = {name: f"{{% include '{after}' %}}" for name, after in pairwise(names)}
    check("{% include 'a' %}", **fragments, e="x")
    assert "a → b → c → d → e → f" in refusal(
        "{% include 'a' %}", **fragments, e="{% include 'f' %}"
    )


def test_includes_that_multiply_are_refused() -> None:
    fan = {
        name: f"{{% include '{after}' %}}" * 20 for name, after in zip("abcd", "bcde", strict=True)
    }
    assert "too large" in refusal("{% include 'a' %}", **fan, e="{{ x }}")


def test_loops_multiply_across_includes() -> None:
    loop = "{% for a in range(1000) %}"
    message = refusal(loop + "{% include 'f' %}{% endfor %}", f=loop + "{% endfor %}")
    assert "nested loops" in message


def test_a_fragment_that_nothing_includes_is_refused() -> None:
    with pytest.raises(TemplateError, match='fragment "f" is not included'):
        check("x", f="y")
