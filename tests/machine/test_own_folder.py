"""A folder that code is loaded from belongs to nobody else."""

import os
import stat
from pathlib import Path

import pytest

from fixtures.machine.own_folder import make_own


def test_a_new_folder_is_its_owners_alone(tmp_path: Path) -> None:
    make_own(tmp_path / "above" / "code")

    assert 0o700 == stat.S_IMODE((tmp_path / "above" / "code").stat().st_mode)


def test_others_lose_the_right_to_write(tmp_path: Path) -> None:
    """Under a umask of 002, usual where each user has a group of their own, a library makes such a folder."""
    (tmp_path / "code").mkdir()
    (tmp_path / "code").chmod(0o775)
    make_own(tmp_path / "code")

    assert 0o755 == stat.S_IMODE((tmp_path / "code").stat().st_mode)


def test_a_link_is_refused(tmp_path: Path) -> None:
    (tmp_path / "code").symlink_to(tmp_path)
    with pytest.raises(RuntimeError, match=r"is a link or belongs to user .*: name another temporary folder \(TMPDIR=DIR\)"):
        make_own(tmp_path / "code")


@pytest.mark.skipif(os.geteuid() != 0, reason="giving a folder to another user needs root -> run the tests as root")
def test_another_users_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "code").mkdir()
    os.chown(tmp_path / "code", 12345, 12345)
    with pytest.raises(RuntimeError, match="belongs to user 12345"):
        make_own(tmp_path / "code")
