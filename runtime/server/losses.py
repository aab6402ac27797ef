"""What a worker that has died leaves in the queue of a folder. Each death is counted, and a job
that kills worker after worker fails, as it does on AWS.
"""

import logging

from runtime.domain.errors import SeedwrightError
from runtime.domain.service_ports import ApiPorts
from runtime.logs import event
from runtime.service.observability import observe
from runtime.service.recovery import recover

_log = logging.getLogger(__name__)


def recover_losses(ports: ApiPorts) -> None:
    """Make the work of dead workers claimable, or end its job. Never fails: the next worker finds
    by itself what could not be done now.
    """
    try:
        with observe("recover_losses", ports.new_id()):
            for lease in ports.queue.leases():
                if lease.abandoned:
                    recover(ports, ports.work.get_work(lease.work_id))
    except SeedwrightError as error:
        event(_log, logging.ERROR, "losses not recovered", error=error.code)
