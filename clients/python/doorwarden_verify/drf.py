"""An authentication class for Django REST framework.

    REST_FRAMEWORK = {"DEFAULT_AUTHENTICATION_CLASSES": ["doorwarden_verify.drf.DoorwardenAuthentication"]}

Settings, of which only the first is required. A missing setting is read from the environment variable of the same name:

    DOORWARDEN_ISSUER      the URL of the issuer, exactly as in `iss` of the tokens
    DOORWARDEN_AUDIENCE    `aud` of the tokens; by default the issuer
    DOORWARDEN_ADDRESS     the URL at which the issuer is reached, if it differs
    DOORWARDEN_WHEN_STALE  "refuse" (the default) or "accept": what to do while the revocation feed is stale
    DOORWARDEN_STALE_LIMIT seconds without a statement after which the feed is stale; by default 30
    DOORWARDEN_ALLOW_HTTP  True to allow an issuer on another machine without TLS
    DOORWARDEN_USER        the dotted path of the function that returns a user for the claims:
                           "doorwarden_verify.drf.TokenUser" (the default): a user made of the claims; needs no table
                           "doorwarden_verify.drf.get_or_create_user": a local user, created for the issuer's
                           "doorwarden_verify.drf.get_user": the same, but users are never created
                           "doorwarden_verify.drf.get_user_with_same_id": if only the issuer creates users
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
    """503: the token cannot be verified at the moment."""

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
    """Returns the local user that belongs to the issuer's user by the table of `LocalUser`, or None, which is
    401. Equal ids, usernames or email addresses do not match users."""
    link = _links().filter(issuer=claims["iss"], subject=claims["sub"]).select_related("user").first()
    return link and link.user


def get_or_create_user(claims: dict[str, Any]):
    """Returns the local user that belongs to the issuer's user; creates it at the first request, without a
    password.

    An access token contains neither email address nor username, so unique fields get a placeholder.
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
        # A concurrent request created the user.
        user = get_user(claims)
        if user is None:
            raise
        return user


def get_user_with_same_id(claims: dict[str, Any]):
    """Returns the local user with the issuer's user id, and creates it at the first request. Only for
    databases that assign no ids of their own, because only the issuer creates users.

    Returns None, which is 401, if the local user is staff or superuser, has a usable password, or belongs to
    another user of the issuer.
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
    return None if user is None or _is_other_user(user, claims) else user


def _is_other_user(user, claims: dict[str, Any]) -> bool:
    if getattr(user, "is_staff", False) or getattr(user, "is_superuser", False) or user.has_usable_password():
        return True
    others = _links().filter(user=user).exclude(issuer=claims["iss"], subject=claims["sub"]) if _has_table() else None
    return others is not None and others.exists()


def _has_table() -> bool:
    return apps.is_installed("doorwarden_verify")


def _links():
    if not _has_table():
        raise ImproperlyConfigured(
            "add 'doorwarden_verify' to INSTALLED_APPS and run `manage.py migrate`: its table maps users of the issuer to local users"
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
    """A user made of the claims of a token, without a database row. It can be compared, hashed and checked
    for permissions."""

    is_active = True
    is_authenticated = True
    is_anonymous = False
    is_staff = False
    is_superuser = False

    def __init__(self, claims: dict[str, Any]):
        self.claims = claims
        self.id = self.pk = claims.get("id", claims["sub"])

    def get_all_permissions(self, obj: object = None) -> set[str]:
        """Returns the claim `permissions`, which the issuer includes if it is configured to."""
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
    """Returns the verifier of this process."""
    issuer = _setting("ISSUER")
    if not issuer:
        raise ImproperlyConfigured("DOORWARDEN_ISSUER is not set. hint: set it to the URL of the service that issues the access tokens")
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


def _reset(*, setting: str, **_: Any) -> None:
    if setting.startswith("DOORWARDEN_"):
        _user_function.cache_clear()
        if verifier.cache_info().currsize:
            verifier().close()
        verifier.cache_clear()


setting_changed.connect(_reset)
