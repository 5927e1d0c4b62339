"""What a visitor may ask: any text of reasonable length, in any script."""

from core.errors import InputError

MAX_PROMPT = 1_000
"""Characters; CLIP's tokenizer reads about the first 300."""


def clean_prompt(text: str) -> str:
    """The prompt with single spaces. InputError if it is empty, over 1,000 characters, or no valid Unicode."""
    if len(text) > MAX_PROMPT:
        raise InputError(
            f"This prompt has {len(text):,} characters; at most {MAX_PROMPT:,} are allowed, and CLIP reads only about "
            "the first 300."
        )
    cleaned = " ".join(text.split())
    if not any(c.isprintable() and c != " " for c in cleaned):
        raise InputError("This prompt is empty: write what the image might show, such as “a photo of a dog”.")
    try:
        cleaned.encode()
    except UnicodeEncodeError:
        raise InputError("This prompt holds characters that are not valid Unicode. Write it as plain text.") from None
    return cleaned
