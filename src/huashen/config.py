"""Where settings come from. Only this module and `weights` read the environment."""

import locale
import os
from functools import lru_cache
from pathlib import Path
from typing import Literal


@lru_cache(maxsize=1)
def language() -> Literal["en", "zh"]:
    """Return the language of texts: `HUASHEN_LANG`, else that of the locale, else English."""
    for name in ("HUASHEN_LANG", "LC_ALL", "LC_MESSAGES", "LANG"):
        value = os.environ.get(name, "")
        if value:
            return "zh" if value.lower().startswith("zh") else "en"
    return "zh" if (locale.getlocale()[0] or "").lower().startswith(("zh", "chinese")) else "en"


def home() -> Path:
    """Return the folder for weights and prepared avatars: `HUASHEN_HOME`, else `~/.cache/huashen`."""
    value = os.environ.get("HUASHEN_HOME")
    return Path(value).expanduser() if value else Path.home() / ".cache" / "huashen"


def offline() -> bool:
    """Return whether `HUASHEN_OFFLINE` forbids fetching anything."""
    return os.environ.get("HUASHEN_OFFLINE", "") not in ("", "0", "no", "false")
