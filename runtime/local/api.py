"""The API's ports on one laptop directory."""

from collections.abc import Callable

from runtime.domain.models.calls import ModelClient
from runtime.domain.models.price_table import PriceTable
from runtime.domain.service_ports import ApiSettings, WorkItem
from runtime.local.announcer import NoAnnouncer
from runtime.local.executions import LocalExecutions
from runtime.local.launcher import LocalLauncher
from runtime.local.links import LocalLinks, signing_secret
from runtime.local.storage import LocalStorage


class LocalApi:
    """Implements `service_ports.ApiPorts`. Thread safe, as all its parts are.

    `base_url` is where clients reach the server, such as `http://127.0.0.1:8080`; signed addresses
    begin with it. `on_launch` is notified of each work item that a worker should be started for,
    see `LocalLauncher`. Whoever opened `storage` and `models` closes them.
    Raises `ConfigurationError` or `StorageError`.
    """

    def __init__(
        self,
        storage: LocalStorage,
        *,
        models: ModelClient,
        provider: str,
        prices: PriceTable,
        base_url: str,
        new_id: Callable[[], str],
        on_launch: Callable[[WorkItem], None],
        settings: ApiSettings | None = None,
    ) -> None:
        self.clock = storage.clock
        self.new_id = new_id
        self.settings = settings or ApiSettings()
        self.jobs = storage.jobs
        self.job_catalog = storage.job_catalog
        self.queue = storage.queue
        self.work = storage.work
        self.launcher = LocalLauncher(on_launch)
        self.executions = LocalExecutions(on_launch)
        self.announcer = NoAnnouncer()
        self.templates = storage.templates
        self.template_catalog = storage.template_catalog
        self.objects = storage.objects
        self.links = LocalLinks(
            base_url=base_url, secret=signing_secret(storage.directory), clock=storage.clock
        )
        self.budgets = storage.budgets
        self.upload_ledgers = storage.upload_ledgers
        self.monthly_budgets = storage.monthly_budgets
        self.prices = prices
        self.provider = provider
        self.models = models
