"""A file appears whole or not at all."""

import errno
import os
from pathlib import Path

import pytest

from huashen.errors import OutputError
from huashen.files import replacing


def test_the_goal_appears_whole_and_nothing_else_is_left(tmp_path: Path) -> None:
    goal = tmp_path / "a.txt"
    goal.write_text("old")
    with replacing(goal) as beside:
        beside.write_text("new")
        assert beside.suffix == ".txt"
        assert beside.parent == tmp_path
        assert goal.read_text() == "old"
    assert goal.read_text() == "new"
    assert os.listdir(tmp_path) == ["a.txt"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, GeneratorExit])
def test_an_error_leaves_the_old_file_and_nothing_beside_it(tmp_path: Path, error: type[BaseException]) -> None:
    goal = tmp_path / "a.txt"
    goal.write_text("old")

    def fail() -> None:
        with replacing(goal) as beside:
            beside.write_text("half")
            raise error

    with pytest.raises(error):
        fail()
    assert goal.read_text() == "old"
    assert os.listdir(tmp_path) == ["a.txt"]


@pytest.mark.parametrize(
    ("number", "word"), [(errno.ENOSPC, "room"), (errno.EDQUOT, "room"), (errno.EACCES, "right"), (errno.EROFS, "right")]
)
def test_a_full_disk_and_a_lack_of_rights_are_said(tmp_path: Path, number: int, word: str) -> None:
    with pytest.raises(OutputError, match=word) as caught, replacing(tmp_path / "a.txt"):
        raise OSError(number, os.strerror(number))
    assert "a.txt" in str(caught.value)


def test_other_system_errors_pass_unchanged(tmp_path: Path) -> None:
    with pytest.raises(ConnectionError), replacing(tmp_path / "a.txt"):
        raise ConnectionResetError(errno.ECONNRESET, "reset")


@pytest.mark.parametrize(
    ("name", "word"), [("", "folder"), ("none/a.txt", "does not exist"), ("pipe", "device or a pipe"), ("x" * 300 + ".txt", "too long")]
)
def test_a_goal_that_cannot_be_is_refused_before_any_work(tmp_path: Path, name: str, word: str) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OutputError, match=word), replacing(tmp_path / name):
        pytest.fail("work began")


def test_a_long_name_and_a_link_are_written(tmp_path: Path) -> None:
    long = tmp_path / ("长" * 80 + ".txt")
    with replacing(long) as beside:
        beside.write_text("x")
    assert long.read_text() == "x"
    link = tmp_path / "link.txt"
    link.symlink_to(long)
    with replacing(link) as beside:
        beside.write_text("y")
    assert link.is_symlink()
    assert long.read_text() == "y"
