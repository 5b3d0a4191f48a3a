import subprocess

import pytest

from slipway.identity.checkout import Checkout, checkout

ANYBODY = ("-c", "user.name=a", "-c", "user.email=a@b.c")


def git(folder, *arguments) -> str:
    command = ["git", "-C", str(folder), *ANYBODY, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def repository(tmp_path):
    git(tmp_path, "init", "--quiet")
    (tmp_path / "job.py").write_text("x = 1\n")
    git(tmp_path, "add", "job.py")
    git(tmp_path, "commit", "--quiet", "--message", "job")
    return tmp_path


def test_a_clean_checkout_is_its_commit(repository):
    assert checkout(repository) == Checkout(git(repository, "rev-parse", "HEAD"), False)


def test_an_edited_file_makes_it_dirty_and_a_file_nobody_tracks_does_not(repository):
    (repository / "var").mkdir()
    (repository / "var" / "notes").write_text("mine")
    assert checkout(repository).dirty is False
    (repository / "job.py").write_text("x = 2\n")
    assert checkout(repository).dirty is True


@pytest.mark.parametrize("folder", ["include/models", "spark_jobs", "dags", "plugins/größe"])
def test_a_module_nobody_tracks_makes_it_dirty_where_code_runs(repository, folder):
    (repository / folder).mkdir(parents=True)
    assert checkout(repository).dirty is False
    (repository / folder / "new.py").write_text("x = 1")
    assert checkout(repository).dirty is True


def test_what_git_ignores_does_not_make_it_dirty(repository):
    (repository / ".git" / "info" / "exclude").write_text("__pycache__/\n")
    (repository / "include" / "__pycache__").mkdir(parents=True)
    (repository / "include" / "__pycache__" / "new.pyc").write_bytes(b"")
    assert checkout(repository).dirty is False


def test_a_folder_that_is_no_checkout_has_no_commit(tmp_path):
    assert checkout(tmp_path) == Checkout()


def test_before_the_first_commit_there_is_none(tmp_path):
    git(tmp_path, "init", "--quiet")
    assert checkout(tmp_path) == Checkout()


@pytest.mark.parametrize(
    ("stamp", "expected"),
    [
        ("a" * 40 + "\n", Checkout("a" * 40, False)),
        ("a" * 40 + " dirty\n", Checkout("a" * 40, True)),
        ("\n", Checkout()),
    ],
)
def test_an_image_says_what_it_was_built_of(tmp_path, stamp, expected):
    (tmp_path / ".git-commit").write_text(stamp)
    assert checkout(tmp_path) == expected
