"""Is the bundle signed by whom it should be? With the OpenSSF's model signing, installed only where it is needed."""

from pathlib import Path

from gitmodel.base.project import UserError, one_line


def require_signed(directory: Path, public_key: Path, signature: Path | None = None) -> None:
    """Raise UserError unless the signature (`<bundle>.sig` beside the bundle) was made with the key's other half."""
    signature = signature or directory.with_name(f"{directory.name}.sig")
    for path, remedy in ((public_key, "name the file of the public key"), (signature, "sign the bundle first")):
        if not path.is_file():
            raise UserError(f"{path} is missing: {remedy}")
    try:
        from model_signing.verifying import Config
    except ImportError:
        raise UserError("--public-key needs model-signing: pip install model-signing pyopenssl") from None
    try:
        Config().use_elliptic_key_verifier(public_key=public_key).verify(directory, signature)
    except Exception as error:  # it has no common class of errors
        reason = one_line(error)[:200] or type(error).__name__
        raise UserError(f"{directory} is not what was signed ({reason}): do not serve it, fetch it anew") from None
