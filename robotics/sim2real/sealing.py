"""Numbers in a sealed envelope: anyone can check afterwards that they were never changed, no one can read them without
the key. From Python's standard library alone.

* Commitment: SHA-256 of a random salt and the canonical text. Published, it binds whoever made it.
* Secrecy: the text XOR a keystream, HMAC-SHA256(key, nonce || counter); then a tag over it, HMAC-SHA256 again. Both
  keys come from the user's by scrypt (RFC 7914): guessing short ones is slow, but only a long random one is safe.

The text is padded, so that its length tells nothing.
"""

import hashlib
import hmac
import json
import secrets
from typing import Any

from robotics.errors import DataError

PAD = 2048
_SCRYPT = {"n": 2**14, "r": 8, "p": 1}


def commitment(salt: bytes, content: Any) -> str:
    """What is published: SHA-256 of salt and content, in hexadecimal."""
    return hashlib.sha256(salt + _canonical(content)).hexdigest()


def seal(content: Any, key: str, public: Any) -> dict[str, str]:
    """`content` (JSON) locked with `key`; whoever opens it finds out if `public` beside it was changed."""
    salt, nonce = secrets.token_bytes(32), secrets.token_bytes(16)
    text = _canonical({"salt": salt.hex(), "content": content})
    text += b" " * (-len(text) % PAD)
    cipher_key, mac_key = _keys(key, nonce)
    cipher = _xor(text, cipher_key, nonce)
    return {
        "commitment": commitment(salt, content),
        "nonce": nonce.hex(),
        "ciphertext": cipher.hex(),
        "tag": _tag(mac_key, nonce, cipher, public),
    }


def unseal(envelope: dict[str, str], key: str, public: Any) -> Any:
    """The content. DataError for a wrong key or a changed file, and when the commitment does not hold."""
    try:
        nonce, cipher = bytes.fromhex(envelope["nonce"]), bytes.fromhex(envelope["ciphertext"])
        tag, committed = envelope["tag"], envelope["commitment"]
    except (KeyError, TypeError, ValueError):
        raise DataError("the envelope is damaged: nonce, ciphertext, tag or commitment is missing") from None
    cipher_key, mac_key = _keys(key, nonce)
    if not hmac.compare_digest(_tag(mac_key, nonce, cipher, public).encode(), str(tag).encode()):
        raise DataError("the key does not fit, or the file was changed")
    opened = json.loads(_xor(cipher, cipher_key, nonce))
    if commitment(bytes.fromhex(opened["salt"]), opened["content"]) != committed:
        raise DataError("its content is not what was committed to")
    return opened["content"]


def _canonical(content: Any) -> bytes:
    return json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()


def _keys(key: str, nonce: bytes) -> tuple[bytes, bytes]:
    derived = hashlib.scrypt(key.encode(), salt=nonce, dklen=64, **_SCRYPT)
    return derived[:32], derived[32:]


def _xor(text: bytes, key: bytes, nonce: bytes) -> bytes:
    blocks = range((len(text) + 31) // 32)
    stream = b"".join(hmac.digest(key, nonce + block.to_bytes(8, "big"), "sha256") for block in blocks)
    return bytes(a ^ b for a, b in zip(text, stream, strict=False))


def _tag(key: bytes, nonce: bytes, cipher: bytes, public: Any) -> str:
    return hmac.new(key, nonce + cipher + _canonical(public), hashlib.sha256).hexdigest()
