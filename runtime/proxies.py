"""The proxy that the environment names for a URL, as the AWS SDK finds it."""

from urllib.parse import urlsplit

from runtime.domain.addresses import is_loopback


def proxy_of(url: str) -> str | None:
    """The URL of the proxy for `url`; None: it is reached directly, as this machine always is."""
    # Imported here: it brings all of HTTP along, which a run without a server never needs.
    from urllib.request import getproxies, proxy_bypass  # noqa: PLC0415

    parts = urlsplit(url)
    proxy = getproxies().get(parts.scheme)
    if not proxy or is_loopback(url) or proxy_bypass(parts.hostname or ""):
        return None
    return proxy if "://" in proxy else f"http://{proxy}"
