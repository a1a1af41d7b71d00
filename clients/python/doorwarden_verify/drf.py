"""An authentication class for Django REST framework.

    REST_FRAMEWORK = {"DEFAULT_AUTHENTICATION_CLASSES": ["doorwarden_verify.drf.DoorwardenAuthentication"]}

Settings, of which only the first is needed; the environment variable of the same name counts where the setting is missing:

    DOORWARDEN_ISSUER      the URL of the issuer, as tokens have it in `iss`
    DOORWARDEN_AUDIENCE    `aud` of the tokens; by default the issuer
    DOORWARDEN_ADDRESS     where the issuer is reached, if at another URL
    DOORWARDEN_WHEN_STALE  "refuse" (the default) or "accept": what to do while the revocation feed is silent
    DOORWARDEN_STALE_LIMIT after how many seconds it counts as silent; by default 30
    DOORWARDEN_ALLOW_HTTP  True to talk to an issuer on another machine without TLS
    DOORWARDEN_USER        the function that makes a user of claims, by its dotted path:
                           "doorwarden_verify.drf.TokenUser" (the default): `request.user` is the claims; no table is needed
                           "doorwarden_verify.drf.get_or_create_user": a user of this database who was made for the issuer's
                           "doorwarden_verify.drf.get_user": the same, but nobody is made
                           "doorwarden_verify.drf.get_user_with_same_id": where all users are made at the issuer
"""

import functools
import os
import uuid
from collections.abc import Iterable
from typing import Any

from django.apps import apps
from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.exceptions import ImproperlyConfigured, ValidationError
from django.core.signals import setting_changed
from django.db import IntegrityError, transaction
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
    """The user of this database who belongs to the issuer's, or None: 401. Who belongs to whom stands in the table of `LocalUser`;
    nothing follows from equal numbers, names or addresses."""
    link = _links().filter(issuer=claims["iss"], subject=claims["sub"]).select_related("user").first()
    return link and link.user


def get_or_create_user(claims: dict[str, Any]):
    """The user of this database who belongs to the issuer's; made when they first come, without a password.

    An access token has neither address nor name, so fields that must be unique get a placeholder.
    """
    user = get_user(claims)
    if user is not None:
        return user
    try:
        with transaction.atomic():
            user = _new_user(claims)
            user.save(force_insert=True)
            _links().create(issuer=claims["iss"], subject=claims["sub"], user=user)
            return user
    except IntegrityError:
        # Another request was faster.
        user = get_user(claims)
        if user is None:
            raise
        return user


def get_user_with_same_id(claims: dict[str, Any]):
    """The user of this database with the issuer's number, made when they first come: only where this database gives no numbers of its
    own, because users are made at the issuer alone.

    Who is staff or superuser here, has a usable password, or was made for somebody else at the issuer, is not them: None, 401.
    """
    model = get_user_model()
    try:
        pk = model._meta.pk.to_python(claims["sub"])
    except ValidationError:
        return None
    if str(pk) != claims["sub"]:
        return None
    user = model._default_manager.filter(pk=pk).first()
    if user is None:
        user = _new_user(claims, pk=pk)
        try:
            with transaction.atomic():
                user.save(force_insert=True)
        except IntegrityError:
            user = model._default_manager.filter(pk=pk).first()
    return None if user is None or _is_somebody_else(user, claims) else user


def _is_somebody_else(user, claims: dict[str, Any]) -> bool:
    if getattr(user, "is_staff", False) or getattr(user, "is_superuser", False) or user.has_usable_password():
        return True
    others = _links().filter(user=user).exclude(issuer=claims["iss"], subject=claims["sub"]) if _has_table() else None
    return others is not None and others.exists()


def _has_table() -> bool:
    return apps.is_installed("doorwarden_verify")


def _links():
    if not _has_table():
        raise ImproperlyConfigured(
            "add 'doorwarden_verify' to INSTALLED_APPS and run `manage.py migrate`: its table says which user belongs to whom at the issuer"
        )
    return apps.get_model("doorwarden_verify", "LocalUser")._default_manager


def _new_user(claims: dict[str, Any], **known: Any):
    model = get_user_model()
    name = f"user-{claims['sub']}-{uuid.uuid4().hex[:12]}"
    for field in model._meta.concrete_fields:
        if field.unique and not field.primary_key and not field.null and not field.has_default():
            is_address = field.get_internal_type() == "EmailField"
            known[field.attname] = f"{name}@doorwarden.invalid" if is_address else name[-(field.max_length or len(name)) :]
    user = model(**known)
    user.set_unusable_password()
    return user


class TokenUser:
    """A user who is nothing but the claims of their token. It may be compared, hashed and asked for permissions, and is no row."""

    is_active = True
    is_authenticated = True
    is_anonymous = False
    is_staff = False
    is_superuser = False

    def __init__(self, claims: dict[str, Any]):
        self.claims = claims
        self.id = self.pk = claims.get("id", claims["sub"])

    def get_all_permissions(self, obj: object = None) -> set[str]:
        """By the claim `permissions`, which the issuer adds if it is configured to."""
        permissions = self.claims.get("permissions")
        return set(permissions) if isinstance(permissions, list) and obj is None else set()

    def has_perm(self, permission: str, obj: object = None) -> bool:
        return permission in self.get_all_permissions(obj)

    def has_perms(self, permissions: Iterable[str], obj: object = None) -> bool:
        return self.get_all_permissions(obj).issuperset(permissions)

    def has_module_perms(self, app_label: str) -> bool:
        return any(permission.startswith(f"{app_label}.") for permission in self.get_all_permissions())

    def get_username(self) -> str:
        return self.claims["sub"]

    def __str__(self) -> str:
        return self.get_username()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, TokenUser) and self._identity() == other._identity()

    def __hash__(self) -> int:
        return hash(self._identity())

    def _identity(self) -> tuple[str, str]:
        return self.claims["iss"], self.claims["sub"]


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
    return import_string(_setting("USER", "doorwarden_verify.drf.TokenUser"))


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
