"""The render engine: one child process, its fence, its limits, and what survives its death."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import psutil
import pytest

from runtime.domain.errors import ConfigurationError, RenderError, TemplateError
from runtime.domain.template import Step, Template
from runtime.worker.template_engine import (
    MAX_REQUEST_BYTES,
    RenderRequest,
    TemplateEngine,
    _reply_of,
    _request_body,
)

MEBIBYTE = 1024 * 1024


def template(prompt: str, **fragments: str) -> Template:
    """Unchecked, so that the child's own fence is what holds."""
    return Template(
        name="n",
        steps=(Step(id="a", prompt=prompt, system="sys {{ index }}"),),
        includes=tuple(fragments),
        fragments=fragments,
    )


def request(index: int = 0, entropy: int = 7, **seed: Any) -> RenderRequest:
    return RenderRequest(step_id="a", index=index, seed=seed, entropy=entropy)


@pytest.fixture(scope="module")
def engine() -> Iterator[TemplateEngine]:
    with TemplateEngine() as shared:
        shared.start()
        yield shared


def render(engine: TemplateEngine, prompt: str, /, **seed: Any) -> str | RenderError:
    engine.load(template(prompt))
    return engine.execute_template([request(**seed)])[0]


def failure(engine: TemplateEngine, prompt: str, /, **seed: Any) -> str:
    result = render(engine, prompt, **seed)
    assert isinstance(result, RenderError), result
    return str(result)


def child_of(engine: TemplateEngine) -> psutil.Process:
    child = engine._child
    assert child is not None
    return psutil.Process(child.process.pid)


def wait_until(condition: Callable[[], bool], seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.01)


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
        ("{{ none_ }}{{ true_ }}", "NoneTrue"),
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
]


@pytest.mark.parametrize("prompt", ESCAPES)
def test_an_escape_ends_at_the_childs_fence(engine: TemplateEngine, prompt: str) -> None:
    try:
        result = render(engine, prompt, key="__class__")
    except TemplateError:
        return
    assert isinstance(result, RenderError), result


BOMBS = {
    "text times number": "{{ 'A'*2000000000 }}",
    "nested ranges": "{% for a in range(9999) %}{% for b in range(9999) %}{% endfor %}{% endfor %}",
    "nested loops over the seed": (
        "{% for a in l %}{% for b in l %}{% for c in l %}{% endfor %}{% endfor %}{% endfor %}"
    ),
    "ljust": "{{ 'a'.ljust(2000000000) }}",
    "percent": "{{ '%2000000000d' % 1 }}",
    "lipsum": "{{ lipsum(n=99999) }}",
    "power": "{{ 9**9**9 }}",
    "powers by product": "{% set x = 999999 %}" + "{% set x = x * x %}" * 40 + "{{ x }}",
    "doubled text": "{% set x = 'aaaaaaaaaa' %}" + "{% set x = x ~ x %}" * 40 + "{{ x }}",
    "doubled list": "{% set x = [1, 2] %}" + "{% set x = x + x %}" * 40 + "{{ x }}",
    "indent": "{{ 'a\na'|indent(2000000000) }}",
    "precision": "{{ 1.5|round(100000000, 'ceil') }}",
    "replace": "{{ t.replace('', t) }}",
    "endless text": "{% for a in l %}{% for b in l %}{{ t }}{% endfor %}{% endfor %}",
    "sum of lists": "{{ ll|sum(start=[]) }}",
    "recursion": "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
}


class MemoryWatch(threading.Thread):
    """The most that all children held, together with what this process grew by, sampled.

    What the process held before is other tests' memory; the command as a whole is measured in
    tests/process/test_cli_errors.py.
    """

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self._before = psutil.Process().memory_info().rss
        self.peak = 0
        self.largest_child = 0
        self._end = threading.Event()

    def run(self) -> None:
        me = psutil.Process()
        while not self._end.wait(0.005):
            children = 0
            for child in me.children():
                try:
                    children += child.memory_info().rss
                except psutil.Error:
                    continue
            self.largest_child = max(self.largest_child, children)
            self.peak = max(self.peak, me.memory_info().rss - self._before + children)

    def stop(self) -> None:
        self._end.set()
        self.join()


@pytest.mark.parametrize("prompt", BOMBS.values(), ids=BOMBS.keys())
def test_a_bomb_is_refused_in_time_and_memory(engine: TemplateEngine, prompt: str) -> None:
    # Given a warm child
    assert render(engine, "x") == "x"
    seed = {"l": list(range(2000)), "t": "x" * 100_000, "ll": [[1] * 10] * 20_000}
    watch = MemoryWatch()
    watch.start()
    # When
    begun = time.monotonic()
    try:
        result: str | RenderError | TemplateError = render(engine, prompt, **seed)
    except TemplateError as error:
        result = error
    seconds = time.monotonic() - begun
    watch.stop()
    # Then
    assert isinstance(result, (RenderError, TemplateError))
    assert seconds < 2
    assert watch.peak < 256 * MEBIBYTE
    assert watch.largest_child < 140 * MEBIBYTE
    assert render(engine, "still {{ x }}", x="here") == "still here"


def test_only_the_guilty_record_fails_by_time() -> None:
    loops = "{% for a in l %}{% for b in l %}{% for c in l %}{% endfor %}{% endfor %}{% endfor %}"
    with TemplateEngine(template(loops + "{{ index }}"), render_seconds=0.3) as engine:
        batch = [
            request(index=index, l=list(range(3000 if index == 2 else 2))) for index in range(5)
        ]
        results = engine.execute_template(batch)
    assert "longer than 0.3 seconds" in str(results.pop(2))
    assert results == ["0", "1", "3", "4"]


def test_only_the_guilty_record_fails_by_memory_and_length() -> None:
    prompt = "{% set x = t.replace('', t) %}{% for a in l %}0123456789{% endfor %}{{ index }}"
    with TemplateEngine(template(prompt), output_characters=100) as engine:
        batch = [
            request(index=0, t="", l=[1]),
            request(index=1, t="x" * 100_000, l=[1]),
            request(index=2, t="", l=[1] * 10),
            request(index=3, t="", l=[]),
        ]
        first, memory, length, last = engine.execute_template(batch)
    assert (first, last) == ("01234567890", "3")
    assert "too much memory" in str(memory)
    assert "longer than 100 characters" in str(length)


# ── requests ───────────────────────────────────────────────────────────────────────────────────


def test_large_seeds_go_in_several_frames_and_too_large_ones_fail() -> None:
    # Given a child that can't hold the whole batch at once
    large = "x" * (MAX_REQUEST_BYTES // 4)
    batch = [request(index=index, t=large) for index in range(40)]
    batch.insert(3, request(t=large * 4))
    batch.insert(1, request(t={1, 2}))
    # When
    with TemplateEngine(template("{{ t|length }}{{ index }}"), memory_bytes=56 << 20) as engine:
        results = engine.execute_template(batch)
    # Then
    assert "JSON" in str(results.pop(1))
    assert "larger than 4 MiB" in str(results.pop(3))
    assert results == [f"{len(large)}{index}" for index in range(40)]


def test_an_empty_batch_gives_nothing(engine: TemplateEngine) -> None:
    assert engine.execute_template([]) == []


def test_draws_depend_on_record_step_and_part_only() -> None:
    styles = "{{ none|writing_style }}{{ range(9999)|list|random }}"
    steps = tuple(Step(id=name, prompt=styles, system=styles) for name in ("a", "b"))
    drawing = Template(name="n", steps=steps)

    def of(step_id: str, part: Any, entropy: int) -> RenderRequest:
        return RenderRequest(step_id=step_id, part=part, index=0, seed={}, entropy=entropy)

    requests = [of(s, p, e) for s in ("a", "b") for p in ("prompt", "system") for e in (1, 2**63)]
    with TemplateEngine(drawing) as engine:
        first = engine.execute_template(requests)
        again = engine.execute_template(requests[::-1])[::-1]
    with TemplateEngine(drawing) as other:
        alone = [other.execute_template([each])[0] for each in requests]
    assert first == again == alone
    assert len(set(map(str, first))) == len(requests)


def test_the_template_can_be_exchanged(engine: TemplateEngine) -> None:
    engine.load(template("one"))
    pid = child_of(engine).pid
    engine.load(template("two"))
    assert engine.execute_template([request()]) == ["two"]
    assert child_of(engine).pid == pid


def test_an_unresolved_include_is_refused() -> None:
    unresolved = Template(name="n", steps=(Step(id="a", prompt="x"),), includes=("f",))
    with pytest.raises(TemplateError, match='"f" is not resolved'):
        TemplateEngine(unresolved)


def test_without_a_template_nothing_renders() -> None:
    with TemplateEngine() as engine, pytest.raises(TemplateError, match="no template is loaded"):
        engine.execute_template([request()])


# ── life and death of the child ────────────────────────────────────────────────────────────────


def test_a_child_killed_between_renders_is_replaced(engine: TemplateEngine) -> None:
    engine.load(template("{{ index }}"))
    killed = child_of(engine)
    killed.kill()
    wait_until(lambda: killed.status() == psutil.STATUS_ZOMBIE)
    assert engine.execute_template([request(index=1), request(index=2)]) == ["1", "2"]
    assert child_of(engine).pid != killed.pid


def test_a_child_killed_between_templates_is_replaced(engine: TemplateEngine) -> None:
    engine.load(template("one"))
    killed = child_of(engine)
    killed.kill()
    wait_until(lambda: killed.status() == psutil.STATUS_ZOMBIE)
    engine.load(template("two"))
    assert engine.execute_template([request()]) == ["two"]


def test_a_template_that_does_not_compile_leaves_the_engine_usable(engine: TemplateEngine) -> None:
    engine.load(template("{{ x.y }}"))
    with pytest.raises(TemplateError, match="can't be compiled"):
        engine.load(template("{{ x|nope }}"))
    with pytest.raises(TemplateError, match="can't be compiled"):
        engine.execute_template([request()])
    engine.load(template("{{ x.y }}"))
    assert '"x.y" is undefined' in str(engine.execute_template([request(x={})])[0])


def test_a_request_that_kills_the_child_twice_fails_alone() -> None:
    # Given a killer that strikes each child that works on the long render
    prompt = "{% for a in l %}{% for b in l %}{% for c in l %}{% endfor %}{% endfor %}{% endfor %}"
    engine = TemplateEngine(template(prompt + "{{ index }}"), render_seconds=30)
    engine.start()
    killed: set[int] = set()
    done = threading.Event()

    def strike() -> None:
        while not done.wait(0.01):
            for child in psutil.Process().children():
                if child.cpu_times().user > 0.5:
                    killed.add(child.pid)
                    child.kill()

    killer = threading.Thread(target=strike)
    killer.start()
    # When
    results = engine.execute_template(
        [request(index=index, l=list(range(3000 if index == 1 else 1))) for index in range(3)]
    )
    done.set()
    killer.join()
    engine.close()
    # Then
    assert "process died" in str(results.pop(1))
    assert results == ["0", "2"]
    assert len(killed) == 2


def test_a_batch_that_is_broken_off_leaves_no_reply_behind(engine: TemplateEngine) -> None:
    engine.load(template("{{ index }}"))
    bodies = [_request_body(request(index=index)) for index in range(3)]
    exchange = engine._exchange([body for body in bodies if isinstance(body, bytes)])
    assert next(exchange) == "0"
    exchange.close()  # type: ignore[attr-defined]
    assert engine.execute_template([request(index=9)]) == ["9"]


def test_a_child_that_says_too_much_is_not_read(engine: TemplateEngine) -> None:
    engine.load(template("{{ t }}"))
    child = engine._child
    assert child is not None
    child._reply_bytes = 50
    assert engine.execute_template([request(t="x" * 200)]) == ["x" * 200]
    assert engine._child is not child


@pytest.mark.parametrize("body", [b"", b"[]", b"5", b'{"text": 5}', b'{"error": []}', b"\xff"])
def test_what_is_no_reply_is_refused(body: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - orjson's own text, or ours
        _reply_of(body)


def test_a_child_that_can_not_start_is_a_configuration_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with TemplateEngine(template("x")) as engine:
        engine._arguments = ("none", "none")
        with pytest.raises(ConfigurationError, match="did not start"):
            engine.execute_template([request()])
    monkeypatch.setattr(sys, "executable", "/does/not/exist")
    with pytest.raises(ConfigurationError, match="can't be started"):
        TemplateEngine(template("x")).start()


def test_the_child_has_no_secret_and_its_own_session(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hunter2")
    with TemplateEngine(template("x")) as engine:
        engine.load(template("y"))
        child = child_of(engine)
        assert "hunter2" not in "".join(child.environ().values())
        assert os.getsid(child.pid) == child.pid != os.getsid(0)


def test_signals_of_a_shutdown_do_not_reach_the_child(engine: TemplateEngine) -> None:
    engine.load(template("{{ index }}"))
    child = child_of(engine)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        child.send_signal(number)
    assert engine.execute_template([request(index=3)]) == ["3"]
    assert child_of(engine).pid == child.pid


def test_the_child_ends_with_its_parent() -> None:
    script = """
import os, signal
from runtime.domain.template import Step, Template
from runtime.worker.template_engine import TemplateEngine
engine = TemplateEngine(Template(name="n", steps=(Step(id="a", prompt="x"),)))
engine.load(Template(name="n", steps=(Step(id="a", prompt="y"),)))
print(engine._child.process.pid, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""
    done = subprocess.run(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, check=False, timeout=60
    )
    assert done.returncode == -signal.SIGKILL
    pid = int(done.stdout)

    def gone() -> bool:
        return not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE

    wait_until(gone)


def test_closing_ends_the_child_and_the_engine_can_go_on() -> None:
    engine = TemplateEngine(template("x"))
    assert engine.execute_template([request()]) == ["x"]
    child = child_of(engine)
    engine.close()
    assert not child.is_running()
    assert engine.execute_template([request()]) == ["x"]
    engine.close()


def run_limited(body: str) -> subprocess.CompletedProcess[str]:
    script = f"from runtime.worker import render_child\n{body}"
    # A shell between: on Linux a process inherits the memory peak of the one that started it, and
    # this one may have held more than any limit here.
    shell = ["/bin/sh", "-c", '"$0" -c "$1"; exit $?', sys.executable, script]
    return subprocess.run(shell, capture_output=True, text=True, check=False, timeout=60)


@pytest.mark.skipif(sys.platform != "linux", reason="RLIMIT_AS is Linux's")
@pytest.mark.parametrize(
    ("body", "outcome"),
    [
        ("bytearray(20 << 20)", "fine"),
        ("bytearray(80 << 20)", "MemoryError"),
        ("open('/etc/hostname')", "OSError"),
        ("open('/dev/null', 'w')", "OSError"),
        ("__import__('socket').socket()", "OSError"),
    ],
)
def test_the_limits_of_the_child(body: str, outcome: str) -> None:
    done = run_limited(f"""
import socket
render_child.limit_resources(90 << 20)
try:
    {body}
except Exception as error:
    print(type(error).__name__)
else:
    print("fine")
""")
    assert done.stdout.strip() == outcome


def test_the_watchdog_ends_a_process_that_grows() -> None:
    done = run_limited("""
import threading, time
threading.Thread(target=render_child.watch_memory, args=(50 << 20,), daemon=True).start()
time.sleep(0.2)
print("small", flush=True)
block = bytearray(b"x") * (400 << 20)
time.sleep(20)
print("large", flush=True)
""")
    assert (done.returncode, done.stdout) == (1, "small\n")


def test_processor_time_is_the_last_resort() -> None:
    done = run_limited("""
import sys
render_child.CPU_SECONDS = 1
render_child._allow_cpu()
while True:
    pass
""")
    assert done.returncode == 128 + signal.SIGXCPU  # as a shell says it


def seeds_of(size: int) -> Mapping[str, Any]:
    return {"name": "x" * size, "tags": ["a", "b", "c"]}


def test_a_batch_is_one_fast_round_trip(engine: TemplateEngine) -> None:
    engine.load(template("Write about {{ name }}. {% for t in tags %}{{ t|upper }} {% endfor %}"))
    batch = [
        RenderRequest(step_id="a", index=index, seed=seeds_of(200), entropy=index)
        for index in range(32)
    ]
    engine.execute_template(batch)
    times = []
    for _ in range(20):
        begun = time.perf_counter()
        engine.execute_template(batch)
        times.append(time.perf_counter() - begun)
    # 0.6 ms on a quiet machine; the limit leaves room for a busy one.
    assert min(times) < 0.01
