"""Workers as tasks on Fargate: what ECS is asked, and what its answers mean."""

from runtime.domain.api_ports import WorkItem
from runtime.domain.job import JobStatus
from tests.fixtures.api import Api
from tests.fixtures.aws import FakeAws


def item(
    job_id: str = "4f9c1f0e-6a53-4a0e-9d57-3f0a6a1f0c11", shard: int | None = None
) -> WorkItem:
    return WorkItem(
        work_id=job_id if shard is None else f"{job_id}#{shard}",
        job_id=job_id,
        shard=shard,
        status=JobStatus.QUEUED,
        owner=None,
        fence=0,
        beat=0,
        attempt=0,
    )


def test_a_launch(api: Api, aws: FakeAws) -> None:
    api.ports.launcher.launch(item(), number=1, on_demand=False)
    assert [launch.provider for launch in aws.tasks.launches] == ["FARGATE_SPOT"]
