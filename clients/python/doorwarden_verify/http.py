"""A minimal HTTP client: GET from one host. Redirects are never followed."""

import http.client
import ipaddress
import ssl
from urllib.parse import urlsplit


class FetchError(Exception):
    """A fetch failed. `status` is that of the response, if there was an unexpected one."""

    def __init__(self, message: str, status: int | None = None):
        super().__init__(message)
        self.status = status


class Issuer:
    """The server of the issuer."""

    def __init__(self, url: str, allow_http: bool = False):
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment or parts.username:
            raise ValueError("the issuer must be a URL: https://, a host, and optionally a port and a path")
        if parts.scheme == "http" and not allow_http and not _is_this_machine(parts.hostname):
            raise ValueError(
                "the issuer must use https, because the keys are fetched from it. hint: set allow_http on a network that you trust"
            )
        self.url = url.rstrip("/")
        self._host, self._port = parts.hostname, parts.port
        self._path = parts.path.rstrip("/")
        self._tls = ssl.create_default_context() if parts.scheme == "https" else None

    def get(self, path: str, accept: str, timeout: float, etag: str | None = None, is_fresh: bool = False):
        """Returns connection and response if it is 200 with one of these media types, or 304. The caller
        closes the connection. `is_fresh` bypasses caches."""
        if self._tls is None:
            connection = http.client.HTTPConnection(self._host, self._port, timeout=timeout)
        else:
            connection = http.client.HTTPSConnection(self._host, self._port, timeout=timeout, context=self._tls)
        headers = {"Accept": accept, "User-Agent": "doorwarden-verify-python"}
        if etag:
            headers["If-None-Match"] = etag
        if is_fresh:
            headers["Cache-Control"] = "no-cache"
        try:
            connection.request("GET", self._path + path, headers=headers)
            response = connection.getresponse()
            if response.status == 304 and etag:
                return connection, response
            if response.status != 200:
                raise FetchError(f"the response was {response.status}", response.status)
            media_type = response.headers.get_content_type()
            if media_type not in accept.split(", "):
                raise FetchError(f"the response has the media type {media_type}", response.status)
            return connection, response
        except BaseException:
            connection.close()
            raise

    def read(self, path: str, accept: str, limit: int, timeout: float = 5.0, etag: str | None = None, is_fresh: bool = False):
        """Returns the headers and the text of the response; the text is None if it has not changed."""
        connection, response = self.get(path, accept, timeout, etag, is_fresh)
        try:
            if response.status == 304:
                return response.headers, None
            text = response.read(limit + 1)
        finally:
            connection.close()
        if len(text) > limit:
            raise FetchError("the response is too long")
        return response.headers, text.decode()


def _is_this_machine(host: str) -> bool:
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
