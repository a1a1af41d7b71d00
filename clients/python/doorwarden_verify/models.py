"""Which user of this database belongs to which user of an issuer."""

from django.conf import settings
from django.db import models


class LocalUser(models.Model):
    """A user of this database who was made for a user of an issuer. Only `drf.get_or_create_user` writes it; an operator who adds a
    row lets that user of the issuer be that user here."""

    issuer = models.CharField(max_length=255)
    subject = models.CharField(max_length=255)
    user = models.OneToOneField(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["issuer", "subject"], name="doorwarden_issuer_subject")]

    def __str__(self) -> str:
        return f"{self.subject} of {self.issuer}"
