"""`checks:` of a template: what is read, what is refused with which words, and what is stored."""

import copy
from time import process_time
from typing import Any

import pytest

from runtime.domain.checks.check import (
    Balance,
    Check,
    Condition,
    Judge,
    Score,
    TextCheck,
    TextKind,
    Unique,
)
from runtime.domain.errors import TemplateError
from runtime.domain.templates.document import complete_document, document_of, parse_template
from runtime.domain.templates.storage import parse_stored, stored_text
from runtime.domain.templates.text import parse_text, render_yaml

TEMPLATE = """
name: questions
samplers:
  - {name: label, sampler_type: category, params: {values: [praise, complaint, 3]}}
steps:
  - id: ask
    prompt: Ask about {{ topic }}
    output_schema:
      type: object
      properties:
        question: {type: string}
        kind: {enum: [open, closed]}
        score: {type: number}
      required: [question, kind, score]
      additionalProperties: false
  - {id: answer, prompt: "{{ steps.ask.output.question }}"}
"""

RUBRIC = """
        - name: faithfulness
          description: Does it say only what the text says?
          options: {5: everything, 3: most, 1: hardly anything}
"""

CHECKS = f"""
checks:
  - {{id: short, keep_if: steps.answer.output | wordcount <= 60}}
  - id: quality
    judge:
      prompt: Judge {{{{ topic }}}}
      system: You are strict.
      model_tier: cheap
      max_tokens: 300
      temperature: 0.5
      budget: 0.3
      scores:{RUBRIC}
    keep_if: scores.faithfulness.score >= 4
  - id: looked_at
    sample: 0.1
    judge:
      of: steps.ask.output
      scores:
        - {{name: tone, description: How does it sound?, options: {{kind: kind, cold: cold}}}}
  - {{id: fresh, unique: {{by: steps.ask.output.question, near: 0.8}}}}
  - {{id: once, unique: {{by: question}}}}
  - {{id: en, language: en}}
  - {{id: few, max_words: 60, of: steps.ask.output.question}}
  - {{id: form, matches: '^[A-Z]'}}
  - {{id: clean, no_pii: true}}
  - {{id: no_mail, no_pii: [email]}}
  - {{id: parses, code: python}}
  - {{id: even, balance: samples.label}}
"""

READ: list[Check] = [
    Condition(id="short", keep_if="steps.answer.output | wordcount <= 60"),
    Judge(
        id="quality",
        of="steps.answer.output",
        prompt="Judge {{ topic }}",
        system="You are strict.",
        model_tier="cheap",
        max_tokens=300,
        temperature=0.5,
        budget=0.3,
        scores=(
            Score(
                name="faithfulness",
                description="Does it say only what the text says?",
                options={5: "everything", 3: "most", 1: "hardly anything"},
            ),
        ),
        keep_if="scores.faithfulness.score >= 4",
    ),
    Judge(
        id="looked_at",
        of="steps.ask.output",
        sample=0.1,
        scores=(
            Score(
                name="tone",
                description="How does it sound?",
                options={"kind": "kind", "cold": "cold"},
            ),
        ),
    ),
    Unique(id="fresh", by="steps.ask.output.question", near=0.8),
    Unique(id="once", by="steps.ask.output.question"),
    TextCheck(id="en", kind=TextKind.LANGUAGE, of="steps.answer.output", argument="en"),
    TextCheck(id="few", kind=TextKind.MAX_WORDS, of="steps.ask.output.question", argument=60),
    TextCheck(id="form", kind=TextKind.MATCHES, of="steps.answer.output", argument="^[A-Z]"),
    TextCheck(
        id="clean",
        kind=TextKind.NO_PII,
        of="steps.answer.output",
        argument=("email", "phone", "iban", "credit_card", "ip", "us_ssn"),
    ),
    TextCheck(id="no_mail", kind=TextKind.NO_PII, of="steps.answer.output", argument=("email",)),
    TextCheck(id="parses", kind=TextKind.CODE, of="steps.answer.output", argument="python"),
    Balance(id="even", by="samples.label", values=("praise", "complaint", "3")),
]


def test_every_form_is_read() -> None:
    template = parse_template(parse_text(TEMPLATE + CHECKS))
    assert list(template.checks) == READ
    assert [each.id for each in template.checks.judges] == ["quality", "looked_at"]
    assert template.checks.of_dataset


def test_documents_and_stores_give_the_same_checks_back() -> None:
    template = parse_template(parse_text(TEMPLATE + CHECKS))
    for document in (document_of(template), complete_document(template)):
        assert parse_template(document).checks == template.checks
        assert parse_template(parse_text(render_yaml(document))).checks == template.checks
    assert parse_stored(stored_text(template)) == template


def test_a_template_without_checks_has_the_document_of_before() -> None:
    template = parse_template(parse_text(TEMPLATE))
    assert not template.checks
    assert "checks" not in complete_document(template)
    assert "checks" not in stored_text(template)


def test_values_of_a_balance_follow_from_an_enum() -> None:
    check = "checks: [{id: even, balance: steps.ask.output.kind}]"
    template = parse_template(parse_text(TEMPLATE + check))
    assert template.checks.balance == Balance(
        id="even", by="steps.ask.output.kind", values=("open", "closed")
    )


SCORES = [{"name": "a", "description": "b", "options": {"1": "low", "2": "high"}}]


def _judge(**more: object) -> dict[str, object]:
    return {"id": "j", "judge": {"scores": SCORES, **more}}


def _options(options: object) -> dict[str, object]:
    return _judge(scores=[{**SCORES[0], "options": options}])


@pytest.mark.parametrize(
    ("checks", "place", "problem"),
    [
        ([], "checks", "list 1 to 20 checks"),
        ([{"id": f"c{n}", "max_words": 3} for n in range(21)], "checks", "list 1 to 20 checks"),
        ("short", "checks", "list 1 to 20 checks"),
        (["short"], "check 1", "a check is a mapping"),
        ([{"keep_if": "true"}], "check 1", "id is missing"),
        ([{"id": "1x", "keep_if": "true"}], "check 1, id", "use a letter"),
        ([{"id": "ask", "keep_if": "true"}], 'check "ask"', "a step has this id"),
        (
            [{"id": "a", "max_words": 3}, {"id": "a", "max_words": 4}],
            "checks",
            'check id "a" is used 2 times',
        ),
        ([{"id": "a"}], 'check "a"', "say what it asks for"),
        ([{"id": "a", "keepif": "true"}], 'check "a"', 'did you mean "keep_if"?'),
        ([{"id": "a", "max_words": 3, "code": "json"}], 'check "a"', "are several checks"),
        ([{"id": "a", "max_words": 3, "sample": 0.1}], 'check "a"', 'unknown field "sample"'),
        ([{"id": "a", "keep_if": 3}], 'check "a"', "keep_if must be an expression"),
        ([{"id": "a", "keep_if": " "}], 'check "a"', "keep_if must be an expression"),
        ([{"id": "a", "max_words": 0}], 'check "a"', "max_words must be a whole number"),
        ([{"id": "a", "max_words": True}], 'check "a"', "max_words must be a whole number"),
        ([{"id": "a", "matches": "a" * 1001}], 'check "a"', "1 to 1000 characters"),
        ([{"id": "a", "language": "english"}], 'check "a"', "language must be a code"),
        ([{"id": "a", "language": False}], 'check "a"', "in quotes, for Norwegian"),
        ([{"id": "a", "no_pii": ["emial"]}], 'check "a"', 'did you mean "email"?'),
        ([{"id": "a", "no_pii": False}], 'check "a"', "no_pii must be true"),
        ([{"id": "a", "code": "pyton"}], 'check "a"', 'did you mean "python"?'),
        (
            [{"id": "a", "max_words": 3, "of": "steps.ask.output"}],
            'check "a"',
            "steps.ask.output is no text",
        ),
        (
            [{"id": "a", "max_words": 3, "of": "steps.answr.output"}],
            'check "a"',
            'did you mean "answer"?',
        ),
        (
            [{"id": "a", "max_words": 3, "of": "samples.label"}],
            'check "a"',
            "of must lead to an output",
        ),
        ([{"id": "a", "unique": {}}, {"id": "b", "unique": 3}], 'check "b"', "must be a path"),
        ([{"id": "a", "unique": "questoin"}], 'check "a", unique', 'did you mean "question"?'),
        ([{"id": "a", "unique": {"near": 0.4}}], 'check "a", unique', "near must be a number"),
        ([{"id": "a", "unique": {"near": 1}}], 'check "a", unique', "near must be below 1"),
        (
            [{"id": "a", "unique": {"using": "embedding"}}],
            'check "a", unique',
            "is not built yet",
        ),
        (
            [{"id": "a", "unique": {"using": "minhsh"}}],
            'check "a", unique',
            'did you mean "minhash"?',
        ),
        ([{"id": "a", "balance": {}}], 'check "a", balance', "by is missing"),
        (
            [{"id": "a", "balance": "steps.answer.output"}],
            'check "a", balance',
            "list them, values",
        ),
        (
            [{"id": "a", "balance": "steps.ask.output.score"}],
            'check "a", balance',
            "neither a text nor a whole number",
        ),
        ([{"id": "a", "balance": "samples.lable"}], 'check "a", balance', 'did you mean "label"?'),
        (
            [{"id": "a", "balance": {"by": "samples.label", "values": ["prais"]}}],
            'check "a", balance',
            'did you mean "praise"?',
        ),
        (
            [{"id": "a", "balance": {"by": "samples.label", "values": ["3", 3]}}],
            'check "a", balance',
            "each value once",
        ),
        (
            [{"id": "a", "balance": {"by": "steps.answer.output", "values": [True, False]}}],
            'check "a", balance',
            'is never at steps.answer.output: quote what should be a text, such as ["yes", "no"]',
        ),
        (
            [{"id": "a", "balance": {"by": "samples.label", "values": ["praise", True]}}],
            'check "a", balance',
            "true (true or false to YAML) is never at samples.label: quote",
        ),
        (
            [{"id": "a", "balance": "samples.label"}, {"id": "b", "balance": "samples.label"}],
            "checks",
            "only one check may be balance",
        ),
        ([{"id": "j", "judge": True}], 'check "j"', "judge is a mapping with scores"),
        ([{"id": "j", "judge": {}}], 'check "j"', "scores must list 1 to 10"),
        ([_judge(scores=SCORES * 11)], 'check "j"', "scores must list 1 to 10"),
        ([_judge(scores=SCORES * 2)], 'check "j"', 'score "a" is listed 2 times'),
        ([_judge(scores=["a"])], 'check "j", score 1', "a score is a mapping"),
        ([_judge(model="m", model_tier="cheap")], 'check "j"', "not both"),
        ([_judge(promt="x")], 'check "j", judge', 'did you mean "prompt"?'),
        ([_judge(budget=0)], 'check "j"', "budget must be above 0"),
        ([_judge(budget=1.1)], 'check "j"', "budget must be a number from 0 to 1"),
        ([_judge(of="seed.topic")], 'check "j"', "of must lead to an output"),
        ([_options({"1": "low"})], 'check "j", score 1', "options must map 2 to 10"),
        ([_options({"1": "low", 1: "high"})], 'check "j", score 1', "each value is different"),
        ([_options({"1": "low", "2": 2})], 'check "j", score 1', "each value is different"),
        ([{**_judge(), "sample": 0}], 'check "j"', "sample must be above 0"),
        ([{**_judge(), "sample": 0.1, "keep_if": "true"}], 'check "j"', "leave out sample"),
    ],
)
def test_a_problem_is_refused_with_its_place(checks: object, place: str, problem: str) -> None:
    document: dict[str, Any] = copy.deepcopy(parse_text(TEMPLATE))
    with pytest.raises(TemplateError) as refused:
        parse_template({**document, "checks": checks})
    assert any(at == place and problem in why for at, why in refused.value.problems), (
        refused.value.problems
    )


def test_an_output_that_is_no_text_has_to_be_named() -> None:
    document = parse_text(TEMPLATE)
    document["steps"] = document["steps"][:1]
    checks: list[dict[str, Any]] = [{"max_words": 3}, {"judge": {"scores": SCORES}}, {"unique": {}}]
    for check in checks:
        with pytest.raises(TemplateError, match=r"of is missing|by is missing"):
            parse_template({**document, "checks": [{"id": "a", **check}]})


def test_numbers_may_be_keys_of_options_and_of_nothing_else() -> None:
    document = parse_text(TEMPLATE)
    parse_template({**document, "checks": [_options({1: "low", 2: "high"})]})
    with pytest.raises(TemplateError, match="every key is a text, and 1 is none"):
        parse_template({**document, "checks": [{"id": "a", "unique": {1: "x"}}]})
    with pytest.raises(TemplateError, match="and True is none: put it into quotes"):
        parse_template({**document, "checks": [_options({True: "good", False: "bad"})]})


@pytest.mark.parametrize(
    ("options", "read"),
    [
        ({"5": "a", "-1": "b"}, [5, -1]),
        ({"05": "a", "1": "b"}, ["05", "1"]),
        ({"5": "a", "good": "b"}, ["5", "good"]),
    ],
)
def test_options_are_numbers_where_all_are(options: object, read: list[object]) -> None:
    document = {**parse_text(TEMPLATE), "checks": [_options(options)]}
    (judge,) = parse_template(document).checks.judges
    assert list(judge.scores[0].options) == read


def _with(*checks: object) -> Any:
    return {**parse_text(TEMPLATE), "checks": list(checks)}


def test_what_checks_read_of_a_seed_is_required_as_what_steps_read() -> None:
    template = parse_template(
        _with(
            {"id": "a", "keep_if": "seed.source.title == steps.answer.output"},
            _judge(prompt="{{ rules }} {{ hint | default('') }}", system="{{ voice }}"),
        )
    )
    assert template.schema_requirements == ("rules", "source.title", "topic", "voice")


@pytest.mark.parametrize(
    "keep_if",
    [
        "index > 3 and samples.label == 'praise'",
        "checks.first.passed and checks.j.scores.a.score >= 2",
        "checks.j.scores.a.reasoning | wordcount > 3",
        "{% if steps.answer.output %}true{% else %}false{% endif %}",
        "scores.of.a.seed == 3",
    ],
)
def test_a_condition_sees_steps_and_earlier_verdicts(keep_if: str) -> None:
    parse_template(
        _with(
            {"id": "first", "max_words": 9},
            _judge(),
            {"id": "last", "keep_if": keep_if},
        )
    )


@pytest.mark.parametrize(
    ("check", "problem"),
    [
        ({"id": "a", "keep_if": "steps.later.output"}, 'check "a", keep_if, line 1: step "later"'),
        ({"id": "a", "keep_if": "checks.last.passed"}, 'check "last" is decided later'),
        ({"id": "a", "keep_if": "checks.a.passed"}, 'check "a" is decided later'),
        ({"id": "a", "keep_if": "checks.even.passed"}, 'check "even" is decided later'),
        ({"id": "a", "keep_if": "checks.frist.passed"}, 'did you mean "first"?'),
        ({"id": "a", "keep_if": "checks.first"}, "write checks.first.passed"),
        ({"id": "a", "keep_if": "checks | length"}, "write checks.<id>.passed"),
        ({"id": "a", "keep_if": "checks.first.pased"}, 'did you mean "passed"?'),
        ({"id": "a", "keep_if": "checks.j.scores.b.score"}, 'there is no score "b"'),
        ({"id": "a", "keep_if": "checks.j.scores.a"}, "write checks.j.scores.a.score"),
        ({"id": "a", "keep_if": "samples.lable"}, 'did you mean "label"?'),
        ({"id": "a", "keep_if": "{% set checks = 1 %}true"}, '"checks" can\'t be set'),
        ({"id": "a", "keep_if": "(1"}, 'check "a", keep_if, line 1: '),
        ({"id": "a", "keep_if": "steps.answer.output | nope"}, 'check "a", keep_if, line 1: '),
        (_judge(prompt="{{ scores.a.score }} {{ steps.answer.output ** 2 }}"), "** is not allowed"),
        ({**_judge(), "keep_if": "scores.b.score > 1"}, 'there is no score "b"'),
        ({**_judge(), "keep_if": "scores.a.scor > 1"}, 'did you mean "score"?'),
        ({**_judge(), "keep_if": "scores > 1"}, "write scores.<name>.score"),
        (_judge(system="{{ self }}"), 'check "j", system, line 1: "self"'),
    ],
)
def test_what_a_check_may_not_read_is_refused(check: Any, problem: str) -> None:
    earlier: list[Any] = [{"id": "first", "max_words": 9}, _judge()]
    if check["id"] == "j":
        earlier.pop()
    with pytest.raises(TemplateError) as refused:
        parse_template(
            _with(
                *earlier,
                {"id": "even", "balance": "samples.label"},
                check,
                {"id": "last", "max_words": 3},
            )
        )
    assert problem in str(refused.value)


def test_checks_is_a_field_of_a_seed_where_a_step_reads_it() -> None:
    document = _with({"id": "first", "max_words": 9})
    document["steps"][1]["prompt"] = "{{ checks }} {{ scores }}"
    assert {"checks", "scores"} <= {*parse_template(document).schema_requirements}


def test_truth_values_are_balanced_where_they_may_be_some() -> None:
    document = copy.deepcopy(parse_text(TEMPLATE))
    document["steps"][0]["output_schema"]["properties"]["kind"] = {"type": "boolean"}
    check = {"id": "a", "balance": {"by": "steps.ask.output.kind", "values": [True, False]}}
    template = parse_template({**document, "checks": [check]})
    assert template.checks.balance == Balance(
        id="a", by="steps.ask.output.kind", values=("true", "false")
    )


def test_of_many_wrong_values_some_are_told_at_once() -> None:
    """Looking for what was meant takes time, by the length of both: they are a stranger's."""
    document = copy.deepcopy(parse_text(TEMPLATE))
    document["samplers"][0]["params"]["values"] = [
        "ab" * 93 + f"{number:03}" for number in range(99)
    ]
    wrong = ["ba" * 93 + f"{number:03}" for number in range(99)]
    check = {"id": "a", "balance": {"by": "samples.label", "values": wrong}}
    before = process_time()
    with pytest.raises(TemplateError) as refused:
        parse_template({**document, "checks": [check]})
    assert process_time() - before < 1
    problems = [problem for _, problem in refused.value.problems]
    assert sum("did you mean" in problem for problem in problems) == 1
    assert [problem[:-1] for problem in problems[1:5]] == [
        f'no record has the value "{each}' for each in wrong[1:5]
    ]
    assert problems[5:] == ["no record has 94 more values of the list either"]
