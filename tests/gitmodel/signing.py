"""Sign a bundle as `model_signing sign key` does, for tests."""

import json
from base64 import b64encode
from hashlib import sha256

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

KIND = "application/vnd.in-toto+json"


def sign(bundle, signature, curve=None, **changes):
    """Write the signature of a bundle's files, and return the public key as PEM; `changes` are of the serialization."""
    key = ec.generate_private_key(curve or ec.SECP256R1())
    names = sorted(path.name for path in bundle.iterdir())
    resources = [
        {"name": name, "algorithm": "sha256", "digest": sha256((bundle / name).read_bytes()).hexdigest()}
        for name in names
    ]
    how = {"method": "files", "hash_type": "sha256", "allow_symlinks": False, **changes}
    predicate = {"serialization": how, "resources": resources}
    kinds = {"_type": "https://in-toto.io/Statement/v1", "predicateType": "https://model_signing/signature/v1.0"}
    payload = json.dumps({**kinds, "predicate": predicate}).encode()
    digest = {256: hashes.SHA256(), 384: hashes.SHA384(), 521: hashes.SHA512()}[key.curve.key_size]
    message = b"DSSEv1 %d %b %d %b" % (len(KIND), KIND.encode(), len(payload), payload)
    signed = b64encode(key.sign(message, ec.ECDSA(digest))).decode()
    envelope = {"payload": b64encode(payload).decode(), "payloadType": KIND, "signatures": [{"sig": signed}]}
    signature.write_text(json.dumps({"dsseEnvelope": envelope}), encoding="utf-8")
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    return key.public_key().public_bytes(serialization.Encoding.PEM, form)
