"""TLS to PostgreSQL: whose certificate is believed, and for which host. Starts a server of its own."""

import datetime
import os
import subprocess
import tempfile
import unittest
from pathlib import Path
from urllib.parse import quote

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

ROOT = Path(__file__).resolve().parents[2]
DOORWARDEN = os.environ["DOORWARDEN_TEST_BINARY"]


class Authority:
    """Signs certificates, its own first."""

    def __init__(self, name):
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self.certificate = self.sign(self.name, self.key, x509.BasicConstraints(ca=True, path_length=0))

    def sign(self, name, key, extension):
        now = datetime.datetime.now(datetime.timezone.utc)
        builder = x509.CertificateBuilder().subject_name(name).issuer_name(self.name).public_key(key.public_key())
        builder = builder.serial_number(x509.random_serial_number()).not_valid_before(now - datetime.timedelta(hours=1))
        builder = builder.not_valid_after(now + datetime.timedelta(hours=1)).add_extension(extension, critical=False)
        return builder.sign(self.key, hashes.SHA256())

    def for_host(self, host):
        """A key and a certificate of this host, as PEM."""
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host)])
        certificate = self.sign(name, key, x509.SubjectAlternativeName([x509.DNSName(host)]))
        private = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        return private, pem(certificate)


def pem(certificate):
    return certificate.public_bytes(serialization.Encoding.PEM)


def postgres(operation, folder):
    command = [str(ROOT / "scripts" / "postgres"), operation, str(folder)]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.strip()


class PostgresTls(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        scratch = tempfile.TemporaryDirectory()
        cls.addClassCleanup(scratch.cleanup)
        cls.scratch = Path(scratch.name)
        # The server's user passes through.
        cls.scratch.chmod(0o755)
        ours, others = Authority("ours"), Authority("others")
        for name, authority in (("ours", ours), ("others", others)):
            (cls.scratch / f"{name}.pem").write_bytes(pem(authority.certificate))
        server = cls.scratch / "server"
        cls.url = postgres("start", server)
        cls.addClassCleanup(postgres, "stop", server)
        cls.refused_without_tls = cls.connects("require")
        postgres("stop", server)
        key, certificate = ours.for_host("localhost")
        data = server / "data"
        owner = data.stat()
        for name, content in (("server.key", key), ("server.crt", certificate)):
            (data / name).write_bytes(content)
            (data / name).chmod(0o600)
            os.chown(data / name, owner.st_uid, owner.st_gid)
        with open(data / "postgresql.conf", "a") as configuration:
            configuration.write("ssl = on\n")
        postgres("start", server)

    @classmethod
    def connects(cls, mode, host="localhost", roots=None):
        """What `doorwarden migrate` says when it connects in this way."""
        url = f"{cls.url.replace('127.0.0.1', host)}?sslmode={mode}"
        if roots:
            url += f"&sslrootcert={quote(str(cls.scratch / roots))}"
        command = [DOORWARDEN, "migrate", "--database-url", url]
        return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60)

    def accepted(self, *arguments, **named):
        done = self.connects(*arguments, **named)
        self.assertEqual(done.returncode, 0, done.stdout)

    def refused(self, *arguments, **named):
        done = self.connects(*arguments, **named)
        self.assertNotEqual(done.returncode, 0, done.stdout)
        return done.stdout

    def test_a_server_without_tls_is_refused_where_tls_is_required(self):
        self.assertNotEqual(self.refused_without_tls.returncode, 0, self.refused_without_tls.stdout)

    def test_the_certificate_of_the_host_by_the_given_authority_is_believed(self):
        self.accepted("verify-full", roots="ours.pem")

    def test_a_certificate_of_another_authority_is_refused(self):
        self.assertIn("certificate", self.refused("verify-full", roots="others.pem"))

    def test_the_system_knows_no_authority_that_would_have_signed_it(self):
        self.assertIn("certificate", self.refused("verify-full"))

    def test_a_certificate_of_another_host_is_refused(self):
        self.assertIn("certificate", self.refused("verify-full", host="127.0.0.1", roots="ours.pem"))

    def test_require_with_roots_checks_as_verify_full_does(self):
        self.accepted("require", roots="ours.pem")
        self.refused("require", roots="others.pem")

    def test_require_and_prefer_encrypt_without_checking(self):
        self.accepted("require")
        self.accepted("prefer")

    def test_disable_does_not_encrypt(self):
        self.accepted("disable")


if __name__ == "__main__":
    unittest.main()
