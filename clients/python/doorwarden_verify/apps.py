"""The application for `INSTALLED_APPS`, where users of the issuer become users of this database."""

from django.apps import AppConfig


class DoorwardenConfig(AppConfig):
    name = "doorwarden_verify"
    label = "doorwarden_verify"
    verbose_name = "Doorwarden"
    default_auto_field = "django.db.models.BigAutoField"
