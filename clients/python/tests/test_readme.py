"""What README.md shows works."""

import os
import pathlib
import re
import subprocess
import sys
import unittest

from .service import URL, log_in, register

README = pathlib.Path(__file__).parents[1] / "README.md"
EXAMPLES = re.findall(r"^```python\n(.*?)^```", README.read_text(), re.DOTALL | re.MULTILINE)

# A Django application whose settings are the README's.
APPLICATION = """
import sys
import django
from django.conf import settings
from django.core.management import call_command
from django.test import Client
from django.urls import path
from rest_framework.decorators import api_view, permission_classes
from rest_framework.permissions import IsAuthenticated
from rest_framework.response import Response

@api_view(["GET"])
@permission_classes([IsAuthenticated])
def whoami(request):
    return Response({"kind": type(request.user).__name__, "sub": request.auth["sub"]})

urlpatterns = [path("whoami", whoami)]
django.setup()
call_command("migrate", verbosity=0)
client = Client()
answer = client.get("/whoami", headers={"Authorization": "Bearer " + sys.argv[1]})
print(answer.status_code, answer.content.decode())
asks = {"Origin": "https://app.example.com", "Access-Control-Request-Method": "GET", "Access-Control-Request-Headers": "authorization"}
answer = client.options("/whoami", headers=asks)
print(answer.status_code, answer.headers.get("Access-Control-Allow-Origin"))
"""


def example(part):
    """The only example with this text, about the service."""
    (found,) = [one for one in EXAMPLES if part in one]
    return found.replace("https://id.example.com", URL).replace("https://api.example.com", URL)


class Readme(unittest.TestCase):
    def test_the_first_example(self):
        names = {}
        exec(example("def user_of"), names)
        self.addCleanup(names["verifier"].close)
        email, id = register()
        pair = log_in(email)
        self.assertEqual(names["user_of"](pair["access"]), str(id))
        self.assertIsNone(names["user_of"]("a.b.c"))

    def test_the_settings_of_django(self):
        begin = (
            "INSTALLED_APPS = ['django.contrib.auth', 'django.contrib.contenttypes', 'rest_framework', 'corsheaders']\n"
            "DATABASES = {'default': {'ENGINE': 'django.db.backends.sqlite3', 'NAME': ':memory:'}}\n"
            "SECRET_KEY, ROOT_URLCONF, ALLOWED_HOSTS = 'a secret key', '__main__', ['*']\n"
        )
        first = begin + example("DEFAULT_AUTHENTICATION_CLASSES") + example("CORS_ALLOWED_ORIGINS")
        email, id = register()
        for settings, kind in [(first, "TokenUser"), (first + example("INSTALLED_APPS +="), "User")]:
            with self.subTest(kind):
                code = f"from django.conf import settings\nnames = {{}}\nexec({settings!r}, names)\n"
                code += "settings.configure(**{name: value for name, value in names.items() if name.isupper()})\n"
                lines = self.run_code(code + APPLICATION, log_in(email)["access"])
                self.assertEqual(lines, [f'200 {{"kind":"{kind}","sub":"{id}"}}', "200 https://app.example.com"])

    def test_moved_accounts(self):
        code = (
            "import django\nfrom django.conf import settings\n"
            "settings.configure(INSTALLED_APPS=['django.contrib.auth', 'django.contrib.contenttypes'],\n"
            "    DATABASES={'default': {'ENGINE': 'django.db.backends.sqlite3', 'NAME': ':memory:'}})\n"
            "django.setup()\nfrom django.core.management import call_command\ncall_command('migrate', verbosity=0)\n"
            "from django.contrib.auth.models import User\n"
            "User.objects.create_user('ada', password='correct horse 9')\nUser.objects.create_superuser('root', password='correct horse 9')\n"
            + example("make_password")
            + "print(*(user.has_usable_password() for user in User.objects.order_by('pk')))\n"
        )
        self.assertEqual(self.run_code(code), ["False True"])

    def run_code(self, code, *arguments):
        environment = os.environ | {"PYTHONPATH": str(README.parent)}
        command = [sys.executable, "-c", code, *arguments]
        return subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE, text=True, timeout=60).stdout.splitlines()
