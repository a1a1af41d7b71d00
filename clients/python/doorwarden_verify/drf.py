"""An authentication class for Django REST framework.

    REST_FRAMEWORK = {"DEFAULT_AUTHENTICATION_CLASSES": ["doorwarden_verify.drf.DoorwardenAuthentication"]}

Settings, of which only the first is needed; the environment variable of the same name counts where the setting is missing:

    DOORWARDEN_ISSUER      the URL of the issuer, as tokens have it in `iss`
    DOORWARDEN_AUDIENCE    `aud` of the tokens; by default the issuer
    DOORWARDEN_ADDRESS     where the issuer is reached, if at another URL
    DOORWARDEN_WHEN_STALE  "refuse" (the default) or "accept": what to do while the revocation feed is silent
    DOORWARDEN_STALE_LIMIT after how many seconds it counts as silent; by default 30
    DOORWARDEN_ALLOW_HTTP  True to talk to an issuer on another machine without TLS
    DOORWARDEN_USER        the function that makes a user of claims, by its dotted path; by default
                           "doorwarden_verify.drf.get_or_create_user". "doorwarden_verify.drf.TokenUser" needs no table of users.
"""

import functools
import os
from typing import Any

from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.exceptions import ImproperlyConfigured
from django.core.signals import setting_changed
from django.utils.module_loading import import_string
from rest_framework.authentication import BaseAuthentication, get_authorization_header
from rest_framework.exceptions import APIException, AuthenticationFailed

from .refused import Refused, Unavailable
from .verifier import Verifier


class CannotVerify(APIException):
    """503: nothing can be said about the token at the moment."""

    status_code = 503
    default_detail = "Access tokens cannot be verified at the moment."
    default_code = "cannot_verify"


class DoorwardenAuthentication(BaseAuthentication):
    """`request.user` is the user of the access token, `request.auth` its claims."""

    def authenticate(self, request) -> tuple[Any, dict[str, Any]] | None:
        words = get_authorization_header(request).split()
        if len(words) != 2 or words[0].lower() != b"bearer":
            return None
        try:
            claims = verifier().verify(words[1].decode("latin-1"))
        except Unavailable as refused:
            raise CannotVerify() from refused
        except Refused as refused:
            raise AuthenticationFailed("Invalid authentication. Could not decode token.", refused.code) from refused
        user = _user_function()(claims)
        if user is None:
            raise AuthenticationFailed("No user matching this token was found.", "user_not_found")
        if not user.is_active:
            raise AuthenticationFailed("This user has been deactivated.", "user_inactive")
        return user, claims

    def authenticate_header(self, request) -> str:
        return 'Bearer realm="api"'


def get_user(claims: dict[str, Any]):
    """The user of this database with the issuer's number for him, or None: 401."""
    return get_user_model().objects.filter(pk=claims["sub"]).first()


def get_or_create_user(claims: dict[str, Any]):
    """The user of this database with the issuer's number for him; made when he first comes, without a password.

    An access token has neither address nor name, so fields that must be unique get a placeholder.
    """
    model = get_user_model()
    user = get_user(claims)
    if user is not None:
        return user
    placeholders = {}
    for field in model._meta.concrete_fields:
        if field.unique and not field.primary_key and not field.null and not field.has_default():
            is_address = field.get_internal_type() == "EmailField"
            name = f"user-{claims['sub']}"
            placeholders[field.attname] = f"{name}@doorwarden.invalid" if is_address else name
    user, _ = model.objects.get_or_create(pk=claims["sub"], defaults={"password": "!", **placeholders})
    return user


class TokenUser:
    """A user who is nothing but the claims of his token, for services without a table of users."""

    is_active = True
    is_authenticated = True
    is_anonymous = False
    is_staff = False
    is_superuser = False

    def __init__(self, claims: dict[str, Any]):
        self.claims = claims
        self.id = self.pk = claims.get("id", claims["sub"])

    def has_perm(self, permission: str, obj: object = None) -> bool:
        """By the claim `permissions`, which the issuer adds if it is configured to."""
        return permission in self.claims.get("permissions", ())

    def __str__(self) -> str:
        return str(self.pk)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, TokenUser) and self.pk == other.pk

    def __hash__(self) -> int:
        return hash(self.pk)


@functools.cache
def verifier() -> Verifier:
    """The one verifier of this process."""
    issuer = _setting("ISSUER")
    if not issuer:
        raise ImproperlyConfigured("DOORWARDEN_ISSUER is missing: the URL of the service that issues the access tokens")
    return Verifier(
        issuer,
        audience=_setting("AUDIENCE"),
        address=_setting("ADDRESS"),
        stale_limit=float(_setting("STALE_LIMIT", 30)),
        when_stale=_setting("WHEN_STALE", "refuse"),
        allow_http=str(_setting("ALLOW_HTTP", "")).lower() in ("1", "true", "yes"),
    )


@functools.cache
def _user_function():
    return import_string(_setting("USER", "doorwarden_verify.drf.get_or_create_user"))


def _setting(name: str, default: Any = None) -> Any:
    name = f"DOORWARDEN_{name}"
    return getattr(settings, name, None) or os.environ.get(name) or default


def _forget(*, setting: str, **_: Any) -> None:
    if setting.startswith("DOORWARDEN_"):
        _user_function.cache_clear()
        if verifier.cache_info().currsize:
            verifier().close()
        verifier.cache_clear()


setting_changed.connect(_forget)
