"""docs/sealed_format.md in Python, written from that page alone: what unswift is compared with.

Needs PyNaCl and cryptography (Debian: python3-nacl, python3-cryptography).

    python3 sealed_format.py vectors    prints the test vectors of the page, freshly made
"""

import base64
import hashlib
import json
import struct
import sys

import nacl.bindings
import nacl.public
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

MAGIC = b"unswift sealed\n\x1a"
TAG_BYTES = 16
ALIGNMENT = 64
RAW = dict(encoding=serialization.Encoding.Raw)


class Refused(Exception):
    pass


def public_pem(private):
    return private.public_key().public_bytes(serialization.Encoding.PEM,
                                             serialization.PublicFormat.SubjectPublicKeyInfo)


def private_pem(private):
    return private.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
                                 serialization.NoEncryption())


def key_id(pem):
    return hashlib.sha256(pem).hexdigest()


def box_key(private):
    return nacl.public.PrivateKey(private.private_bytes(
        **RAW, format=serialization.PrivateFormat.Raw,
        encryption_algorithm=serialization.NoEncryption()))


def decrypt_chunk(cipher, key, index, sealed, associated):
    try:
        if cipher == "aes-256-gcm":
            return AESGCM(key).decrypt(struct.pack("<QI", index, 0), sealed, associated)
        if cipher == "xchacha20-poly1305":
            return nacl.bindings.crypto_aead_xchacha20poly1305_ietf_decrypt(
                sealed, associated, struct.pack("<QQQ", index, 0, 0), key)
    except (InvalidTag, nacl.exceptions.CryptoError) as error:
        raise Refused(f"chunk {index}") from error
    raise Refused(f"cipher {cipher}")


def encrypt_chunk(cipher, key, index, plain, associated):
    if cipher == "aes-256-gcm":
        return AESGCM(key).encrypt(struct.pack("<QI", index, 0), plain, associated)
    return nacl.bindings.crypto_aead_xchacha20poly1305_ietf_encrypt(
        plain, associated, struct.pack("<QQQ", index, 0, 0), key)


def align(offset):
    return -(-offset // ALIGNMENT) * ALIGNMENT


def read(data, private):
    """{name: bytes} of a sealed file."""
    if data[:16] != MAGIC:
        raise Refused("magic")
    length, = struct.unpack("<I", data[16:20])
    start = 20 + length
    header = json.loads(data[20:start])
    if header["format"] != "unswift-sealed" or header["format_version"] != 1:
        raise Refused("version")
    own = key_id(public_pem(private))
    wrapped = [entry["wrapped_key"] for entry in header["recipients"] if entry["key_id"] == own]
    if not wrapped:
        raise Refused("recipient")
    key = nacl.public.SealedBox(box_key(private)).decrypt(base64.b64decode(wrapped[0]))
    digest = hashlib.sha256(data[:start]).digest()
    size, total = header["chunk_bytes"], header["payload_bytes"]
    chunks = -(-total // size)
    if len(data) != start + total + chunks * TAG_BYTES:
        raise Refused("length")
    payload = b""
    for index in range(chunks):
        plain = min(size, total - index * size)
        at = start + index * (size + TAG_BYTES)
        payload += decrypt_chunk(header["cipher"], key, index, data[at:at + plain + TAG_BYTES],
                                 digest + struct.pack("<Q", index))
    table, = struct.unpack("<Q", payload[:8])
    files, end = {}, 8 + table
    for entry in json.loads(payload[8:8 + table])["files"]:
        begin = align(end)
        end = begin + entry["bytes"]
        files[entry["path"]] = payload[begin:end]
    if end != total:
        raise Refused("table")
    return files


def write(files, publics, cipher, chunk_bytes, key):
    """A sealed file; publics: PEM public keys."""
    table = json.dumps({"files": [{"path": name, "bytes": len(data)}
                                  for name, data in sorted(files.items())]}).encode()
    payload = struct.pack("<Q", len(table)) + table
    for _, data in sorted(files.items()):
        payload = payload.ljust(align(len(payload)), b"\0") + data
    recipients = []
    for pem in publics:
        raw = serialization.load_pem_public_key(pem).public_bytes(
            **RAW, format=serialization.PublicFormat.Raw)
        box = nacl.public.SealedBox(nacl.public.PublicKey(raw))
        recipients.append({"key_id": key_id(pem),
                           "wrapped_key": base64.b64encode(box.encrypt(key)).decode()})
    header = json.dumps({"format": "unswift-sealed", "format_version": 1, "cipher": cipher,
                         "chunk_bytes": chunk_bytes, "payload_bytes": len(payload),
                         "recipients": recipients}).encode()
    head = MAGIC + struct.pack("<I", len(header)) + header
    digest = hashlib.sha256(head).digest()
    return head + b"".join(
        encrypt_chunk(cipher, key, index, payload[begin:begin + chunk_bytes],
                      digest + struct.pack("<Q", index))
        for index, begin in enumerate(range(0, len(payload), chunk_bytes)))


def print_vectors():
    files = {"config.json": b'{"hidden_size": 4}\n', "empty": b"", "weights.bin": bytes(range(40))}
    for cipher in ("aes-256-gcm", "xchacha20-poly1305"):
        private = X25519PrivateKey.generate()
        key = hashlib.sha256(b"the file key of a test vector: " + cipher.encode()).digest()
        sealed = base64.b64encode(write(files, [public_pem(private)], cipher, 128, key)).decode()
        vector = {"cipher": cipher, "private_key": private_pem(private).decode().splitlines(),
                  "file_key": key.hex(),
                  "files": {name: base64.b64encode(data).decode()
                            for name, data in files.items()},
                  "sealed": [sealed[i:i + 96] for i in range(0, len(sealed), 96)]}
        print("```json vector\n" + json.dumps(vector, indent=1) + "\n```\n")


if __name__ == "__main__" and sys.argv[1:] == ["vectors"]:
    print_vectors()
