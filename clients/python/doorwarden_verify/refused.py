"""The reasons why a token is refused."""


class Refused(Exception):
    """A token is refused. `code` is stable and meant for logs; a client should only learn whether another
    token would help. `detail` is for the operator: what was expected and what was received."""

    def __init__(self, code: str, detail: str | None = None):
        super().__init__(code)
        self.code = code
        self.detail = detail


class InvalidToken(Refused):
    """The token is not valid: its format, signature, times, issuer or audience. 401."""


class Revoked(Refused):
    """The token was valid before: its session has ended, or its user's tokens or its key were revoked.
    401."""


class Unavailable(Refused):
    """The token cannot be verified at the moment: there are no keys yet, or the feed is stale. 503."""
