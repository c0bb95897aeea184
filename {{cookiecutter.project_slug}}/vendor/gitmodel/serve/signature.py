"""Is the bundle signed by whom it should be? The format is that of the OpenSSF's model signing, `sign key`.

A signature is a Sigstore bundle with a DSSE envelope around an in-toto statement, which lists the SHA-256 of each file:
https://github.com/secure-systems-lab/dsse/blob/master/protocol.md. What is compared with that list are the bytes that
are served, not the files that they came from.
"""

from base64 import b64decode
from hashlib import sha256
from pathlib import Path
from typing import Any

from gitmodel.base.files import parse_json, read_bytes
from gitmodel.base.outlet import words
from gitmodel.base.project import UserError
from gitmodel.bundle.contents import MANIFEST, Contents

STATEMENT = "application/vnd.in-toto+json"
PREDICATE = "https://model_signing/signature/v1.0"


def require_signed(contents: Contents, public_key: Path, signature: Path | None = None) -> None:
    """Raise UserError unless the signature (`<bundle>.sig` beside the bundle) was made with the key's other half."""
    directory = contents.directory
    signature = signature or directory.with_name(f"{directory.name}.sig")
    for path, remedy in ((public_key, "name the file of the public key"), (signature, "sign the bundle first")):
        if not path.is_file():
            raise UserError(f"{path} is missing: {remedy}")
    try:
        signed = _statement(_read(signature), _read(public_key))
        reason = _difference(_listed(signed), {MANIFEST: contents.stated, **contents.files})
    except (ValueError, KeyError, TypeError, IndexError) as error:
        reason = f"its signature cannot be verified: {words(error)[:150]}"
    if reason:
        raise UserError(f"{directory} is not what was signed ({reason}): do not serve it, fetch it anew")


def _statement(signature: bytes, public_key: bytes) -> dict[str, Any]:
    """Return what was signed; ValueError if another key signed it; that, KeyError or such if it is malformed."""
    envelope = parse_json(signature)["dsseEnvelope"]
    payload, (signed,) = b64decode(envelope["payload"]), envelope["signatures"]
    kind = str(envelope["payloadType"]).encode()
    if kind != STATEMENT.encode():
        raise ValueError(f"the signature is of {kind!r}")
    _require_key(public_key, b64decode(signed["sig"]), b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload))
    statement: dict[str, Any] = parse_json(payload)
    if statement["predicateType"] != PREDICATE:
        raise ValueError("the signature is not that of a model")
    return statement


def _require_key(public_key: bytes, signature: bytes, message: bytes) -> None:
    """Raise ValueError unless the signature of these bytes was made with the key's other half."""
    try:
        from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
        from cryptography.hazmat.primitives import hashes, serialization
        from cryptography.hazmat.primitives.asymmetric import ec
    except ImportError:
        raise UserError("--public-key needs cryptography: pip install cryptography") from None
    try:
        key = serialization.load_pem_public_key(public_key)
    except UnsupportedAlgorithm as error:
        raise ValueError(error) from None
    if not isinstance(key, ec.EllipticCurvePublicKey) or key.key_size not in (256, 384, 521):
        raise ValueError("the key is not one of P-256, P-384 or P-521")
    digest = {256: hashes.SHA256(), 384: hashes.SHA384(), 521: hashes.SHA512()}[key.key_size]
    try:
        key.verify(signature, message, ec.ECDSA(digest))
    except InvalidSignature:
        raise ValueError("another key made it, or it was changed") from None


def _listed(statement: dict[str, Any]) -> dict[str, str]:
    """Return the SHA-256 of each file that was signed."""
    said = statement["predicate"]
    if (said["serialization"]["method"], said["serialization"]["hash_type"]) != ("files", "sha256"):
        raise ValueError("it was not signed file by file with SHA-256, as `model_signing sign key` does")
    return {entry["name"]: entry["digest"] for entry in said["resources"] if entry["algorithm"] == "sha256"}


def _difference(signed: dict[str, str], files: dict[str, bytes]) -> str:
    """Return the first file that is not the signed one; empty if all are."""
    for name in sorted(signed.keys() | files.keys()):
        if name not in signed:
            return f"{name} is not in the signature"
        if name not in files:
            return f"{name} is missing"
        if sha256(files[name]).hexdigest() != signed[name]:
            return f"{name} was changed"
    return ""


def _read(path: Path) -> bytes:
    try:
        return read_bytes(path)
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}") from None
