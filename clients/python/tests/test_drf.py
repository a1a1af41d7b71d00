"""A small application whose settings name Doorwarden's authentication class."""

import time
import unittest

import django
from django.conf import settings

from .service import URL, log_in, log_out, register

settings.configure(
    SECRET_KEY="a secret key of the application",
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
    INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes", "rest_framework"],
    ROOT_URLCONF=__name__,
    ALLOWED_HOSTS=["*"],
    # The line that changes, and the issuer.
    REST_FRAMEWORK={"DEFAULT_AUTHENTICATION_CLASSES": ["doorwarden_verify.drf.DoorwardenAuthentication"]},
    DOORWARDEN_ISSUER=URL,
)
django.setup()

from django.contrib.auth import get_user_model
from django.core.exceptions import ImproperlyConfigured
from django.core.management import call_command
from django.test import Client, override_settings
from django.urls import path
from rest_framework.decorators import api_view, permission_classes
from rest_framework.permissions import IsAuthenticated
from rest_framework.response import Response

from doorwarden_verify import drf


@api_view(["GET"])
@permission_classes([IsAuthenticated])
def whoami(request):
    return Response({"id": request.user.pk, "kind": type(request.user).__name__, "client": request.auth["client_id"]})


urlpatterns = [path("whoami", whoami)]


class RestFramework(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        call_command("migrate", verbosity=0)
        cls.email, cls.id = register()
        cls.pair = log_in(cls.email)

    @classmethod
    def tearDownClass(cls):
        drf.verifier().close()

    def ask(self, authorization=None):
        headers = {} if authorization is None else {"Authorization": authorization}
        return Client().get("/whoami", headers=headers)

    def ask_with(self, token):
        return self.ask(f"Bearer {token}")

    def test_an_access_token_is_its_user(self):
        for _ in range(2):
            answer = self.ask_with(self.pair["access"])
            self.assertEqual((answer.status_code, answer.json()["id"], answer.json()["kind"]), (200, self.id, "User"))
        user = get_user_model().objects.get(pk=self.id)
        self.assertFalse(user.has_usable_password())

    def test_a_logout_is_401_within_a_second(self):
        pair = log_in(self.email)
        self.assertEqual(self.ask_with(pair["access"]).status_code, 200)
        log_out(pair)
        end = time.monotonic() + 1.0
        while (answer := self.ask_with(pair["access"])).status_code == 200:
            self.assertLess(time.monotonic(), end)
        self.assertEqual(answer.status_code, 401)
        self.assertEqual(answer.json(), {"detail": "Invalid authentication. Could not decode token."})
        self.assertEqual(answer.headers["WWW-Authenticate"], 'Bearer realm="api"')

    def test_no_token_is_401(self):
        for authorization in [None, "Basic YTpi", "Bearer", "Bearer a b"]:
            answer = self.ask(authorization)
            self.assertEqual(answer.status_code, 401)
            self.assertEqual(answer.json(), {"detail": "Authentication credentials were not provided."})

    def test_what_is_no_token_is_401(self):
        for token in ["a.b.c", "\u00e4", self.pair["refresh"]]:
            self.assertEqual(self.ask_with(token).status_code, 401)

    def test_a_user_who_is_deactivated_here_is_401(self):
        email, id = register()
        get_user_model().objects.create_user(username="here", pk=id, is_active=False)
        answer = self.ask_with(log_in(email)["access"])
        self.assertEqual((answer.status_code, answer.json()), (401, {"detail": "This user has been deactivated."}))

    def test_the_user_may_be_the_token_alone(self):
        email, id = register()
        with override_settings(DOORWARDEN_USER="doorwarden_verify.drf.TokenUser"):
            answer = self.ask_with(log_in(email)["access"])
        self.assertEqual((answer.status_code, answer.json()["id"], answer.json()["kind"]), (200, id, "TokenUser"))
        self.assertFalse(get_user_model().objects.filter(pk=id).exists())

    def test_the_user_may_have_to_exist(self):
        email, _ = register()
        with override_settings(DOORWARDEN_USER="doorwarden_verify.drf.get_user"):
            answer = self.ask_with(log_in(email)["access"])
        self.assertEqual((answer.status_code, answer.json()), (401, {"detail": "No user matching this token was found."}))

    def test_a_feed_that_is_not_heard_is_503(self):
        with override_settings(DOORWARDEN_STALE_LIMIT="-1"):
            answer = self.ask_with(self.pair["access"])
        self.assertEqual(answer.status_code, 503)

    def test_an_issuer_must_be_named(self):
        with override_settings(DOORWARDEN_ISSUER=""), self.assertRaises(ImproperlyConfigured):
            drf.verifier()
