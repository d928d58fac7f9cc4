"""Keys, signatures and sealed files, against the public model_signing package and a reader in Python."""

import base64
import hashlib
import json
import os
import pathlib
import shutil
import stat
import subprocess
import sys
import tempfile
import unittest

from program import DATA, ROOT, InTemporaryDirectory, needs, run, run_json

STORIES = DATA / "models/stories260K"
# The first forgets to ask for the second.
PACKAGES = ["model-signing==1.1.1", "pyopenssl==26.4.0", "pynacl==1.6.2"]


def environment():
    """A Python environment with the public packages, made once under build/."""
    target = ROOT / "build/assets/provenance-venv"
    if not (target / "complete").exists():
        try:
            subprocess.run([sys.executable, "-m", "venv", "--clear", target], check=True,
                           capture_output=True)
            subprocess.run([target / "bin/pip", "install", "--quiet", *PACKAGES], check=True,
                           capture_output=True, timeout=300)
            (target / "complete").touch()
        except (subprocess.SubprocessError, OSError) as error:
            raise unittest.SkipTest(f"pip cannot provide {' '.join(PACKAGES)}: {error}")
    return target


def model_signing():
    return environment() / "bin/model_signing"


def python_reader():
    """sealed_format, with the packages of the system or else of pip."""
    try:
        import sealed_format
    except ImportError:
        version = f"python{sys.version_info.major}.{sys.version_info.minor}"
        sys.path.append(str(environment() / "lib" / version / "site-packages"))
        import sealed_format
    return sealed_format


def private_key(path):
    from cryptography.hazmat.primitives import serialization
    return serialization.load_pem_private_key(pathlib.Path(path).read_bytes(), None)


def openssl(*arguments):
    subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True)


@needs(STORIES)
class Provenance(InTemporaryDirectory):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.release = cls.path / "release"
        run("protect", STORIES, "-o", cls.release, "--max-tokens", "512", "--recipient", "ACME",
            "--licence", "evaluation only", "--expires", "9999-12-31", "--release-version", "2")
        cls.key, cls.box = cls.path / "key", cls.path / "box"
        run("keygen", "-o", cls.key)
        run("keygen", "-o", cls.box, "--type", "sealing")
        cls.signed = cls.path / "signed"
        shutil.copytree(cls.release, cls.signed)
        run("sign", cls.signed, "--key", cls.key)
        cls.sealed = cls.path / "sealed"
        run("seal", cls.signed, "--to", f"{cls.box}.pub", "-o", cls.sealed)

    def copy(self, name):
        target = pathlib.Path(tempfile.mkdtemp(dir=self.path)) / name
        shutil.copytree(self.signed, target)
        return target

    def generate(self, model, *flags, check=0):
        return run("generate", model, "--prompt", "Once", "--max-new-tokens", "8", *flags,
                   check=check)

    # Signatures.

    def test_model_signing_verifies_ours(self):
        program = model_signing()
        verify = [program, "verify", "key", self.signed, "--signature",
                  self.signed / "unswift.sig", "--public_key", f"{self.key}.pub"]
        done = subprocess.run(verify, capture_output=True, text=True)
        self.assertEqual(done.returncode, 0, done.stderr)
        changed = self.copy("changed")
        with open(changed / "config.json", "a") as file:
            file.write(" ")
        verify[3], verify[5] = changed, changed / "unswift.sig"
        self.assertNotEqual(subprocess.run(verify, capture_output=True).returncode, 0)

    def test_we_verify_model_signing(self):
        program = model_signing()
        for curve in ("prime256v1", "secp384r1", "secp521r1"):
            with self.subTest(curve):
                release = self.copy(curve)
                (release / "unswift.sig").unlink()
                key = self.path / curve
                openssl("ecparam", "-name", curve, "-genkey", "-noout", "-out", key)
                openssl("pkey", "-in", key, "-pubout", "-out", f"{key}.pub")
                subprocess.run([program, "sign", "key", release, "--private_key", key,
                                "--signature", release / "unswift.sig"], check=True,
                               capture_output=True)
                result = run_json("verify", release, "--key", f"{key}.pub")
                self.assertEqual((result["holds"], result["signature"]["valid"]), (True, True))
                self.generate(release, "--require-signature", f"{key}.pub")
                self.generate(release, "--require-signature", f"{self.key}.pub", check=2)

    def test_verify_says_what_holds(self):
        result = run_json("verify", self.signed, "--key", f"{self.key}.pub")
        self.assertTrue(result["holds"])
        key_id = hashlib.sha256(pathlib.Path(f"{self.key}.pub").read_bytes()).hexdigest()
        self.assertEqual(result["signature"], {"present": True, "valid": True, "key_id": key_id})
        run("keygen", "-o", self.path / "other")
        without = run_json("verify", self.signed)
        self.assertEqual(without["signature"], {"present": True, "valid": None, "key_id": None})
        unsigned = run_json("verify", self.release, "--key", f"{self.key}.pub", check=1)
        self.assertEqual(unsigned["signature"]["valid"], False)
        self.assertIn("got none", unsigned["problem"])
        other = run_json("verify", self.signed, "--key", f"{self.path / 'other'}.pub", check=1)
        self.assertIn("expected one by key", other["problem"])
        run("verify", self.signed, "--key", f"{self.key}.pub", "--min-version", "2")
        run("verify", self.signed, "--key", f"{self.key}.pub", "--min-version", "3", check=1)

    def test_every_command_that_opens_a_model_can_require_a_signature(self):
        prompts, text = self.path / "prompts.jsonl", self.path / "text"
        prompts.write_text('{"prompt": "Once"}\n')
        text.write_text("Once upon a time there was a little girl.\n" * 4)
        commands = [["generate", "--prompt", "Once", "--max-new-tokens", "2"],
                    ["logits", "--prompts-file", prompts],
                    ["perplexity", "--text-file", text, "--window", "16"],
                    ["tokenize", "--text", "Once"], ["inspect"],
                    ["bench", "--prompt-tokens", "2", "--new-tokens", "1", "--repetitions", "1"],
                    ["verify", "--against", STORIES, "--text-file", text, "--repetitions", "1",
                     "--max-new-tokens", "2"]]
        require = ["--require-signature", f"{self.key}.pub"]
        for command, *flags in commands:
            with self.subTest(command):
                run(command, self.signed, *flags, *require, "--min-version", "2", check=None
                    if command == "verify" else 0)
                for refused in (run(command, self.release, *flags, *require, check=2),
                                run(command, self.signed, *flags, *require, "--min-version", "3",
                                    check=2)):
                    self.assertEqual(refused.stdout, b"")
        plain = self.path / "plain"
        shutil.copytree(STORIES, plain, copy_function=shutil.copyfile)
        calibrate = ["calibrate", plain, "-o", self.path / "statistics", "--max-tokens", "64",
                     "--window", "32", *require]
        protect = ["protect", plain, "-o", self.path / "again", "--max-tokens", "64", "--window",
                   "32", *require]
        for command in (calibrate, protect):
            self.assertIn(b"expected a signature", run(*command, check=2).stderr)
        for inner in [path for path in plain.iterdir() if path.is_dir()]:
            shutil.rmtree(inner)
        run("sign", plain, "--key", self.key)
        run(*calibrate)
        run(*protect)

    def test_manifest_terms(self):
        done = self.generate(self.signed)
        for part in (b"ACME", b"evaluation only", b"9999-12-31"):
            self.assertIn(part, done.stderr)
        expired = self.path / "expired"
        run("protect", STORIES, "-o", expired, "--max-tokens", "512", "--expires", "2001-01-01")
        self.assertIn(b"expired on 2001-01-01", self.generate(expired, check=2).stderr)
        self.generate(expired, "--ignore-expiry")
        self.assertEqual(run_json("inspect", expired)["expires"], "2001-01-01")
        self.assertEqual(run_json("inspect", self.signed)["release_version"], 2)
        run("protect", STORIES, "-o", self.path / "never", "--expires", "soon", check=2)

    # Keys.

    def test_keys(self):
        self.assertEqual(stat.S_IMODE(os.stat(self.key).st_mode), 0o600)
        self.assertIn(b"force", run("keygen", "-o", self.key, check=2).stderr)
        for key in (self.key, self.box):  # openssl reads both, and agrees on the public half
            public = subprocess.run(["openssl", "pkey", "-in", key, "-pubout"], check=True,
                                    capture_output=True).stdout
            self.assertEqual(public, pathlib.Path(f"{key}.pub").read_bytes())
        shared = self.path / "shared-key"
        shutil.copyfile(self.key, shared)
        os.chmod(shared, 0o644)
        refused = run("sign", self.signed, "--key", shared, "--force", check=2)
        self.assertIn(b"chmod 600", refused.stderr)
        self.assertIn(b"signing", run("sign", self.signed, "--key", self.box, check=2).stderr)
        run("keygen", "-o", self.key.with_name("third"))
        secret = "".join(pathlib.Path(self.path / "third").read_text().splitlines()[1:-1])
        output = run("sign", self.copy("quiet"), "--key", self.path / "third", "--force", "--json",
                     "-v")
        self.assertNotIn(secret[:40].encode(), output.stdout + output.stderr)

    # Sealed files.

    def test_python_reads_ours(self):
        reader = python_reader()
        private = private_key(self.box)
        expected = {path.name: path.read_bytes() for path in self.signed.iterdir()}
        for cipher in ("aes-256-gcm", "xchacha20-poly1305"):
            target = self.path / cipher
            run("seal", self.signed, "--to", f"{self.box}.pub", "-o", target, "--cipher", cipher)
            self.assertEqual(reader.read(target.read_bytes(), private), expected)

    def test_we_read_pythons(self):
        writer = python_reader()
        files = {path.name: path.read_bytes() for path in self.signed.iterdir()}
        other = writer.X25519PrivateKey.generate()
        publics = [writer.public_pem(other), pathlib.Path(f"{self.box}.pub").read_bytes()]
        for cipher in ("aes-256-gcm", "xchacha20-poly1305"):
            sealed = self.path / f"python-{cipher}"
            sealed.write_bytes(writer.write(files, publics, cipher, 4096, os.urandom(32)))
            target = self.path / f"opened-{cipher}"
            run("unseal", sealed, "--key", self.box, "-o", target)
            self.assertEqual({path.name: path.read_bytes() for path in target.iterdir()}, files)

    def test_python_reads_the_vectors_of_the_page(self):
        reader = python_reader()
        page = (ROOT / "docs/sealed_format.md").read_text()
        blocks = page.split("```json vector\n")[1:]
        self.assertEqual(len(blocks), 2)
        for block in blocks:
            vector = json.loads(block.split("```")[0])
            key = self.path / "vector-key"
            key.write_text("\n".join(vector["private_key"]))
            sealed = base64.b64decode("".join(vector["sealed"]))
            files = reader.read(sealed, private_key(key))
            self.assertEqual({name: base64.b64encode(data).decode()
                              for name, data in files.items()}, vector["files"])

    def test_a_sealed_release_runs_in_memory(self):
        expected = self.generate(self.signed).stdout
        flags = ["--unseal-key", self.box, "--require-signature", f"{self.key}.pub"]
        done = self.generate(self.sealed, *flags)
        self.assertEqual(done.stdout, expected)
        self.assertIn(b"ACME", done.stderr)
        self.assertTrue(run_json("verify", self.sealed, "--unseal-key", self.box, "--key",
                                 f"{self.key}.pub")["holds"])
        self.assertEqual(run_json("tokenize", self.sealed, "--text", "Once", "--unseal-key",
                                  self.box)["ids"],
                         run_json("tokenize", self.signed, "--text", "Once")["ids"])
        self.assertIn(b"--unseal-key", self.generate(self.sealed, check=2).stderr)

    def test_a_sealed_file_opens_for_its_recipients_alone(self):
        second, stranger = self.path / "second", self.path / "stranger"
        for key in (second, stranger):
            run("keygen", "-o", key, "--type", "sealing")
        sealed = self.path / "for-two"
        run("seal", self.release, "--to", f"{self.box}.pub", "--to", f"{second}.pub", "-o", sealed)
        for key in (self.box, second):
            run("unseal", sealed, "--key", key, "-o", self.path / f"by-{key.name}")
            self.assertEqual({p.name: p.read_bytes() for p in (self.path / f"by-{key.name}").iterdir()},
                             {p.name: p.read_bytes() for p in self.release.iterdir()})
        target = self.path / "by-stranger"
        run("unseal", sealed, "--key", stranger, "-o", target, check=2)
        data = bytearray(sealed.read_bytes())
        data[-1] ^= 1  # seen only at the very end
        broken = self.path / "broken"
        broken.write_bytes(data)
        run("unseal", broken, "--key", second, "-o", target, check=2)
        self.generate(broken, "--unseal-key", second, check=2)
        self.assertEqual([path.name for path in self.path.iterdir() if "by-stranger" in path.name],
                         [])


if __name__ == "__main__":
    unittest.main()
