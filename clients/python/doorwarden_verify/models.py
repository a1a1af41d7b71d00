"""Maps users of an issuer to local users."""

from django.conf import settings
from django.db import models


class LocalUser(models.Model):
    """A local user that belongs to a user of an issuer. Only `drf.get_or_create_user` creates rows; an
    operator may add one to declare that two users are the same person."""

    issuer = models.CharField(max_length=255)
    subject = models.CharField(max_length=255)
    user = models.OneToOneField(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["issuer", "subject"], name="doorwarden_issuer_subject")]

    def __str__(self) -> str:
        return f"{self.subject} of {self.issuer}"
