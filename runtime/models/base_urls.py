"""Base URLs of servers, as users write them."""

from urllib.parse import urlsplit

from runtime.domain.addresses import is_loopback
from runtime.domain.errors import ConfigurationError


def check_base_url(text: str, *, where: str) -> str:
    """The URL without a slash at its end. Raises `ConfigurationError` that begins with `where`."""
    url = text.strip()
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError as exc:
        raise ConfigurationError(f"{where}: {text!r} is not a URL") from exc
    if parts.scheme not in {"http", "https"} or not host or not url.isprintable() or " " in url:
        raise ConfigurationError(f"{where}: {text!r} is not a URL such as http://127.0.0.1:8000/v1")
    if parts.username or parts.password:
        raise ConfigurationError(f"{where}: holds no user and no password; a variable has the key")
    if parts.query or parts.fragment or "?" in url or "#" in url:
        raise ConfigurationError(f"{where}: {text!r} ends where its path ends")
    return url.rstrip("/")


def check_secrecy(url: str, *, where: str) -> None:
    """Raises `ConfigurationError` where a key would go over the network in the clear."""
    if urlsplit(url).scheme == "http" and not is_loopback(url):
        raise ConfigurationError(
            f"{where}: {url} would carry the key in the clear: use https://, or unset the key"
        )


def shown_server(url: str) -> str:
    """Host and port, for messages."""
    return urlsplit(url).netloc
