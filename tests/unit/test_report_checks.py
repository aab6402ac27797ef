"""What a report says of diversity, checks, judges and rejected tries: the figures by brute force,
and hostile texts as text.
"""

import random
import re
import string
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest

from runtime.cli.statistics import print_statistics
from runtime.contract.keys import REJECTED_PARTS, rejected_key
from runtime.datasets.statistics import FolderReport
from runtime.domain.checks.acceptance import Acceptance
from runtime.domain.checks.totals import CheckTotals, Selection
from runtime.domain.jobs.job import Job
from runtime.domain.jobs.record import Record
from runtime.domain.jobs.step_totals import StepTotals
from runtime.export.batches import Batches
from runtime.export.report.checked import EXAMPLES_BY_CHECK
from runtime.export.report.diversity import DIVERSITY_RECORDS
from runtime.export.report.page import render_page
from runtime.export.report.statistics import DatasetStatistics
from runtime.export.report.writing import statistics_of
from tests.fixtures.memory_objects import MemoryObjects
from tests.fixtures.reports import JOB_ID, START, Page, a_job, a_line, statistics_for

# ── diversity ──────────────────────────────────────────────────────────────────────────────────


def grams(texts: Sequence[str], length: int) -> Iterator[tuple[str, ...]]:
    """By the definition, of plain words."""
    for text in texts:
        words = re.findall(r"[a-z]+", text.lower())[:160]
        yield from zip(*(words[at:] for at in range(length)), strict=False)


@pytest.mark.parametrize("seed", range(4))
def test_distinct_n_is_what_counting_gives(seed: int) -> None:
    chance = random.Random(seed)  # noqa: S311 - texts
    words = string.ascii_lowercase[: 2 + 3 * seed]
    texts = [
        " ".join(2 * chance.choice(words).title() for _ in range(chance.randrange(1, 12))) + "."
        for _ in range(40)
    ]
    texts += ["", texts[0] + " " + 200 * "q "]
    found = statistics_for([{"ask": text} for text in texts]).diversity

    for length, share in enumerate((found.distinct_1, found.distinct_2, found.distinct_3), 1):
        every = list(grams(texts, length))
        assert share == round(len(set(every)) / len(every), 4)
    assert found.words == len(list(grams(texts, 1)))
    assert (found.sampled, found.of) == (42, 42)


def test_a_run_of_words_never_reaches_into_the_next_record() -> None:
    found = statistics_for([{"ask": "a b"}, {"ask": "c a"}, {"ask": "b"}]).diversity
    assert (found.distinct_1, found.distinct_2, found.distinct_3) == (0.6, 1.0, None)


def test_the_sample_is_bounded_and_the_same_in_any_order() -> None:
    outputs = [f"word{number} word{number} {number % 7}" for number in range(DIVERSITY_RECORDS)]
    lines = [a_line(index, {"ask": text}) for index, text in enumerate([*outputs, *outputs[:300]])]
    job = a_job(len(lines))
    found = statistics_of(MemoryObjects(), job, lines).diversity
    assert (found.sampled, found.of) == (DIVERSITY_RECORDS, len(lines))
    assert found.words == 3 * DIVERSITY_RECORDS
    assert statistics_of(MemoryObjects(), job, lines[::-1]).diversity == found


def test_the_compression_ratio_is_that_of_the_sample() -> None:
    alike = statistics_for([{"ask": "The tea is hot and the cup is full."}] * 50).diversity
    text = "\n".join(["the tea is hot and the cup is full."] * 50).encode()
    assert alike.compression_ratio == round(len(text) / len(zlib.compress(text)), 3)
    chance = random.Random(1)  # noqa: S311 - texts
    varied = statistics_for([{"ask": f"{chance.random()}"} for _ in range(50)]).diversity
    assert alike.compression_ratio is not None
    assert varied.compression_ratio is not None
    assert alike.compression_ratio > 10
    assert varied.compression_ratio < 3


def test_nothing_is_said_of_no_texts() -> None:
    for outputs in ([], [{"ask": ""}]):
        found = statistics_for(outputs).diversity
        assert (found.words, found.distinct_1, found.compression_ratio) == (0, None, None)
    assert "Diversity" in Page(render_page(statistics_for([{"ask": ""}]))).text


# ── checks ─────────────────────────────────────────────────────────────────────────────────────

JUDGE = {"kind": "int", "tone": "text"}
STEPS = {
    "ask": StepTotals(model="m", calls=9, cost_nano=9_000_000),
    "good": StepTotals(model="judge-model", calls=7, cost_nano=2_000_000, judge=True),
}


def verdict(score: object, tone: object, reason: str = "so", *, passed: bool) -> dict[str, Any]:
    return {
        "passed": passed,
        "scores": {
            "kind": {"reasoning": reason, "score": score},
            "tone": {"reasoning": reason, "score": tone},
        },
        "model": "judge-model",
        "stop_reason": "end_turn",
    }


def tried(
    index: int,
    text: str,
    verdicts: Mapping[str, Mapping[str, object]],
    *,
    attempt: int = 0,
    rejected_by: str | None = None,
) -> bytes:
    return Record(
        job_id=JOB_ID,
        index=index,
        timestamp=START,
        seed_data_id=f"seed-{index}",
        generation_result={"ask": {"output": text, "model": "m", "stop_reason": "end_turn"}},
        attempt=attempt,
        verdicts=verdicts,
        rejected_by=rejected_by,
    ).line()


def checked_job(
    num_records: int = 10, *, selection: Selection | None = None, **counters: Any
) -> Job:
    job = a_job(num_records, **counters)
    config = replace(job.config, acceptance=Acceptance(max_candidates=10 * num_records))
    return replace(job, config=config, selection=selection)


def rejected_world(seed: int) -> tuple[MemoryObjects, Job, list[bytes], list[dict[str, Any]]]:
    """Records and rejected tries by chance, some of which are stored twice."""
    chance = random.Random(seed)  # noqa: S311 - verdicts
    objects = MemoryObjects()
    accepted, rejected = [], []
    for index in range(60):
        score, tone = chance.randrange(1, 6), chance.choice(["warm", "cold"])
        if chance.random() < 0.1:
            said: dict[str, Any] = {"passed": None, "skipped": True}
        else:
            said = verdict(score, tone, passed=score > 2)
        if said["passed"] is False:
            rejected.append(tried(index, f"no {index}", {"good": said}, rejected_by="good"))
        elif chance.random() < 0.2:
            said = {"good": said, "late": {"passed": False}}
            rejected.append(tried(index, f"late {index}", said, rejected_by="late"))
        else:
            accepted.append(tried(index, f"yes {index}", {"good": said, "late": {"passed": True}}))
    parts = Batches(objects, REJECTED_PARTS)
    chance.shuffle(rejected)
    parts.save_batch(JOB_ID, 1, rejected[:20])
    parts.save_batch(JOB_ID, 2, rejected[10:])  # a part that was adopted, too
    by = Counter(orjson.loads(line)["rejected_by"] for line in rejected)
    job = checked_job(
        len(accepted),
        records_generated=len(accepted),
        checks=CheckTotals(tries=60, rejected=len(rejected), rejected_by=dict(by)),
        steps=STEPS,
    )
    return objects, job, accepted, [orjson.loads(line) for line in rejected]


@pytest.mark.parametrize("seed", range(3))
def test_scores_are_counted_over_the_accepted_and_over_the_rejected(seed: int) -> None:
    objects, job, accepted, rejected = rejected_world(seed)
    found = statistics_of(objects, job, accepted)

    (judge,) = found.judges
    assert (judge.check, judge.calls, judge.cost_nano) == ("good", 7, 2_000_000)
    kept = [orjson.loads(line)["checks"]["good"] for line in accepted]
    out = [document["checks"]["good"] for document in rejected]
    assert judge.judged == sum("scores" in said for said in kept)
    assert judge.not_judged == sum("scores" not in said for said in kept) > 0
    for score in judge.scores:
        for shown, said in ((score.accepted, kept), (score.rejected, out)):
            values = [each["scores"][score.name]["score"] for each in said if "scores" in each]
            counts = Counter(map(str, values))
            assert {each.value: each.count for each in shown.counts} == counts
            if score.name == "kind":
                assert shown.mean == round(sum(values) / len(values), 3)
                assert [int(each.value) for each in shown.counts] == sorted(set(values))
            else:
                assert shown.mean is None


def test_the_first_of_each_check_are_shown_whatever_the_order_they_ended_in() -> None:
    objects, job, accepted, rejected = rejected_world(5)
    shown = statistics_of(objects, job, accepted).rejected_examples
    for check in ("good", "late"):
        indices = sorted(each["index"] for each in rejected if each["rejected_by"] == check)
        assert [each.index for each in shown if each.check == check] == indices[:EXAMPLES_BY_CHECK]
    assert shown[0].cells[0].text == f"no {shown[0].index}"
    assert "kind 1: so" in shown[0].verdict or "kind 2: so" in shown[0].verdict


def test_judges_stand_among_the_steps_with_what_they_cost() -> None:
    objects, job, accepted, _ = rejected_world(1)
    found = statistics_of(objects, job, accepted)
    assert [each.step for each in found.steps] == ["ask", "good"]
    judge = found.steps[1]
    assert (judge.records, judge.skipped) == (found.judges[0].judged, found.judges[0].not_judged)
    document = orjson.loads(orjson.dumps(found.document()))
    assert document["judges"][0]["cost_usd"] == "0.002"
    assert document["checks"]["judging_usd"] == "0.002"
    accepted_share = round(len(accepted) / 60, 4)
    assert document["checks"]["acceptance_rate"] == accepted_share


def test_records_left_out_are_shown_but_no_rejected_try_twice() -> None:
    """`even` has rejected a try, whose line is in the list too, and left out a record."""
    objects = MemoryObjects()
    even = {"even": {"passed": False, "value": "x"}}
    try_ = tried(
        1, "no label", {"good": verdict(4, "warm", passed=True), **even}, rejected_by="even"
    )
    Batches(objects, REJECTED_PARTS).save_batch(JOB_ID, 1, [try_])
    passed = {"good": verdict(5, "warm", passed=True), "even": {"passed": True, "value": "a"}}
    out = [tried(index, f"twice {index}", passed, rejected_by="fresh") for index in range(2, 9)]
    odd = tried(9, "left", passed, rejected_by="even")
    objects.put(rejected_key(JOB_ID), b"\n".join([try_, *out, odd, b"damaged"]), content_type="x")
    selection = Selection(wanted=10, records=9, accepted=1, left_out={"fresh": len(out), "even": 1})
    kept = [tried(0, "kept", passed)]
    job = checked_job(selection=selection, records_generated=9)

    found = statistics_of(objects, job, kept)
    assert [(each.check, each.index) for each in found.rejected_examples] == [
        ("even", 1),
        ("even", 9),
        ("fresh", 2),
        ("fresh", 3),
        ("fresh", 4),
    ]
    (kind, _) = found.judges[0].scores
    assert [(each.value, each.count) for each in kind.rejected.counts] == [("4", 1)]
    # A list of before says nothing of what is chosen now.
    before = replace(job, selection=None)
    assert [each.index for each in statistics_of(objects, before, kept).rejected_examples] == [1]


HOSTILE = "</script><script>alert(1)</script>\x1b[31m\u202e" + "x" * 5000


def hostile() -> tuple[DatasetStatistics, Job]:
    objects = MemoryObjects()
    said = verdict(HOSTILE, HOSTILE, HOSTILE, passed=False)
    said["scores"] |= {f"{HOSTILE}{number}": {"score": number} for number in range(50)}
    lines = [tried(30 + each, HOSTILE, {HOSTILE: said}, rejected_by=HOSTILE) for each in range(30)]
    lines += [
        tried(index, HOSTILE, {HOSTILE: said}, attempt=index % 3, rejected_by=f"{HOSTILE}{index}")
        for index in range(30)
    ]
    lines += [
        tried(60 + each, "", {HOSTILE: verdict(each, each, passed=False)}, rejected_by=HOSTILE)
        for each in range(30)
    ]
    broken: list[Any] = [
        {"index": 97, "try": 0, "rejected_by": 7, "checks": 3, "generation_result": {}},
        {"index": 98, "try": 0, "rejected_by": "x", "checks": [], "generation_result": {"a": 1}},
        {"index": 99, "try": 0, "rejected_by": "y", "generation_result": None},
    ]
    parts = Batches(objects, REJECTED_PARTS)
    parts.save_batch(JOB_ID, 1, [*lines, *map(orjson.dumps, broken)])
    many = {f"{HOSTILE}{number}": number for number in range(20)}
    job = checked_job(checks=CheckTotals(tries=60, rejected_by=many))
    return statistics_of(objects, job, [tried(99, "tea", {HOSTILE: said})]), job


def test_hostile_verdicts_and_tries_are_text_on_the_page_and_bounded() -> None:
    found, _ = hostile()
    text = render_page(found)
    page = Page(text)
    assert page.tags.isdisjoint({"script", "img", "iframe", "link", "object", "a"})
    assert not any(character in text for character in "\x1b\u202e")
    assert "</script><script>alert(1)</script>" in page.text
    assert len(text) < 500_000
    assert len(found.rejected_examples) <= 20 * EXAMPLES_BY_CHECK
    assert any(each.verdict.startswith("kind </script>") for each in found.rejected_examples)
    kind = found.judges[0].scores[0]
    assert (len(kind.accepted.counts), len(kind.rejected.counts)) == (1, 20)
    assert len(found.judges[0].scores) <= 10


def test_the_terminal_shows_them_as_text(capsys: pytest.CaptureFixture[str]) -> None:
    found, job = hostile()
    print_statistics(FolderReport(folder=Path(), job=job, statistics=found, page=Path("p")))
    out = capsys.readouterr().out
    assert not any(character in out for character in "\x1b\u202e")
    assert "alert(1)" in out


def test_page_and_terminal_say_what_checks_did(capsys: pytest.CaptureFixture[str]) -> None:
    objects, job, accepted, rejected = rejected_world(2)
    found = statistics_of(objects, job, accepted)
    by = Counter(each["rejected_by"] for each in rejected)
    shown = " ".join(Page(render_page(found)).text.split())
    share = f"{100 * len(accepted) / 60:.1f} %"
    assert f"{share} of the tries gave a record" in shown
    assert f"goodrejected tries{by['good']}" in shown
    assert "Some of what was kept out" in shown
    assert "7 calls, $0.002" in shown

    print_statistics(FolderReport(folder=Path(), job=job, statistics=found, page=Path("p")))
    out = capsys.readouterr().out
    judge = found.judges[0]
    assert (
        f"judge good: {judge.judged} records judged, {judge.not_judged} not; 7 calls, $0.002" in out
    )
    assert f"checks so far: {len(accepted)} accepted of 60 tries" in out
    assert f"good rejected {by['good']} tries" in out
    assert f"(mean {judge.scores[0].accepted.mean:.2f}); rejected '1' " in out
    assert "kept out by good: record " in out
    assert "diversity: distinct-1 " in out


def test_a_template_without_checks_has_no_such_section(
    capsys: pytest.CaptureFixture[str],
) -> None:
    texts = ["The tea is hot, and the cup is full now."] * 1
    texts += [f"{texts[0]} Number {number}" for number in (1, 2)]
    found = statistics_for([{"ask": text} for text in texts])
    assert (found.checks, found.judges, found.rejected_examples) == (None, (), ())
    page = Page(render_page(found)).text
    assert "Checks" not in page
    assert "distinct-1" in page
    job = a_job(3)
    print_statistics(FolderReport(folder=Path(), job=job, statistics=found, page=Path("p")))
    out = capsys.readouterr().out
    assert "checks" not in out
    assert re.search(r"  \d+% alike: 'the tea is hot, .*' and 'the tea is hot, ", out)
