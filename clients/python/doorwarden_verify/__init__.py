"""Verifies Doorwarden's access tokens offline, and still refuses tokens of ended sessions.

    verifier = Verifier("https://id.example.com", audience="https://api.example.com")
    claims = verifier.verify(token)   # or raises Refused
"""

from .checker import Checker
from .refused import InvalidToken, Refused, Revoked, Unavailable
from .verifier import Status, Verifier

__all__ = ["Checker", "InvalidToken", "Refused", "Revoked", "Status", "Unavailable", "Verifier"]
__version__ = "0.1.0"
