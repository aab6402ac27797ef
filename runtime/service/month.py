"""What the present month lets in: the terms on which a job is queued or a preview calls models."""

from runtime.domain.errors import NotFoundError
from runtime.domain.jobs.job import Job
from runtime.domain.money.accounts import (
    Admission,
    Limits,
    active_share,
    growth_of,
    month_of,
)
from runtime.domain.service_ports import ApiPorts


def limits_of(ports: ApiPorts) -> Limits:
    """What jobs and previews of the present month may cost."""
    settings = ports.settings
    return Limits(
        month=month_of(ports.clock.now()),
        stage_nano=settings.monthly_nano,
        user_nano=settings.user_monthly_nano,
    )


def admission_of(ports: ApiPorts) -> Admission:
    """On which terms a job is queued now."""
    return Admission(limits=limits_of(ports), max_active_jobs=ports.settings.max_active_jobs)


def check_room(ports: ApiPorts, job: Job, *, limit_nano: int) -> None:
    """Raises `MonthlyBudgetError` where the accounts of the month have no room for an ended job
    with this budget. The transaction that queues it decides.
    """
    limits = limits_of(ports)
    try:
        committed = ports.budgets.get_account(job.job_id).committed_nano
    except NotFoundError:
        committed = 0
    share = active_share(
        job.share, month=limits.month, limit_nano=limit_nano, committed_nano=committed
    )
    use = ports.monthly_budgets.get_use(job.user_id, limits.month)
    limits.check(job.user_id, use, growth_of(job.share, share))
