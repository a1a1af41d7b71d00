"""The little of an HTTP client that is needed: GET from one host. No redirect is followed, to wherever it leads."""

import http.client
import ipaddress
import ssl
from urllib.parse import urlsplit


class FetchError(Exception):
    """Something was not fetched. `status` is that of the answer, if there was one of an unexpected kind."""

    def __init__(self, why: str, status: int | None = None):
        super().__init__(why)
        self.status = status


class Issuer:
    """Where the issuer is reached."""

    def __init__(self, url: str, allow_http: bool = False):
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment or parts.username:
            raise ValueError("the issuer must be a URL: https://, a host, and perhaps a port and a path")
        if parts.scheme == "http" and not allow_http and not _is_this_machine(parts.hostname):
            raise ValueError(
                "the issuer must be reached by https, because the keys come from there. hint: allow_http, on a network that you trust"
            )
        self.url = url.rstrip("/")
        self._host, self._port = parts.hostname, parts.port
        self._path = parts.path.rstrip("/")
        self._tls = ssl.create_default_context() if parts.scheme == "https" else None

    def get(self, path: str, accept: str, timeout: float, etag: str | None = None, is_fresh: bool = False):
        """Connection and answer, if that is 200 and of one of these media types, or 304. The caller closes the connection. `is_fresh`:
        no cache in between may answer by itself."""
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
            answer = connection.getresponse()
            if answer.status == 304 and etag:
                return connection, answer
            if answer.status != 200:
                raise FetchError(f"the answer was {answer.status}", answer.status)
            media_type = answer.headers.get_content_type()
            if media_type not in accept.split(", "):
                raise FetchError(f"the answer is {media_type}", answer.status)
            return connection, answer
        except BaseException:
            connection.close()
            raise

    def read(self, path: str, accept: str, limit: int, timeout: float = 5.0, etag: str | None = None, is_fresh: bool = False):
        """The headers and the text of an answer; None for the text if it has not changed."""
        connection, answer = self.get(path, accept, timeout, etag, is_fresh)
        try:
            if answer.status == 304:
                return answer.headers, None
            text = answer.read(limit + 1)
        finally:
            connection.close()
        if len(text) > limit:
            raise FetchError("the answer is too long")
        return answer.headers, text.decode()


def _is_this_machine(host: str) -> bool:
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
