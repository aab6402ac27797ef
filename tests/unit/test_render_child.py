"""What templates see and can't do in the render child: in its process, and step by step inside
this one, where every branch of it can be watched.
"""

import os
import resource
import signal
import socket
import sys
from collections.abc import Iterator
from threading import Thread
from types import SimpleNamespace

import orjson
import pytest

from runtime import confinement
from runtime.domain.errors import RenderError, TemplateError
from runtime.engine.rendering import child as render_child
from runtime.engine.rendering import renderer as template_engine
from runtime.engine.rendering.child import Renderer
from runtime.engine.rendering.process import ChildProcess
from runtime.engine.rendering.renderer import OUTPUT_CHARACTERS, RenderRequest, TemplateEngine
from tests.fixtures.rendering import failure, render, request, template


class ChildInside(ChildProcess):
    """The child's own code behind the same socket, in a thread of this process, without limits."""

    def __init__(self, _arguments: object, reply_bytes: int) -> None:
        self._reply_bytes = reply_bytes
        self._buffer = bytearray()
        self._socket, theirs = socket.socketpair()
        self._thread = Thread(target=self._serve, args=(theirs,))
        self._thread.start()

    def kill(self) -> None:
        self._socket.close()
        self._thread.join()

    def _serve(self, theirs: socket.socket) -> None:
        with theirs, theirs.makefile("rb") as stream:
            render_child.serve(stream, Renderer(OUTPUT_CHARACTERS, schemas=True))


@pytest.fixture(scope="module", params=["its process", "inside"])
def engine(request: pytest.FixtureRequest) -> Iterator[TemplateEngine]:
    with pytest.MonkeyPatch.context() as patch, TemplateEngine() as shared:
        if request.param == "inside":
            patch.setattr(template_engine, "ChildProcess", ChildInside)
            patch.setattr(resource, "setrlimit", lambda *_: None)
        shared.start()
        yield shared


# ── what a template sees ───────────────────────────────────────────────────────────────────────


def test_the_namespace_of_a_prompt(engine: TemplateEngine) -> None:
    engine.load(template("{{ name }} {{ seed.name }} {{ index }} {{ steps.x.output.y }}"))
    requests = [
        RenderRequest(
            step_id="a", index=5, seed={"name": "Ö"}, steps={"x": {"output": {"y": "z"}}}
        ),
        RenderRequest(step_id="a", part="system", index=6, seed={}),
    ]
    assert engine.execute_template(requests) == ["Ö Ö 5 z", "sys 6"]


@pytest.mark.parametrize(
    ("prompt", "text"),
    [
        ("a\n", "a"),
        ("{% if 1 %}\na\n  {% endif %}\nb", "a\nb"),
        ("{{ '<b>' }}", "<b>"),
        ("{{ m.items }}{{ m['keys'] }}", "fieldk"),
        ("{% for k, v in m.items() %}{{ k }}={{ v }};{% endfor %}", "items=field;keys=k;"),
        (
            "{% for x in l %}{{ loop.index }}{{ x|upper }}{{ loop.last }}{% endfor %}",
            "1AFalse2BTrue",
        ),
        ("{% for x in l %}{{ loop.cycle('x', 'y') }}{% endfor %}", "xy"),
        ("{{ l|join(', ') }} {{ l[0] }} {{ l[-1:]|first }}", "a, b a b"),
        ("{{ l|map('upper')|list|tojson }}", '["A","B"]'),
        ("{% for g, xs in ks|groupby('k') %}{{ g }}{{ xs|length }}{% endfor %}", "1121"),
        ("{% for g in ks|groupby('k') %}{{ g.grouper }}{{ g.list|length }}{% endfor %}", "1121"),
        ("{{ n * 2 + 7 % 4 }}", "9"),
        ("{{ a.b.c|default('x') }}{{ m.q|d('y') }}{{ a.b is defined }}", "xyFalse"),
        ("{{ m.get('items') }}{{ 'a,b'.split(',')|last }}", "fieldb"),
        ("{{ range(3)|list }}{% for i in range(1, 4) %}{{ i }}{% endfor %}", "[0, 1, 2]123"),
        ("{% set x %}{{ n }}!{% endset %}{{ x }}{% filter upper %}a{% endfilter %}", "3!A"),
        ("{{ none_ is none }}{{ true_ }}", "TrueTrue"),
    ],
)
def test_ordinary_jinja_renders(engine: TemplateEngine, prompt: str, text: str) -> None:
    seed = {
        "m": {"items": "field", "keys": "k"},
        "l": ["a", "b"],
        "n": 3,
        "ks": [{"k": 1}, {"k": 2}],
    }
    assert render(engine, prompt, **seed, none_=None, true_=True) == text


def test_fragments_see_the_names_where_they_are_included(engine: TemplateEngine) -> None:
    loop = "{% for c in cs %}{% include 'f' %}{% endfor %}"
    engine.load(template(loop, f="{% include 'g' %};", g="{{ c.n }}{{ index }}"))
    cs = [{"n": "x"}, {"n": "y"}]
    assert engine.execute_template([request(index=4, cs=cs)]) == ["x4;y4;"]


@pytest.mark.parametrize(
    ("prompt", "path"),
    [
        ("{{ nope }}", '"nope"'),
        ("{{ author.nope }}", '"author.nope"'),
        ("{{ seed.author['nope'] }}", '"seed.author.nope"'),
        ("{{ nope.deeper }}", '"nope.deeper"'),
        ("{{ author.name }} {{ author.name.first }}", '"author.name.first"'),
        ("{% for c in cs %}{{ c.n }}{% endfor %}", '"c.n"'),
        ("{% for c in author.nope %}{% endfor %}", '"author.nope"'),
        ("{{ author.nope|random_sentence }}", '"author.nope"'),
        ("{{ author.nope|upper }}", '"author.nope"'),
        ("{{ nope.upper() }}", '"nope"'),
        ("{{ nope * 2 }}", '"nope"'),
        ("{{ cs[7].n }}", '"cs[7].n"'),
        ("{{ cs[7] }}", '"cs[7]"'),
        ("{{ [1, author.nope] }}", '"author.nope"'),
        ("{{ cs|map(attribute='nope')|list }}", "a value"),
        ("{{ author[name] }}", "a value"),
    ],
)
def test_an_undefined_value_is_named(engine: TemplateEngine, prompt: str, path: str) -> None:
    message = failure(engine, f"\n{prompt}", author={"name": "N"}, cs=[{"m": 1}], name="hidden")
    assert message.startswith(f"line 2: {path} is undefined")
    assert "hidden" not in message


def test_the_missing_one_of_several_alike_is_named(engine: TemplateEngine) -> None:
    same_line = failure(engine, "{{ a.x }} {{ b.x }}", a={"x": 1}, b={})
    assert same_line.startswith('line 1: "b.x" is undefined')
    other_line = "{% if false %}{{ a.x }}{% endif %}\n{{ b.x }}"
    assert failure(engine, other_line, a={}, b={}).startswith('line 2: "b.x" is undefined')


def test_fragments_are_compiled_when_a_template_is_loaded() -> None:
    """Not in the time of the first text that includes them."""
    broken = {"sources": {"a/prompt": "{% include 'f' %}"}, "fragments": {"f": "{% if %}"}}
    told = Renderer(OUTPUT_CHARACTERS).load(orjson.dumps(broken))
    assert told == {"error": "the template can't be compiled: TemplateSyntaxError"}


def test_an_error_in_a_fragment_names_the_fragment(engine: TemplateEngine) -> None:
    engine.load(template("\n{% include 'f' %}", f="\n\n{{ x.y }}"))
    (result,) = engine.execute_template([request(x={})])
    assert str(result).startswith('fragment "f", line 3: "x.y" is undefined')


@pytest.mark.parametrize(
    ("prompt", "reason"),
    [
        ("{{ x|map('upper') }}", "not a value"),
        ("{{ x.upper() }}", "is undefined"),
        ("{{ 1 + hidden }}", "unsupported operand"),
        ("{{ 1 / 0 }}", "ZeroDivisionError"),
        ("{{ hidden|truncate_tokens('x') }}", "truncate_tokens needs"),
        ("{{ [hidden]|sum }}", "unsupported operand"),
        ("{{ hidden|float + [] }}", "unsupported operand"),
        ("{{ '\\ud800' }}", "Unicode"),
        ("{{ hidden * 100000 * 100000 * 100000 }}", "numbers only"),
        ("{{ big * big * big * big" + " * big" * 20 + " }}", "grows too large"),
        ("{{ range(big) }}", "range() goes up to 10000"),
    ],
)
def test_a_failure_is_one_records_and_quotes_no_data(
    engine: TemplateEngine, prompt: str, reason: str
) -> None:
    message = failure(engine, prompt, x=["q"], hidden="hunter2", big=10_001)
    assert reason in message
    assert "hunter2" not in message
    assert "\n" not in message


def test_a_step_that_does_not_exist_fails_alone(engine: TemplateEngine) -> None:
    engine.load(template("x"))
    odd = RenderRequest(step_id="nope", index=0, seed={})
    bad, good = engine.execute_template([odd, request()])
    assert isinstance(bad, RenderError)
    assert good == "x"


# ── the child's own fence, for templates that no check has seen ────────────────────────────────

ESCAPES = [
    "{{ ''.__class__ }}",
    "{{ ''['__class__'] }}",
    "{{ seed[key] }}",
    "{{ ''[key] }}",
    "{{ [''][0][key].mro() }}",
    "{{ ['']|map(attribute='__class__')|list }}",
    "{{ ['']|map(attribute=key)|first }}",
    "{{ ['']|map('attr', key)|list }}",
    "{{ ''|attr(key) }}",
    "{{ [seed]|groupby(key) }}",
    "{{ '{0.__class__}'.format(seed) }}",
    "{{ 'a'.format_map(seed) }}",
    "{{ '%s' % seed }}",
    "{{ (key ~ '%s') % key }}",
    "{{ lipsum.__globals__ }}",
    "{{ cycler.__init__ }}",
    "{{ joiner(1) }}",
    "{{ namespace(a=1) }}",
    "{{ dict(a=1) }}",
    "{{ range.__self__ }}",
    "{{ range }}",
    "{{ self }}",
    "{{ self.__init__.__globals__ }}",
    "{% macro m() %}{% endmacro %}{{ m.__globals__ }}",
    "{% macro m() %}{% endmacro %}{{ m._func.__globals__ }}",
    "{% macro m() %}{% endmacro %}{{ m }}",
    "{% for a in [1] %}{{ loop._iterable }}{{ loop.__init__ }}{% endfor %}",
    "{% for a in [1] %}{{ loop }}{% endfor %}",
    "{% set l = [1] %}{{ l.append(2) }}",
    "{{ seed.update({'x': 1}) }}",
    "{% set f = 'a'['upper'] %}{{ f() }}",
    "{{ seed.get }}",
    "{{ ''.join }}",
    "{% include 'a/prompt' %}",
    "{% include '\0a/prompt' %}",
    "{% include '/etc/passwd' %}",
    "{% import 'os' as os %}{{ os }}",
    "{% extends 'x' %}",
    "{{ seed|pprint }}",
    "{{ '<b>'|safe }}",
    "{{ seed|xmlattr }}",
    "{{ 9 ** 9 }}",
]


@pytest.mark.parametrize("prompt", ESCAPES)
def test_an_escape_ends_at_the_childs_fence(engine: TemplateEngine, prompt: str) -> None:
    try:
        result = render(engine, prompt, key="__class__")
    except TemplateError:
        return
    assert isinstance(result, RenderError), result


def test_what_nothing_brought_along_is_not_included() -> None:
    sources = {"a/prompt": "{% include 'f' %}"}
    renderer = Renderer(OUTPUT_CHARACTERS)
    renderer.load(orjson.dumps({"sources": sources, "fragments": {}}))
    body = {"key": "a/prompt", "index": 0, "seed": {}, "steps": {}, "entropy": 0}
    assert renderer.render(orjson.dumps(body)) == {"error": "line 1: TemplateNotFound"}


def test_a_text_may_be_as_long_as_is_allowed() -> None:
    renderer = Renderer(100)
    renderer.load(orjson.dumps({"sources": {"a": "{{ seed.text }}"}, "fragments": {}}))
    body = {"key": "a", "index": 0, "steps": {}, "entropy": 0}

    def rendered(length: int) -> dict[str, str]:
        return renderer.render(orjson.dumps({**body, "seed": {"text": "x" * length}}))

    assert rendered(100) == {"text": "x" * 100}
    assert "longer than 100 characters" in rendered(101)["error"]


# ── frames ─────────────────────────────────────────────────────────────────────────────────────


def frame(body: bytes) -> bytes:
    return len(body).to_bytes(4) + body


@pytest.mark.parametrize("end", [b"", b"\0\0", frame(b"T{}")[:3]])
def test_a_stream_that_ends_ends_the_child(monkeypatch: pytest.MonkeyPatch, end: bytes) -> None:
    """Also in the middle of a length."""
    monkeypatch.setattr(resource, "setrlimit", lambda *_: None)
    ours, theirs = socket.socketpair()
    with ours, theirs, theirs.makefile("rb") as stream:
        ours.sendall(frame(b"Tnot JSON") + end)
        ours.shutdown(socket.SHUT_WR)
        render_child.serve(stream, Renderer(10))
        reply = ours.recv(1000)
    assert orjson.loads(reply[4:]) == {"error": "the template can't be compiled: JSONDecodeError"}


def test_the_child_serves_its_descriptor_0_until_the_parent_is_gone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ignored: list[tuple[int, object]] = []
    limits: list[int] = []
    monkeypatch.setattr(sys, "argv", ["render_child", "1000", "5"])
    monkeypatch.setattr(signal, "signal", lambda number, action: ignored.append((number, action)))
    monkeypatch.setattr(render_child, "limit_resources", limits.append)
    monkeypatch.setattr(render_child, "give_up_privileges", lambda: None)
    monkeypatch.setattr(render_child, "allow_cpu", lambda _: None)
    ends: list[int] = []
    monkeypatch.setattr(os, "_exit", ends.append)
    ours, theirs = socket.socketpair()
    kept = os.dup(0)
    try:
        os.dup2(theirs.fileno(), 0)
        theirs.close()
        requests = orjson.dumps(
            {"key": "a/prompt", "index": 0, "seed": {}, "steps": {}, "entropy": 1}
        )
        sources = orjson.dumps({"sources": {"a/prompt": "123456"}, "fragments": {}})
        ours.sendall(frame(b"T" + sources) + frame(b"R" + frame(requests)))
        ours.shutdown(socket.SHUT_WR)
        render_child.main()
        assert b"longer than 5 characters" in ours.recv(1000)
        ours.close()
        # Once more with a request, and nobody to read the reply.
        ours, theirs = socket.socketpair()
        os.dup2(theirs.fileno(), 0)
        theirs.close()
        ours.sendall(frame(b"T" + sources))
        ours.close()
        render_child.main()
    finally:
        os.dup2(kept, 0)
        os.close(kept)
        ours.close()
    assert {number for number, _ in ignored} == {signal.SIGINT, signal.SIGTERM, signal.SIGHUP}
    assert {action for _, action in ignored} == {signal.SIG_IGN}
    assert limits == [1000, 1000]
    assert ends == [0]


# ── limits, as they are asked for; tests/unit/test_template_engine.py shows that they hold ───────


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> dict[int, tuple[int, int]]:
    limits: dict[int, tuple[int, int]] = {}
    monkeypatch.setattr(resource, "setrlimit", limits.__setitem__)
    return limits


def test_a_lower_limit_stays(
    monkeypatch: pytest.MonkeyPatch, asked: dict[int, tuple[int, int]]
) -> None:
    lower = {resource.RLIMIT_AS: (7, 7), resource.RLIMIT_NOFILE: (1024, 4096)}
    unlimited = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
    monkeypatch.setattr(resource, "getrlimit", lambda kind: lower.get(kind, unlimited))
    confinement.limit_resources(90 << 20)
    assert asked.get(resource.RLIMIT_AS, (7, 7)) == (7, 7)
    assert asked[resource.RLIMIT_NOFILE] == (0, 0)
    for kind in (resource.RLIMIT_CORE, resource.RLIMIT_FSIZE, resource.RLIMIT_NPROC):
        assert asked[kind] == (0, 0)


@pytest.mark.parametrize(("hard", "limited"), [(resource.RLIM_INFINITY, True), (900, False)])
def test_a_frame_has_a_minute_of_processor_time(
    monkeypatch: pytest.MonkeyPatch,
    asked: dict[int, tuple[int, int]],
    hard: int,
    limited: bool,  # noqa: FBT001
) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (hard, hard))
    used = SimpleNamespace(ru_utime=3.6, ru_stime=1.5)
    monkeypatch.setattr(resource, "getrusage", lambda _: used)
    confinement.allow_cpu(render_child.CPU_SECONDS)
    assert asked == ({resource.RLIMIT_CPU: (5 + 60, hard)} if limited else {})


class EndedError(Exception):
    pass


@pytest.mark.parametrize(("platform", "unit"), [("linux", 1024), ("darwin", 1)])
def test_the_watchdog_allows_what_it_is_told(
    monkeypatch: pytest.MonkeyPatch, platform: str, unit: int
) -> None:
    """Where a limit of the memory is accepted and ignored."""
    peaks = iter([5, 5 + 10, 5 + 11])
    monkeypatch.setattr(confinement, "sys", SimpleNamespace(platform=platform))
    monkeypatch.setattr(
        resource, "getrusage", lambda _: SimpleNamespace(ru_maxrss=next(peaks) * 1024 // unit)
    )
    codes: list[int] = []

    def end(code: int) -> None:
        codes.append(code)
        raise EndedError

    monkeypatch.setattr(os, "_exit", end)
    with pytest.raises(EndedError):
        confinement.watch_memory(10 * 1024)
    assert codes == [1]
    assert next(peaks, None) is None


def test_without_a_limit_of_memory_a_watchdog_starts(
    monkeypatch: pytest.MonkeyPatch, asked: dict[int, tuple[int, int]]
) -> None:
    watched: list[int] = []
    monkeypatch.setattr(confinement, "sys", SimpleNamespace(platform="darwin"))
    monkeypatch.setattr(confinement, "watch_memory", watched.append)
    confinement.limit_resources(123)
    assert resource.RLIMIT_AS not in asked
    assert asked[resource.RLIMIT_NOFILE][0] <= 1
    assert watched == [123]
