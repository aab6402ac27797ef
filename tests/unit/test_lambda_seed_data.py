"""Seed files through the API: where to upload, what there is, and whether a job could use it.

The rows S1.9, S2.7 and S3.7 are in test_lambda_validation.py, test_lambda_auth.py and
test_lambda_aws_errors.py.
"""

import io
import json
import subprocess
import sys
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import urlsplit

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from runtime.domain.seeds import seeds as seed_data
from runtime.domain.seeds.seeds import MAX_SEED_BYTES
from tests.fixtures.api import HandlerLogs, Reply
from tests.fixtures.api_world import SOME_ID, ApiWorld
from tests.fixtures.aws import BUCKET
from tests.fixtures.lambda_events import ALICE, BOB
from tests.fixtures.worker_world import step

DAMAGED = Path(__file__).parents[1] / "fixtures" / "damaged"


def validate(world: ApiWorld, name: str, body: bytes | str, **fields: Any) -> Reply:
    content = body if isinstance(body, bytes) else body.encode()
    key = world.upload(name, content)
    return world.post("/seed-data/validate", {"s3_key": key, **fields})


def parquet_of(table: pa.Table, **options: Any) -> bytes:
    sink = io.BytesIO()
    pq.write_table(table, sink, **options)
    return sink.getvalue()


# ── upload ─────────────────────────────────────────────────────────────────────────────────────


def test_an_upload_goes_to_a_key_of_ones_own(api_world: ApiWorld) -> None:
    reply = api_world.post("/seed-data/upload-url", {"filename": "my seeds (1).jsonl"})
    assert reply.status == 201
    key = reply.body["s3_key"]
    prefix, _, rest = key.partition(f"seed-data/{ALICE}/")
    identity, _, name = rest.partition("/")
    assert (prefix, name, len(identity)) == ("", "my seeds (1).jsonl", 36)
    assert reply.body["max_bytes"] == MAX_SEED_BYTES
    assert reply.body["expires_in"] == 15 * 60
    assert reply.body["fields"]["key"] == key
    assert BUCKET in urlsplit(reply.body["url"]).netloc + urlsplit(reply.body["url"]).path
    other = api_world.post("/seed-data/upload-url", {"filename": "my seeds (1).jsonl"})
    assert other.body["s3_key"] != key


GOOD_NAMES = ("a.json", "a.jsonl", "a.ndjson", "a.csv", "a.parquet", "A.CSV", "a.b.csv")
BAD_NAMES = (
    *("", "a", "a.txt", "a.csv.exe", ".csv", "../a.csv", "a/b.csv", "a\\b.csv", "a%2fb.csv"),
    *("a\x00.csv", "a\n.csv", "é.csv", "\uff0e\uff0e.csv", "a\u202ecsv.exe", "${filename}.csv"),
    *("a.csv ", "\ud800.csv", "~.csv", "a:b.csv", "a*.csv", "a?.csv", "a.parquet/", "a'.csv"),
    *('a".csv', "x" * 125 + ".csv"),
)


def test_names_that_are_taken_and_names_that_are_not(api_world: ApiWorld) -> None:
    def status(name: str) -> int:
        return api_world.post("/seed-data/upload-url", {"filename": name}).status

    assert {name: status(name) for name in BAD_NAMES} == dict.fromkeys(BAD_NAMES, 400)
    good = (*GOOD_NAMES, "x" * 124 + ".csv")
    assert {name: status(name) for name in good} == dict.fromkeys(good, 201)


def test_an_upload_without_a_name(api_world: ApiWorld) -> None:
    bodies: list[dict[str, Any]] = [{}, {"filename": None}, {"filename": 1}]
    for body in bodies:
        reply = api_world.post("/seed-data/upload-url", body)
        assert reply.status == 400
        assert reply.body["error"]["details"][0]["field"] == "filename"


def test_s3_4_an_upload_that_can_not_be_signed(
    api_world: ApiWorld, handler_logs: HandlerLogs, monkeypatch: pytest.MonkeyPatch
) -> None:
    links: Any = api_world.ports.links
    monkeypatch.setattr(links._client._request_signer, "_credentials", None)
    reply = api_world.post("/seed-data/upload-url", {"filename": "a.csv"})
    assert (reply.status, reply.body["error"]["code"]) == (500, "internal")
    assert handler_logs.lines[0]["operation"] == "create_upload_url"


def test_an_uploaded_file_is_listed_and_read(api_world: ApiWorld) -> None:
    """What the form allows is what the other operations take."""
    key = api_world.post("/seed-data/upload-url", {"filename": "a.csv"}).body["s3_key"]
    api_world.put_object(key, b"a,b\n1,2\n")
    [listed] = api_world.get("/seed-data").body["files"]
    uploaded_at = datetime.fromisoformat(listed.pop("uploaded_at"))
    assert uploaded_at.tzinfo is not None
    seed_id = key.split("/")[2]
    assert listed == {"s3_key": key, "filename": "a.csv", "size": 8, "seed_id": seed_id}
    assert api_world.post("/seed-data/validate", {"s3_key": key}).body["valid"] is True


# ── list ───────────────────────────────────────────────────────────────────────────────────────


def test_a_list_holds_ones_own_files_only(api_world: ApiWorld) -> None:
    keys = [api_world.upload(f"{number}/{number}.csv", b"a\n1\n") for number in range(5)]
    api_world.upload("x.csv", b"a\n1\n", user=BOB)
    api_world.upload("x.csv", b"a\n1\n", user=f"{ALICE}0")
    found: list[dict[str, Any]] = []
    cursor: dict[str, str] = {}
    while not found or cursor:
        reply = api_world.get("/seed-data", query={"limit": "2", **cursor})
        found += reply.body["files"]
        after = reply.body["next_cursor"]
        cursor = {"cursor": after} if after else {}
    assert [each["s3_key"] for each in found] == keys
    assert [each["filename"] for each in found] == [f"{number}.csv" for number in range(5)]
    assert api_world.get("/seed-data", user="nobody").body == {"files": [], "next_cursor": None}


def test_a_cursor_of_somebody_else(api_world: ApiWorld) -> None:
    for name in ("a.csv", "b.csv"):
        api_world.upload(name, b"a\n1\n")
        api_world.upload(name, b"a\n1\n", user=BOB)
    cursor = api_world.get("/seed-data", query={"limit": "1"}).body["next_cursor"]
    assert api_world.get("/seed-data", query={"cursor": cursor}, user=BOB).status == 400
    assert api_world.get("/templates", query={"cursor": cursor}).status == 400
    assert api_world.get("/seed-data", query={"cursor": cursor}).status == 200


# ── validate ───────────────────────────────────────────────────────────────────────────────────

ROWS = [{"id": "a", "author": {"name": "Ann"}, "tags": ["x"]}, {"id": "b", "author": {}}]
SAME_ROWS = {
    "seeds.json": json.dumps(ROWS).encode(),
    "seeds.jsonl": b"\n".join(json.dumps(row).encode() for row in ROWS),
    "seeds.ndjson": b"\r\n".join(json.dumps(row).encode() for row in ROWS),
}


@pytest.mark.parametrize("name", SAME_ROWS)
def test_a_file_in_order(api_world: ApiWorld, name: str) -> None:
    reply = validate(api_world, name, SAME_ROWS[name])
    assert reply.status == 200
    version = reply.body.pop("version")
    assert version == api_world.own.objects.stat(f"seed-data/{ALICE}/{name}").version
    assert reply.body == {
        "s3_key": f"seed-data/{ALICE}/{name}",
        "format": "json" if name.endswith(".json") else "jsonl",
        "valid": True,
        "complete": True,
        "records": 2,
        "paths": ["id", "author.name", "tags", "author"],
        "types": {
            "id": ["text"],
            "author.name": ["text"],
            "tags": ["list"],
            "author": ["object"],
        },
        "nulls": {},
        "unread": {},
        "repeated_ids": 0,
        "first_prompts": [],
        "warnings": [],
        "problems": [],
        "total_problems": 0,
        "truncated": False,
    }


def test_csv_and_parquet_in_order(api_world: ApiWorld) -> None:
    csv = validate(api_world, "a.csv", "id,title\n1,One\n2,Two\n").body
    assert (csv["format"], csv["records"], csv["paths"]) == ("csv", 2, ["id", "title"])
    table = pa.table({"id": [1, 2, 3], "author": [{"name": "Ann"}] * 3})
    parquet = validate(api_world, "a.parquet", parquet_of(table, row_group_size=1)).body
    assert (parquet["format"], parquet["records"]) == ("parquet", 3)
    assert parquet["paths"] == ["id", "author.name"]
    assert parquet["valid"] is True


def test_rows_that_lack_what_the_template_needs(api_world: ApiWorld) -> None:
    template_id = api_world.template(step(prompt="{{ author.name }} {{ title }}"))
    body = '{"author": {"name": ""}, "title": null}\n\n{"author": "Ann"}\n[1]\n{"title": "T"}\n'
    reply = validate(api_world, "a.jsonl", body, template_id=template_id)
    assert (reply.status, reply.body["valid"], reply.body["records"]) == (200, False, 4)
    lacks = "the template needs {!r}, which this seed lacks"
    assert reply.body["problems"] == [
        {"row": 2, "line": 3, "path": "author.name", "message": lacks.format("author.name")},
        {"row": 2, "line": 3, "path": "title", "message": lacks.format("title")},
        {"row": 3, "line": 4, "path": None, "message": "expected an object"},
        {"row": 4, "line": 5, "path": "author.name", "message": lacks.format("author.name")},
    ]
    assert (reply.body["total_problems"], reply.body["truncated"]) == (4, False)


def test_a_field_of_rows_that_no_seed_has(
    api_world: ApiWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    document = {
        "name": "T",
        "steps": [step(prompt="{{ title }}")],
        "output": {"columns": {"x": "seed.labl"}, "keep": ["title"]},
    }
    template_id = api_world.post("/templates", document).body["template_id"]
    body = '{"title": "a", "label": 1}\n{"title": "b"}\n'
    reply = validate(api_world, "a.jsonl", body, template_id=template_id).body
    hint = 'did you mean "seed.label"?'
    message = f"rows of the dataset read seed.labl, which no seed has, {hint}"
    assert reply["problems"] == [{"row": 1, "line": None, "path": "labl", "message": message}]
    assert (reply["valid"], reply["total_problems"], reply["truncated"]) == (False, 1, False)
    later = validate(
        api_world, "b.jsonl", f'{body}{{"title": 1, "labl": null}}', template_id=template_id
    )
    assert later.body["valid"] is True
    # A file that there was no time for may have it further down.
    monkeypatch.setattr("runtime.lambdas.seed_data.validate_seed_data.READ_SECONDS", 0.0)
    monkeypatch.setattr("runtime.domain.seeds.report.MAX_SAMPLED", 2)
    part = validate(api_world, "a.jsonl", body, template_id=template_id).body
    assert (part["complete"], part["valid"]) == (False, True)
    told = f"rows of the dataset read seed.labl, which none of the first 2 seeds has, {hint}"
    assert part["warnings"] == [told]


def test_a_row_of_another_length(api_world: ApiWorld) -> None:
    reply = validate(api_world, "a.csv", 'a,b\n1,2\n"x\ny",2,3\n4\n')
    assert reply.body["problems"] == [
        {"row": 2, "line": 3, "path": None, "message": "3 cells where the header has 2"},
        {"row": 3, "line": 5, "path": None, "message": "1 cell where the header has 2"},
    ]


def test_rows_of_parquet_have_no_line(api_world: ApiWorld) -> None:
    template_id = api_world.template(step(prompt="{{ title }}"))
    body = parquet_of(pa.table({"a": [1]}))
    [problem] = validate(api_world, "a.parquet", body, template_id=template_id).body["problems"]
    assert (problem["row"], problem["line"], problem["path"]) == (1, None, "title")


def test_twenty_problems_are_listed_and_all_are_counted(api_world: ApiWorld) -> None:
    reply = validate(api_world, "a.jsonl", "1\n" * 25)
    assert [each["row"] for each in reply.body["problems"]] == list(range(1, 21))
    assert (reply.body["total_problems"], reply.body["truncated"]) == (25, True)
    exactly = validate(api_world, "b.jsonl", "1\n" * 20).body
    assert (exactly["total_problems"], exactly["truncated"]) == (20, False)


def test_requirements_of_what_is_included_by_name(api_world: ApiWorld) -> None:
    api_world.template(step(prompt="{{ tone }}"), public=True, user=BOB)
    steps = [step(prompt="{% include 'Reviews' %}")]
    mine = api_world.post("/templates", {"name": "Mine", "steps": steps}).body["template_id"]
    reply = validate(api_world, "a.jsonl", '{"a": 1}', template_id=mine)
    assert [each["path"] for each in reply.body["problems"]] == ["tone"]


def test_requirements_of_includes_and_of_a_version(api_world: ApiWorld) -> None:
    rules = api_world.template(step(prompt="{{ tone }}"), public=True, user=BOB)
    template_id = api_world.template(step(prompt=f"{{% include '{rules}' %}}"))
    new = {"name": "T", "steps": [step(prompt="{{ title }}")]}
    assert api_world.put(f"/templates/{template_id}", new).status == 200
    for version, path in ((None, "title"), (1, "tone"), (2, "title")):
        reply = validate(
            api_world,
            "a.jsonl",
            '{"a": 1}',
            template_id=template_id,
            template_version=version,
        )
        assert [each["path"] for each in reply.body["problems"]] == [path]
    absent = validate(api_world, "a.jsonl", '{"a": 1}', template_id=template_id, template_version=3)
    assert absent.status == 404


def test_a_template_that_is_not_there(api_world: ApiWorld) -> None:
    reply = validate(api_world, "a.jsonl", '{"a": 1}', template_id=SOME_ID)
    assert (reply.status, reply.message) == (404, f"no template {SOME_ID}: check the id")
    secret = api_world.template(user=BOB)
    reply = validate(api_world, "a.jsonl", '{"a": 1}', template_id=secret)
    assert (reply.status, reply.message) == (404, f"no template {secret}: check the id")
    version = validate(api_world, "a.jsonl", '{"a": 1}', template_version=1)
    assert version.status == 400
    assert "template_version" in version.message


@pytest.mark.parametrize(
    ("name", "body", "part"),
    [
        ("a.json", "", "there are no seeds in it"),
        ("a.json", "[]", "there are no seeds in it"),
        ("a.csv", "a,b\n", "there are no seeds in it"),
        ("a.jsonl", "\n\n", "there are no seeds in it"),
        ("a.json", '{"a": 1}', "expected an array of objects"),
        ("a.parquet", "PAR1 no PAR1", "not a Parquet file"),
        (
            "a.parquet",
            parquet_of(pa.table({"a": pa.array([b"\xff"], pa.binary())})),
            "no column of it can be read: 'a' (binary)",
        ),
        ("a.txt", "a", "seeds are .json, .jsonl, .csv or .parquet files"),
        ("a.csv", "a,a\n1,2\n", "line 1: the header names 'a' twice"),
        ("a.csv", "a,\n1,2\n", "line 1: column 2 of the header has no name"),
    ],
)
def test_files_that_no_job_could_read(
    api_world: ApiWorld, name: str, body: bytes | str, part: str
) -> None:
    reply = validate(api_world, name, body)
    assert (reply.status, reply.body["error"]["code"]) == (400, "invalid_seeds")
    assert part in reply.message


def test_a_file_that_is_too_large_is_refused_by_its_size(
    api_world: ApiWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(seed_data, "MAX_SEED_BYTES", 7)
    assert validate(api_world, "a.csv", "a\n1\n2\n34").status == 400
    assert not [call for call in api_world.calls if call.operation == "GetObject"]
    assert validate(api_world, "a.csv", "a\n1\n2\n").status == 200


def test_paths_of_a_wide_and_deep_file(api_world: ApiWorld) -> None:
    wide = json.dumps([{f"c{number}": {"a": {"b": 1}} for number in range(300)}])
    paths = validate(api_world, "a.json", wide).body["paths"]
    assert paths == [f"c{number}.a.b" for number in range(200)]
    long = json.dumps([{"x" * 201: 1, "a": {"y" * 5000: 1}, "z" * 200: 1}])
    assert validate(api_world, "a.json", long).body["paths"] == ["z" * 200]


def test_the_version_that_was_checked_is_the_version_that_was_read(api_world: ApiWorld) -> None:
    """Somebody uploads another file under the key between the look and the read."""
    key = api_world.upload("a.csv", b"a\n1\n")
    first = api_world.own.objects.stat(key).version
    objects: Any = api_world.ports.objects
    stat = objects.stat

    def stat_and_replace(path: str) -> Any:
        found = stat(path)
        api_world.put_object(key, b"broken")
        return found

    objects.stat = stat_and_replace
    reply = api_world.post("/seed-data/validate", {"s3_key": key})
    assert (reply.body["version"], reply.body["records"]) == (first, 1)


@pytest.mark.parametrize("number", [1, 2])
def test_e2_a_damaged_parquet_file_costs_one_request(api_world: ApiWorld, number: int) -> None:
    """The library aborts over the first one."""
    body = (DAMAGED / f"damaged-{number}.parquet").read_bytes()
    template_id = api_world.template(step(prompt="{{ s }}"))
    reply = validate(api_world, "a.parquet", body, template_id=template_id)
    assert (reply.status, reply.body["error"]["code"]) == (400, "invalid_seeds")
    order = {"template_id": template_id, "seed_data_path": f"seed-data/{ALICE}/a.parquet"}
    for path in ("/jobs", "/jobs/estimate"):
        more = {"num_records": 3} | ({"budget_limit": 1} if path == "/jobs" else {})
        reply = api_world.post(path, {**order, **more})
        assert (reply.status, reply.body["error"]["code"]) == (400, "invalid_seeds")
    assert validate(api_world, "b.csv", "s\n1\n", template_id=template_id).body["valid"] is True


def test_d2_what_can_not_be_read_is_shown_and_refused_where_it_is_needed(
    api_world: ApiWorld,
) -> None:
    template_id = api_world.template(step(prompt="{{ photo }}"))
    body = parquet_of(pa.table({"photo": pa.array([b"x"]), "title": ["a"]}))
    fine = validate(api_world, "a.parquet", body).body
    assert (fine["valid"], fine["paths"], fine["unread"]) == (True, ["title"], {"photo": "binary"})
    [problem] = validate(api_world, "a.parquet", body, template_id=template_id).body["problems"]
    assert problem["path"] == "photo"
    assert problem["message"] == ("the template needs 'photo', and 'photo' (binary) can't be read")


def test_c4_d6_a_report_warns_of_ids_and_shows_types(api_world: ApiWorld) -> None:
    template_id = api_world.template(step(prompt="{{ on }}"))
    body = '{"id": 1, "on": true}\n{"id": 1, "on": null}\n'
    found = validate(api_world, "a.jsonl", body, template_id=template_id).body
    assert found["types"] == {"id": ["integer"], "on": ["boolean", "null"]}
    assert found["nulls"] == {"on": 1}
    [warning] = found["warnings"]
    assert warning.startswith(
        "1 seed has an id that an earlier one has: record 2 has that of record"
    )
    assert found["valid"] is True


# ── memory and time ────────────────────────────────────────────────────────────────────────────


class Endless(io.RawIOBase):
    """A file of many rows that nobody holds in memory."""

    def __init__(self, head: bytes, row: bytes, tail: bytes, rows: int) -> None:
        self._parts = iter([head, *[row] * rows, tail])
        self._rest = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._rest:
            part = next(self._parts, None)
            if part is None:
                return 0
            self._rest = part
        size = min(len(buffer), len(self._rest))
        buffer[:size], self._rest = self._rest[:size], self._rest[size:]
        return size


ROW = b'{"id": "x", "text": "' + b"word " * 400 + b'", "n": {"a": [1, 2, 3]}}'


@pytest.mark.parametrize(
    ("name", "head", "row", "tail"),
    [
        ("a.jsonl", b"", ROW + b"\n", b""),
        ("a.json", b"[", ROW + b",\n", b"{}]"),
        ("a.csv", b"id,text\n", b'x,"' + b"word " * 400 + b'"\n', b""),
    ],
)
def test_memory_does_not_grow_with_the_file(
    api_world: ApiWorld, name: str, head: bytes, row: bytes, tail: bytes
) -> None:
    """32 MB are read in less than 16: whoever holds the file as bytes or text can't."""
    key = api_world.upload(name, b"placeholder")
    rows = 32_000_000 // len(row)

    @contextmanager
    def open_version(_key: str, *, version: str | None = None) -> Iterator[BinaryIO]:
        assert version
        yield io.BufferedReader(Endless(head, row, tail, rows))

    objects: Any = api_world.ports.objects
    objects.open_version = open_version
    api_world.post("/seed-data/validate", {"s3_key": api_world.upload("warm.csv", b"a\n1\n")})
    tracemalloc.start()
    reply = api_world.post("/seed-data/validate", {"s3_key": key})
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert reply.body["records"] == rows + (name == "a.json")
    assert peak < 16_000_000, peak


def test_pyarrow_is_not_loaded_for_text() -> None:
    """It takes longer to import than a text file takes to check."""
    script = (
        "import sys, runtime.lambdas.seed_data.validate_seed_data as v;"
        "import io; from runtime.files.reading import read_rows;"
        "list(read_rows(io.BytesIO(b'a\\n1'), 'a.csv'));"
        "sys.exit('pyarrow' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


# ── large files, first prompts ─────────────────────────────────────────────────────────────────


def test_a_validation_shows_the_first_prompts_and_ids_that_come_twice(api_world: ApiWorld) -> None:
    template_id = api_world.template(
        step(prompt="Review {{ product }}. {{ text }}", system="Be {{ tone }}."),
        step("title", "A title for {{ steps.review.output }}"),
    )
    rows: list[dict[str, Any]] = [
        {"id": 1},
        {"id": 1, "product": "kettle", "tone": None, "text": "x" * 3000},
    ]
    body = b"\n".join(json.dumps(row).encode() for row in rows)
    found = validate(api_world, "a.jsonl", body, template_id=template_id).body
    assert (found["repeated_ids"], found["complete"], found["total_problems"]) == (1, True, 3)
    assert found["first_prompts"] == []
    rows[1]["tone"] = "kind"
    body = b"\n".join(json.dumps(row).encode() for row in rows)
    first, second = validate(api_world, "a.jsonl", body, template_id=template_id).body[
        "first_prompts"
    ]
    assert (first["step_id"], first["system"]) == ("review", "Be kind.")
    assert first["prompt"].startswith("Review kettle. xxx")
    assert len(first["prompt"]) == 2001
    assert (second["step_id"], second["system"]) == ("title", None)


def test_a_file_that_takes_longer_than_a_request_is_read_as_far_as_there_is_time(
    api_world: ApiWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = b'{"a": 1}\n' * 1500
    assert validate(api_world, "a.jsonl", body).body["records"] == 1500
    monkeypatch.setattr("runtime.lambdas.seed_data.validate_seed_data.READ_SECONDS", 0.0)
    found = validate(api_world, "a.jsonl", body).body
    assert (found["complete"], found["records"], found["valid"]) == (False, 1000, True)


def test_parquet_of_gigabytes_is_refused_before_it_is_sent(api_world: ApiWorld) -> None:
    """The API copies it whole, to read its first row."""
    size = 1024**3
    body = {"filename": "a.parquet", "size": size}
    assert api_world.post("/seed-data/upload-url", body).body["max_bytes"] == size
    refused = api_world.post("/seed-data/upload-url", {**body, "size": size + 1})
    assert (refused.status, "upload JSON lines (.jsonl)" in refused.message) == (400, True)
    whole = api_world.post("/seed-data/upload-url", {"filename": "a.parquet"})
    assert whole.body["max_bytes"] == size
