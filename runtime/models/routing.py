"""One model client over several providers: a call goes to the one that its model names."""

import threading
from collections.abc import Callable, Collection, Mapping

from runtime.domain.errors import ModelError, ModelErrorKind, SeedwrightError
from runtime.domain.models.calls import BackgroundModels, BegunCall, ModelReply, ModelRequest
from runtime.domain.models.names import split_name
from runtime.models.begun import Begun, Ended


class RoutedModels:
    """A `BackgroundModels`. The clients of the providers in `opened` are there at once, so that
    what they lack is known before anything is begun; others are opened by the first call that needs
    them. `unnamed` is whose models have ids that name no provider.
    """

    def __init__(
        self,
        openers: Mapping[str, Callable[[], BackgroundModels]],
        *,
        opened: Collection[str],
        unnamed: str,
    ) -> None:
        """Raises what opening a client raises."""
        self._openers = openers
        self._unnamed = unnamed
        self._lock = threading.Lock()
        self._clients: dict[str, BackgroundModels] = {}
        try:
            for provider in opened:
                self._clients[provider] = openers[provider]()
        except BaseException:
            self.close()
            raise

    def begin(self, request: ModelRequest, ended: Ended) -> BegunCall:
        """Begin the call at its provider. One that can't be opened ends it at once."""
        try:
            client = self._client_for(request)
        except ModelError as error:
            call = Begun(request, ended)
            call.claim()
            call.ended(error)
            return call
        return client.begin(request, ended)

    def converse(self, request: ModelRequest) -> ModelReply:
        return self._client_for(request).converse(request)

    def close(self) -> None:
        with self._lock:
            for client in self._clients.values():
                client.close()

    def _client_for(self, request: ModelRequest) -> BackgroundModels:
        """Raises `ModelError` where the provider can't be used here."""
        named, _ = split_name(request.model, self._openers.keys())
        provider = named or self._unnamed
        with self._lock:
            try:
                if provider not in self._clients:
                    self._clients[provider] = self._openers[provider]()
            except SeedwrightError as exc:
                raise ModelError(ModelErrorKind.FATAL, str(exc), service_code=exc.code) from exc
            return self._clients[provider]
