"""Previews that call models, on account of the month: there is no job whose budget could hold."""

from runtime.domain.errors import SeedwrightError
from runtime.domain.service_ports import ApiPorts
from runtime.service.month import limits_of
from runtime.service.observability import logger


class PreviewMoney:
    """Implements `trial.Purse` with the accounts of the month: each call takes its worst case out
    of them before it is made. What a crash leaves there is presumed spent.
    """

    def __init__(self, ports: ApiPorts, user_id: str) -> None:
        self._accounts = ports.monthly_budgets
        self._user_id = user_id
        self._limits = limits_of(ports)
        self._first = True

    def reserve(self, nano: int) -> None:
        self._accounts.reserve_preview(self._user_id, self._limits, nano, first=self._first)
        self._first = False

    def settle(self, *, reserved_nano: int, nano: int) -> None:
        try:
            self._accounts.settle_preview(
                self._user_id, self._limits.month, reserved_nano=reserved_nano, nano=nano
            )
        except SeedwrightError as error:
            # The reply is there, and paid for. Asked again, the rest might be given back twice.
            logger.warning("preview not settled", extra={"code": error.code})
