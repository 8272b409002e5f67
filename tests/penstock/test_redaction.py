"""What must not be shown."""

from __future__ import annotations

import pytest

from penstock.redaction import redact


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("cannot reach https://me:s3cret@db.example/x", "cannot reach https://me:***@db.example/x"),
        ("postgresql://me:a@b@db.example/x failed", "postgresql://me:***@db.example/x failed"),
        ("GET https://h/a.csv?sig=abc%2F&v=2", "GET https://h/a.csv?sig=***&v=2"),
        (
            "https://h/a?X-Amz-Credential=K&access_token=T'",
            "https://h/a?X-Amz-Credential=***&access_token=***'",
        ),
        ("s3://bucket/2013-06-01T10:00@home.csv", "s3://bucket/2013-06-01T10:00@home.csv"),
    ],
)
def test_secrets_of_urls_are_hidden(text: str, shown: str) -> None:
    """Passwords before the host and secret query fields are hidden, everything else stays."""
    assert redact(text) == shown


def test_given_secrets_are_hidden_in_either_spelling() -> None:
    """A password is hidden as the URL spells it and as it is meant."""
    assert redact("wrong: p@ss, p%40ss", "p%40ss", None) == "wrong: ***, ***"
