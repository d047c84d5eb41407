"""Every text a user sees, in Chinese and in English, side by side where it is used."""

from huashen.config import language


def tr(en: str, zh: str) -> str:
    """Return the text in the user's language: `HUASHEN_LANG` (en or zh), else the locale's, else English."""
    return zh if language() == "zh" else en
