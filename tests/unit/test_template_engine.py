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
from runtime.domain.templates.template import Step, Template
from runtime.engine.rendering.frames import MAX_REQUEST_BYTES, read_text
from runtime.engine.rendering.renderer import (
    _RENDERING,
    RenderRequest,
    TemplateEngine,
    _render_body,
)
from tests.fixtures.rendering import render, request, template

MEBIBYTE = 1024 * 1024


@pytest.fixture(scope="module")
def engine() -> Iterator[TemplateEngine]:
    with TemplateEngine() as shared:
        shared.start()
        yield shared


def child_of(engine: TemplateEngine) -> psutil.Process:
    child = engine._child
    assert child is not None
    return psutil.Process(child.process.pid)


def wait_until(condition: Callable[[], bool], seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.01)


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
    """The most that a render child held, together with what this process grew by, sampled.

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
                    # Other tests have left children of their own, such as the CDK's Node.js.
                    if "runtime.engine.rendering.child" in child.cmdline():
                        children = max(children, child.memory_info().rss)
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
    bodies = [_render_body(request(index=index)) for index in range(3)]
    exchange = engine._exchange(_RENDERING, [body for body in bodies if isinstance(body, bytes)])
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
        read_text(body)


def test_a_child_that_can_not_start_is_a_configuration_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with TemplateEngine(template("x")) as engine:
        engine._output_characters = 0  # not even what it warms up with
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
from runtime.domain.templates.template import Step, Template
from runtime.engine.rendering.renderer import TemplateEngine
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
    script = f"from runtime import confinement\n{body}"
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
confinement.limit_resources(90 << 20)
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
threading.Thread(target=confinement.watch_memory, args=(50 << 20,), daemon=True).start()
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
confinement.allow_cpu(1)
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
