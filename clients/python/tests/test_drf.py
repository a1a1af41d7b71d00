"""A small application whose settings name Doorwarden's authentication class."""

import time
import unittest
from unittest import mock

import django
from django.conf import settings

from .service import URL, log_in, log_out, register

settings.configure(
    SECRET_KEY="a secret key of the application",
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
    INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes", "rest_framework", "doorwarden_verify"],
    PASSWORD_HASHERS=["django.contrib.auth.hashers.MD5PasswordHasher"],
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
from doorwarden_verify.models import LocalUser


@api_view(["GET"])
@permission_classes([IsAuthenticated])
def whoami(request):
    user = request.user
    return Response({"id": user.pk, "kind": type(user).__name__, "superuser": user.is_superuser, "sub": request.auth["sub"]})


urlpatterns = [path("whoami", whoami)]


def setUpModule():
    call_command("migrate", verbosity=0)


def tearDownModule():
    drf.verifier().close()


class Asking(unittest.TestCase):
    def ask(self, authorization=None):
        headers = {} if authorization is None else {"Authorization": authorization}
        return Client().get("/whoami", headers=headers)

    def ask_with(self, token):
        return self.ask(f"Bearer {token}")


class RestFramework(Asking):
    @classmethod
    def setUpClass(cls):
        cls.email, cls.id = register()
        cls.pair = log_in(cls.email)

    def test_by_default_the_user_is_the_claims_and_no_row(self):
        for _ in range(2):
            answer = self.ask_with(self.pair["access"])
            self.assertEqual((answer.status_code, answer.json()["id"], answer.json()["kind"]), (200, self.id, "TokenUser"))
        self.assertFalse(get_user_model().objects.filter(pk=self.id).exists())

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

    def test_a_feed_that_is_not_heard_is_503(self):
        with override_settings(DOORWARDEN_STALE_LIMIT="-1"):
            answer = self.ask_with(self.pair["access"])
        self.assertEqual(answer.status_code, 503)

    def test_an_issuer_must_be_named(self):
        with override_settings(DOORWARDEN_ISSUER=""), self.assertRaises(ImproperlyConfigured):
            drf.verifier()

    def test_permissions_are_those_of_the_claim(self):
        user = drf.TokenUser({"iss": URL, "sub": "7", "permissions": ["notes.add_note"]})
        self.assertTrue(user.has_perm("notes.add_note") and user.has_perms(["notes.add_note"]) and user.has_module_perms("notes"))
        self.assertFalse(user.has_perm("notes.delete_note") or user.has_module_perms("note"))
        self.assertFalse(drf.TokenUser({"iss": URL, "sub": "7", "permissions": "notes.add_note"}).has_perm("notes"))


class LocalUsers(Asking):
    """Who of the issuer is who in this database."""

    def setUp(self):
        self.email, self.id = register()
        self.token = log_in(self.email)["access"]
        self.users = get_user_model().objects
        self.addCleanup(self.users.all().delete)

    def ask_as(self, function):
        with override_settings(DOORWARDEN_USER=f"doorwarden_verify.drf.{function}"):
            return self.ask_with(self.token)

    def test_nobody_of_the_issuer_becomes_somebody_who_was_here(self):
        name = f"user-{self.id}"
        for make in [self.users.create_superuser, self.users.create_user]:
            make(pk=self.id, username=name, email=self.email, password="correct horse 9")
            for function in ["TokenUser", "get_user", "get_or_create_user", "get_user_with_same_id"]:
                with self.subTest(function, made_by=make.__name__):
                    answer = self.ask_as(function)
                    refuses = function in ["get_user", "get_user_with_same_id"]
                    self.assertEqual(answer.status_code, 401 if refuses else 200)
                    if not refuses:
                        self.assertFalse(answer.json()["superuser"])
                        self.assertTrue(function == "TokenUser" or answer.json()["id"] != self.id)
            self.users.all().delete()

    def test_a_user_who_was_made_for_another_is_not_adopted_by_number(self):
        user = drf.get_or_create_user({"iss": URL, "sub": f"{self.id}0"})
        self.assertIsNone(drf.get_user_with_same_id({"iss": URL, "sub": str(user.pk)}))

    def test_staff_without_a_password_are_not_adopted_by_number(self):
        for right in ["is_staff", "is_superuser"]:
            self.users.create_user(pk=self.id, username="here", **{right: True})
            self.assertEqual(self.ask_as("get_user_with_same_id").status_code, 401)
            self.users.all().delete()

    def test_a_user_is_made_once_and_found_again(self):
        first, second = self.ask_as("get_or_create_user"), self.ask_as("get_user")
        self.assertEqual((first.status_code, first.json()["kind"], first.json()), (200, "User", second.json()))
        user = self.users.get()
        self.assertFalse(user.has_usable_password())
        link = LocalUser.objects.get(user=user)
        self.assertEqual((link.issuer, link.subject), (URL, str(self.id)))
        # Made here, so that the rights that they are given here count.
        self.users.update(is_superuser=True)
        self.assertTrue(self.ask_as("get_or_create_user").json()["superuser"])

    def test_the_same_number_at_another_issuer_is_somebody_else(self):
        drf.get_or_create_user({"iss": "https://other.example", "sub": str(self.id)})
        self.assertEqual(self.ask_as("get_user").status_code, 401)
        self.assertEqual(self.ask_as("get_or_create_user").status_code, 200)
        self.assertEqual(self.users.count(), 2)

    def test_of_two_first_requests_at_once_one_makes_the_user(self):
        claims = {"iss": URL, "sub": str(self.id)}
        made = drf.get_or_create_user(claims)
        answers = [None, made]
        with mock.patch.object(drf, "get_user", lambda _: answers.pop(0)):
            self.assertEqual(drf.get_or_create_user(claims), made)
        self.assertEqual((self.users.count(), LocalUser.objects.filter(user=made).count()), (1, 1))

    def test_where_the_issuer_gives_all_numbers_they_are_the_same(self):
        for _ in range(2):
            self.assertEqual(self.ask_as("get_user_with_same_id").json()["id"], self.id)
        self.assertFalse(self.users.get(pk=self.id).has_usable_password())
        for subject in ["", "ada", f"0{self.id}", f" {self.id}"]:
            self.assertIsNone(drf.get_user_with_same_id({"iss": URL, "sub": subject}))

    def test_a_user_who_is_deactivated_here_is_401(self):
        for function in ["get_or_create_user", "get_user_with_same_id"]:
            self.assertEqual(self.ask_as(function).status_code, 200)
            self.users.update(is_active=False)
            answer = self.ask_as(function)
            self.assertEqual((answer.status_code, answer.json()), (401, {"detail": "This user has been deactivated."}))
            self.users.all().delete()

    def test_who_is_not_known_here_is_401(self):
        answer = self.ask_as("get_user")
        self.assertEqual((answer.status_code, answer.json()), (401, {"detail": "No user matching this token was found."}))

    def test_without_the_table_it_says_what_to_do(self):
        installed = [name for name in settings.INSTALLED_APPS if name != "doorwarden_verify"]
        with override_settings(INSTALLED_APPS=installed), self.assertRaisesRegex(ImproperlyConfigured, "INSTALLED_APPS"):
            drf.get_or_create_user({"iss": URL, "sub": "7"})

    def test_the_migrations_are_those_of_the_models(self):
        call_command("makemigrations", "doorwarden_verify", check=True, dry_run=True, verbosity=0)
