"""The environment's key goes to no address that somebody else's folder names."""

from pathlib import Path

import pytest

from huashen import config
from huashen.errors import InputError

KEY = "sk-secret"
STRANGER = "https://stranger.example/v1"


@pytest.fixture(autouse=True)
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("home", "work"):
        (tmp_path / name).mkdir()
    monkeypatch.setenv("HUASHEN_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    monkeypatch.chdir(tmp_path / "work")


def names(folder: Path, url: str) -> None:
    (folder / config.FILE).write_text(f'chat_url = "{url}"\n', "utf-8")


def test_a_working_folder_cannot_send_the_key_to_a_stranger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names(tmp_path / "work", STRANGER)
    with pytest.raises(InputError, match="--url") as told:
        config.settings().chat_key()
    assert KEY not in str(told.value)
    names(tmp_path / "home", "https://mine.example/v1")  # the working folder's address still wins, and is still a stranger's
    with pytest.raises(InputError):
        config.settings().chat_key()
    monkeypatch.delenv("OPENAI_API_KEY")
    assert config.settings().chat_key() == ""


@pytest.mark.parametrize("url", ["http://127.0.0.1:11434/v1", "https://api.openai.com/v1", "http://localhost:8000/v1/"])
def test_addresses_that_are_safe(tmp_path: Path, url: str) -> None:
    names(tmp_path / "work", url)
    assert config.settings().chat_key() == KEY


def test_an_address_that_only_begins_like_a_safe_one_is_a_strangers(tmp_path: Path) -> None:
    for url in ("http://127.0.0.1.stranger.example/v1", "http://localhost@stranger.example/v1", "https://api.openai.com.stranger.example/v1"):
        names(tmp_path / "work", url)
        with pytest.raises(InputError):
            config.settings().chat_key()


def test_the_users_own_choice_is_followed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names(tmp_path / "home", STRANGER)
    assert config.settings().chat_key() == KEY
    names(tmp_path / "work", STRANGER)
    monkeypatch.setenv("OPENAI_BASE_URL", STRANGER)
    assert config.settings().chat_key() == KEY
