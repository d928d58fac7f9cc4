"""Makes golden/model_signing.sig with the public package (pip install model-signing==1.1.1 pyopenssl).

The signature covers a directory with the two files below; the key is thrown away.
"""

import pathlib
import tempfile

import model_signing
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

GOLDEN = pathlib.Path(__file__).parent / "golden"
FILES = {"config.json": b"{}\n", "weights.bin": bytes(range(256))}

with tempfile.TemporaryDirectory() as name:
    root = pathlib.Path(name) / "model"
    root.mkdir()
    for file, data in FILES.items():
        (root / file).write_bytes(data)
    key = ec.generate_private_key(ec.SECP256R1())
    private = pathlib.Path(name) / "key.pem"
    private.write_bytes(key.private_bytes(serialization.Encoding.PEM,
                                          serialization.PrivateFormat.PKCS8,
                                          serialization.NoEncryption()))
    model_signing.signing.Config().use_elliptic_key_signer(private_key=private).sign(
        root, GOLDEN / "model_signing.sig")
    (GOLDEN / "model_signing.pub").write_bytes(key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo))
