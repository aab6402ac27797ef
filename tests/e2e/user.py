"""A user of the API itself: what the command does, request by request."""

import json
from collections.abc import Mapping
from typing import Any, Final

from tests.e2e.deployment import Deployment, Reply, download, upload, wait_for

FEW_RECORDS: Final = 5
SEEDS: Final = b"".join(b'{"town": "town %d"}\n' % number for number in range(FEW_RECORDS))
SMALL_JOB: Final = {
    "num_records": FEW_RECORDS,
    "budget_limit": 1,
    "output_format": ["JSONL", "PARQUET"],
    "seed_strategy": "sequential",
}
TEMPLATE: Final[Mapping[str, Any]] = {
    "name": "towns",
    "steps": [
        {"id": "text", "prompt": "Describe {{ town }}.", "model_tier": "cheap", "max_tokens": 40}
    ],
}
END_SECONDS: Final = 60.0


class User:
    """Somebody with a token of the deployment's user pool."""

    def __init__(self, deployment: Deployment, email: str) -> None:
        self._deployment = deployment
        self._token = deployment.sign_up(email)

    def call(self, method: str, path: str, body: Any = None, *, expect: int = 200) -> Any:
        """The body of the answer, which has to have that status."""
        reply = self.reply(method, path, body)
        assert reply.status == expect, (method, path, reply)
        return reply.body

    def reply(self, method: str, path: str, body: Any = None) -> Reply:
        """Whatever the API answers."""
        return self._deployment.call(method, path, body, token=self._token)

    def upload(self, seeds: bytes = SEEDS) -> str:
        """Upload a seed file; its key."""
        form = self.call("POST", "/seed-data/upload-url", {"filename": "seeds.jsonl"}, expect=201)
        assert upload(form, "seeds.jsonl", seeds).status == 204
        key: str = form["s3_key"]
        return key

    def save_template(self, template: Mapping[str, Any] = TEMPLATE) -> str:
        """Create a template; its id."""
        template_id: str = self.call("POST", "/templates", template, expect=201)["template_id"]
        return template_id

    def submit(self) -> Any:
        """A small job with seeds and a template of its own."""
        job = {"template_id": self.save_template(), "seed_data_path": self.upload(), **SMALL_JOB}
        return self.call("POST", "/jobs", job, expect=201)

    def wait_until_ended(self, job_id: str, *, seconds: float = END_SECONDS) -> Any:
        """The job as it has ended."""

        def look() -> Any:
            job = self.call("GET", f"/jobs/{job_id}")
            return None if job["status"] in {"QUEUED", "RUNNING"} else job

        return wait_for("the end of the job", look, seconds=seconds)

    def wait_until_exported(self, job_id: str) -> Any:
        """The job with the export that it was asked for, as that has ended."""

        def look() -> Any:
            job = self.call("GET", f"/jobs/{job_id}")
            return None if job["export"]["status"] in {"QUEUED", "RUNNING"} else job

        return wait_for("the end of the export", look, seconds=END_SECONDS)

    def dataset(self, job_id: str) -> list[Any]:
        """The records of the JSONL file."""
        files = self.call("GET", f"/jobs/{job_id}/download")["files"]
        (url,) = (file["url"] for file in files if file["name"] == "exports/dataset.jsonl")
        return [json.loads(line) for line in download(url).splitlines()]
