"""Whose certificates are taken."""

import ssl
from collections.abc import Mapping
from importlib.resources import files
from typing import Final

from runtime.domain.errors import ConfigurationError

_BUNDLES: Final = ("AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE")
"""Variables that name a file of authorities: the AWS SDK's own, in its order."""


def bundle_in(environment: Mapping[str, str]) -> str | None:
    """The file of authorities that the environment names."""
    return next((environment[name] for name in _BUNDLES if environment.get(name)), None)


def trusted(bundle: str | None) -> ssl.SSLContext:
    """Who signs for a host: those in the file, else those that the system and the AWS SDK know.
    Raises `ConfigurationError` for a file that can't be read.
    """
    try:
        if bundle is not None:
            return ssl.create_default_context(cafile=bundle)
        context = ssl.create_default_context()
        context.load_verify_locations(str(files("botocore").joinpath("cacert.pem")))
    except OSError as exc:
        raise ConfigurationError(f"the bundle of authorities {bundle} can't be read") from exc
    return context
