"""The accounts of a month in DynamoDB, for previews and for whoever asks. What jobs have in them is
written by `job_shares.py`.
"""

from typing import TYPE_CHECKING

from runtime.aws.job_shares import account_refusal, grow
from runtime.aws.table import Table
from runtime.aws.transaction import Transaction
from runtime.domain.errors import StorageBusyError
from runtime.domain.money.accounts import Limits, MonthUse, stage_account, user_account

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.client import DynamoDBClient


class DynamoMonthlyBudgets:
    """Implements `accounts.MonthlyBudgets`."""

    def __init__(self, *, client: "DynamoDBClient", table_name: str) -> None:
        self._client = client
        self._table = Table(client, table_name)

    def get_use(self, user_id: str, month: str) -> MonthUse:
        stage = self._table.get({"account_id": stage_account(month)}) or {}
        user = self._table.get({"account_id": user_account(user_id, month)}) or {}
        return MonthUse(
            stage_nano=int(stage.get("committed", 0)),
            user_nano=int(user.get("committed", 0)),
            previews=int(user.get("previews", 0)),
        )

    def reserve_preview(self, user_id: str, limits: Limits, nano: int, *, first: bool) -> None:
        accounts = limits.of_accounts(user_id)
        transaction = Transaction(self._client)
        for account_id, limit in accounts.items():
            grow(
                transaction,
                self._table.name,
                account_id,
                nano,
                limit=limit,
                previews=int(first),
            )
        if refusals := transaction.commit():
            refusal = account_refusal(accounts, list(refusals), nano)
            raise refusal or StorageBusyError("the accounts are busy: try again")

    def settle_preview(self, user_id: str, month: str, *, reserved_nano: int, nano: int) -> None:
        if nano == reserved_nano:
            return
        transaction = Transaction(self._client)
        for account_id in (stage_account(month), user_account(user_id, month)):
            grow(transaction, self._table.name, account_id, nano - reserved_nano, limit=None)
        transaction.commit(patient=True)
