"""The Django application for `INSTALLED_APPS`, which maps users of the issuer to local users."""

from django.apps import AppConfig


class DoorwardenConfig(AppConfig):
    name = "doorwarden_verify"
    label = "doorwarden_verify"
    verbose_name = "Doorwarden"
    default_auto_field = "django.db.models.BigAutoField"
