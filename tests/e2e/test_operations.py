"""Every operation answers when it is deployed: its bundle has what it imports, its environment
what it reads, its role what it does.
"""

from collections.abc import Callable
from typing import Any

from runtime.contract.routes import ROUTES
from tests.e2e.deployment import Deployment
from tests.e2e.emulator.spot import NO_CAPACITY
from tests.e2e.observe import errors
from tests.e2e.user import FEW_RECORDS, SMALL_JOB, TEMPLATE, User


class Operations:
    """Calls operations by their route keys, and knows which were called."""

    def __init__(self, user: User) -> None:
        self._user = user
        self.called: set[str] = set()

    def __call__(
        self, key: str, body: Any = None, *, expect: int = 200, query: str = "", **names: str
    ) -> Any:
        method, _, path = key.partition(" ")
        self.called.add(key)
        return self._user.call(method, path.format(**names) + query, body, expect=expect)


def test_every_operation_answers(deployment: Deployment, tell: Callable[[str], None]) -> None:
    user = User(deployment, "hedy@example.com")
    call = Operations(user)
    call("GET /health")

    seeds = user.upload()
    call.called.add("POST /seed-data/upload-url")
    template_id = _use_templates(call)
    _use_seeds(call, seeds, template_id)
    tell("used the operations on seeds and templates")

    job_id = _use_jobs(call, {**SMALL_JOB, "template_id": template_id, "seed_data_path": seeds})
    before = errors(deployment.emulator)
    _stop_and_go_on(call, user, job_id, deployment)
    _delete(call, job_id, template_id, seeds)
    tell("used the operations on jobs")

    assert call.called == {route.key for route in ROUTES}
    # That no worker could be started was meant to be, and is the only complaint.
    complaints = errors(deployment.emulator)[len(before) :]
    assert [line for line in complaints if "worker not started" not in line] == []


def _use_templates(call: Operations) -> str:
    first = call("POST /templates", TEMPLATE, expect=201)
    names = {"template_id": first["template_id"]}
    call("PUT /templates/{template_id}", {**TEMPLATE, "description": "all of them"}, **names)
    versions = call("GET /templates/{template_id}/versions", **names)["versions"]
    assert [each["version"] for each in versions] == [2, 1]
    assert call("GET /templates/{template_id}", **names)["description"] == "all of them"
    preview = {"data": {"town": "Graz"}, "run_model": True}
    call("POST /templates/{template_id}/preview", preview, **names)
    call("POST /templates/{template_id}/fork", {"name": "mine"}, expect=201, **names)
    document = call("GET /templates/{template_id}/export", query="?format=json", **names)
    call("POST /templates/import", {"document": document}, expect=201)
    assert len(call("GET /templates")["templates"]) == 3
    template_id: str = first["template_id"]
    return template_id


def _use_seeds(call: Operations, seeds: str, template_id: str) -> None:
    assert [each["s3_key"] for each in call("GET /seed-data")["files"]] == [seeds]
    found = call("POST /seed-data/validate", {"s3_key": seeds, "template_id": template_id})
    assert found["valid"]


def _use_jobs(call: Operations, job: dict[str, Any]) -> str:
    asked = ("template_id", "seed_data_path", "num_records", "seed_strategy")
    call("POST /jobs/estimate", {name: job[name] for name in asked})
    job_id: str = call("POST /jobs", job, expect=201)["job_id"]
    assert [each["job_id"] for each in call("GET /jobs")["jobs"]] == [job_id]
    for key in ("GET /jobs/{job_id}", "GET /dashboard/jobs/{job_id}"):
        assert call(key, job_id=job_id)["job_id"] == job_id
    call("GET /dashboard/summary")
    return job_id


def _stop_and_go_on(call: Operations, user: User, job_id: str, deployment: Deployment) -> None:
    """A job that waits is cancelled and resumed."""
    user.wait_until_ended(job_id)
    assert len(user.dataset(job_id)) == FEW_RECORDS
    call("GET /jobs/{job_id}/download", job_id=job_id)
    call("POST /jobs/{job_id}/export", {"keep": ["record.id"]}, job_id=job_id, expect=202)
    assert user.wait_until_exported(job_id)["export"]["rows"] == FEW_RECORDS
    no_capacity = deployment.emulator.folder / NO_CAPACITY
    no_capacity.touch()
    waiting = user.submit()["job_id"]
    call("DELETE /jobs/{job_id}", job_id=waiting, query="?action=cancel")
    call("POST /jobs/{job_id}/resume", {}, job_id=waiting)
    no_capacity.unlink()
    assert user.wait_until_ended(waiting)["status"] == "COMPLETED"


def _delete(call: Operations, job_id: str, template_id: str, seeds: str) -> None:
    call("DELETE /jobs/{job_id}", job_id=job_id, query="?action=delete", expect=204)
    call("GET /jobs/{job_id}", job_id=job_id, expect=404)
    call("DELETE /templates/{template_id}", template_id=template_id, expect=204)
    call("GET /templates/{template_id}", template_id=template_id, expect=404)
    seed_id = seeds.split("/")[2]
    call("DELETE /seed-data/{seed_id}", seed_id=seed_id, expect=204)
    assert seeds not in [each["s3_key"] for each in call("GET /seed-data")["files"]]
