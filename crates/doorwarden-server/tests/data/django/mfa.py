"""Makes django-mfa.sqlite3 and django-mfa.json beside it: accounts with the factors of django-otp and of django-allauth.

    target/python/bin/python crates/doorwarden-server/tests/data/django/mfa.py

Every factor is made, and where that leaves traces used, by the libraries themselves; pyotp computes the codes that
must be accepted. The passkey is that of a small authenticator, which django-allauth verifies.
"""

import base64
import hashlib
import json
import os
import struct
from pathlib import Path
from unittest import mock

import django
from django.conf import settings

HERE = Path(__file__).resolve().parent
DATABASE = HERE / "django-mfa.sqlite3"
# 2026-11-23T12:00:00Z, the time at which the tests log in.
NOON = 1_795_435_200
HOST = "accounts.example.org"

DATABASE.unlink(missing_ok=True)
settings.configure(
    SECRET_KEY="for the accounts of this file alone",
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": DATABASE}},
    DEFAULT_AUTO_FIELD="django.db.models.AutoField",
    INSTALLED_APPS=[
        "django.contrib.auth",
        "django.contrib.contenttypes",
        "django.contrib.sessions",
        "django_otp",
        "django_otp.plugins.otp_totp",
        "django_otp.plugins.otp_static",
        "allauth",
        "allauth.account",
        "allauth.mfa",
    ],
    MIDDLEWARE=["allauth.account.middleware.AccountMiddleware"],
    MFA_SUPPORTED_TYPES=["totp", "webauthn", "recovery_codes"],
    ALLOWED_HOSTS=[HOST],
    ROOT_URLCONF="allauth.urls",
    USE_TZ=True,
)
django.setup()

import pyotp  # noqa: E402
from allauth.core import context  # noqa: E402
from allauth.mfa.recovery_codes.internal.auth import RecoveryCodes  # noqa: E402
from allauth.mfa.totp.internal.auth import TOTP, generate_totp_secret  # noqa: E402
from allauth.mfa.webauthn.internal import auth as webauthn  # noqa: E402
from cryptography.hazmat.primitives.asymmetric import ec  # noqa: E402
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat  # noqa: E402
from django.contrib.auth.hashers import PBKDF2PasswordHasher  # noqa: E402
from django.contrib.auth.models import User  # noqa: E402
from django.core.management import call_command  # noqa: E402
from django.test import RequestFactory  # noqa: E402
from django_otp.plugins.otp_static.models import StaticDevice, StaticToken  # noqa: E402
from django_otp.plugins.otp_totp.models import TOTPDevice  # noqa: E402
from fido2 import cbor  # noqa: E402
from fido2.cose import ES256  # noqa: E402

PASSWORD = "correct horse battery"
expected = {}


def user(id, name):
    hash = PBKDF2PasswordHasher().encode(PASSWORD, "salt", iterations=1000)
    made = User.objects.create(id=id, username=name, email=f"{name}@example.com", password=hash)
    expected[name] = {"id": id, "password": PASSWORD}
    return made


def base64url(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def otp(owner, name, used_at=None, **fields):
    """A device of django-otp, whose newest code was accepted at this time."""
    device = TOTPDevice.objects.create(user=owner, name=name, **{"confirmed": True, **fields})
    secret = base64.b32encode(device.bin_key).decode()
    totp = pyotp.TOTP(secret, digits=device.digits, interval=device.step)
    if used_at:
        ahead = fields.get("drift", 0) * device.step
        with mock.patch("time.time", return_value=used_at):
            assert device.verify_token(totp.at(used_at + ahead))
    return totp


def static(owner, count):
    device = StaticDevice.objects.create(user=owner, name="backup", confirmed=True)
    tokens = [StaticToken.random_token() for _ in range(count)]
    for token in tokens:
        device.token_set.create(token=token)
    assert device.verify_token(tokens[0])
    return tokens


def passkey(owner, name):
    """A passkey, registered with the library as a browser does."""
    request = RequestFactory().get("/", HTTP_HOST=HOST, secure=True)
    request.session = {}
    with context.request_context(request):
        options = webauthn.begin_registration(owner, passwordless=True)["publicKey"]
        key = ec.generate_private_key(ec.SECP256R1())
        id = os.urandom(16)
        cose = cbor.encode(ES256.from_cryptography_key(key.public_key()))
        # UP, UV, BE, BS and AT, the counter at 7, and a nil AAGUID.
        data = hashlib.sha256(HOST.encode()).digest() + struct.pack(">BI", 0b1011101, 7)
        data += bytes(16) + struct.pack(">H", len(id)) + id + cose
        client_data = {"type": "webauthn.create", "challenge": options["challenge"], "origin": f"https://{HOST}"}
        response = {
            "id": base64url(id),
            "rawId": base64url(id),
            "type": "public-key",
            "clientExtensionResults": {"credProps": {"rk": True}},
            "response": {
                "clientDataJSON": base64url(json.dumps(client_data).encode()),
                "attestationObject": base64url(cbor.encode({"fmt": "none", "attStmt": {}, "authData": data})),
                "transports": ["internal", "hybrid"],
            },
        }
        webauthn.complete_registration(response)
        webauthn.WebAuthn.add(owner, name, response)
    pkcs8 = key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    return {
        "id": base64url(id),
        "user_handle": options["user"]["id"],
        "pkcs8": base64url(pkcs8),
        "sign_count": 7,
    }


call_command("migrate", verbosity=0)

ada = user(1, "ada")
phone = otp(ada, "Phone", used_at=NOON - 3600)
tokens = static(ada, 3)
expected["ada"] |= {"totp": phone.at(NOON), "codes": tokens[1:], "used": tokens[:1]}

ben = user(2, "ben")
secret = generate_totp_secret()
TOTP.activate(ben, secret)
codes = RecoveryCodes.activate(ben)
all_codes = codes.generate_codes()
assert codes.validate_code(all_codes[3])
expected["ben"] |= {
    "totp": pyotp.TOTP(secret).at(NOON),
    "codes": codes.get_unused_codes(),
    "used": [all_codes[3]],
}

cleo = user(40, "cleo")
expected["cleo"] |= {"passkey": passkey(cleo, "Laptop")}

dan = user(4, "dan")
token = otp(dan, "Token", used_at=NOON, digits=8, step=60)
expected["dan"] |= {"totp": token.at(NOON + 60), "used_totp": token.at(NOON)}

# What a device counts from another instant cannot be kept.
eve = user(5, "eve")
TOTPDevice.objects.create(user=eve, name="Odd", confirmed=True, t0=12345)

# A device that was never confirmed counts for nothing.
finn = user(6, "finn")
TOTPDevice.objects.create(user=finn, name="Begun", confirmed=False)

# Recovery codes alone are no second factor.
gil = user(7, "gil")
static(gil, 2)

# The clock of this device is 90 seconds ahead.
hal = user(8, "hal")
watch = otp(hal, "Watch", used_at=NOON - 3600, drift=3, tolerance=1)
migrated = RecoveryCodes.activate(hal)
migrated.instance.data = {"migrated_codes": ["abcd-2345", "wxyz-6789"]}
migrated.instance.save()
expected["hal"] |= {"late_totp": watch.at(NOON + 90), "totp": watch.at(NOON), "codes": ["abcd-2345", "WXYZ6789"]}

ivy = user(9, "ivy")

(HERE / "django-mfa.json").write_text(json.dumps(expected, indent=1) + "\n")
