"""One model client over several providers: a call goes to the one that its model names."""

import threading
from collections.abc import Callable, Collection, Mapping

from runtime.domain.errors import ModelError, ModelErrorKind, SeedwrightError
from runtime.domain.models.calls import ModelClient, ModelReply, ModelRequest
from runtime.domain.models.names import split_name


class RoutedModels:
    """A `ModelClient`. The clients of the providers in `opened` are there at once, so that what
    they lack is known before anything is begun; others are opened by the first call that needs
    them. `unnamed` is whose models have ids that name no provider.
    """

    def __init__(
        self,
        openers: Mapping[str, Callable[[], ModelClient]],
        *,
        opened: Collection[str],
        unnamed: str,
    ) -> None:
        """Raises what opening a client raises."""
        self._openers = openers
        self._unnamed = unnamed
        self._lock = threading.Lock()
        self._clients: dict[str, ModelClient] = {}
        try:
            for provider in opened:
                self._clients[provider] = openers[provider]()
        except BaseException:
            self.close()
            raise

    def converse(self, request: ModelRequest) -> ModelReply:
        provider, _ = split_name(request.model, self._openers.keys())
        try:
            client = self._client(provider or self._unnamed)
        except SeedwrightError as exc:
            raise ModelError(ModelErrorKind.FATAL, str(exc), service_code=exc.code) from exc
        return client.converse(request)

    def close(self) -> None:
        with self._lock:
            for client in self._clients.values():
                client.close()

    def _client(self, provider: str) -> ModelClient:
        with self._lock:
            if provider not in self._clients:
                self._clients[provider] = self._openers[provider]()
            return self._clients[provider]
