"""Why a token is not accepted."""


class Refused(Exception):
    """A token is not accepted. `code` is a stable word for logs; a client should learn only whether another token would help.
    `detail` is for the operator: what was expected and what came."""

    def __init__(self, code: str, detail: str | None = None):
        super().__init__(code)
        self.code = code
        self.detail = detail


class InvalidToken(Refused):
    """The token itself is wrong: its form, signature, time, issuer or audience. 401."""


class Revoked(Refused):
    """The token was right once: its session has ended, or its user's tokens or its key were revoked. 401."""


class Unavailable(Refused):
    """No fault of the token's: the keys are not known yet, or nothing was heard from the feed for too long. 503."""
