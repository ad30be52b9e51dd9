"""Files: whole or not at all, and errors that say what to do."""

import errno
import hashlib
import os
import pickle

import pytest

from thorax import files
from thorax.errors import InputError, RoomError, nearest


def test_a_file_appears_whole_or_not_at_all(tmp_path):
    target = tmp_path / "deep" / "file.txt"
    with files.atomic_path(target) as temporary:
        temporary.write_text("first", encoding="utf-8")
    with pytest.raises(RuntimeError), files.atomic_path(target) as temporary:
        temporary.write_text("half", encoding="utf-8")
        raise RuntimeError
    assert target.read_text(encoding="utf-8") == "first"
    assert [path.name for path in target.parent.iterdir()] == ["file.txt"]


def test_a_folder_is_replaced_whole_or_not_at_all(tmp_path):
    target = tmp_path / "folder"
    for text in ("first", "second"):
        with files.atomic_folder(target) as temporary:
            (temporary / "a").write_text(text, encoding="utf-8")
    with pytest.raises(KeyboardInterrupt), files.atomic_folder(target) as temporary:
        (temporary / "a").write_text("half", encoding="utf-8")
        raise KeyboardInterrupt
    assert (target / "a").read_text(encoding="utf-8") == "second"
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


def test_a_full_disk_is_said_and_what_was_there_stays(tmp_path):
    target = tmp_path / "file.txt"
    target.write_text("before", encoding="utf-8")
    with pytest.raises(RoomError, match="No room left on the disk while writing"), files.atomic_path(target):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert target.read_text(encoding="utf-8") == "before"


def test_a_disk_that_will_be_full_is_refused_before_anything_is_written(tmp_path):
    with pytest.raises(RoomError, match="MiB free"):
        files.require_room(tmp_path / "not" / "yet", 1 << 60)
    assert not (tmp_path / "not").exists()


def test_digests_agree_with_the_standard_library_and_ignore_the_order_of_keys(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "b").write_bytes(b"bytes")
    expected = hashlib.sha256(b"bytes").hexdigest()
    assert files.digest_file(tmp_path / "a" / "b") == expected
    assert files.digest_folder(tmp_path) == {"a/b": expected}
    assert files.digest_json({"x": 1, "y": [2]}) == files.digest_json({"y": [2], "x": 1})


def test_json_that_is_cut_short_or_missing_is_named(tmp_path):
    files.write_json(tmp_path / "whole.json", {"a": 1})
    assert files.read_json(tmp_path / "whole.json") == {"a": 1}
    (tmp_path / "cut.json").write_text('{"a": ', encoding="utf-8")
    with pytest.raises(InputError, match=r"cut\.json is not valid JSON"):
        files.read_json(tmp_path / "cut.json")
    with pytest.raises(InputError, match=r"none\.json does not exist"):
        files.read_json(tmp_path / "none.json")
    with pytest.raises(ValueError, match="JSON"):
        files.write_json(tmp_path / "nan.json", float("nan"))


def test_an_error_keeps_its_mend_between_processes():
    error = pickle.loads(pickle.dumps(InputError("This is wrong.", "Do that.")))
    assert (error.message, error.mend, str(error)) == ("This is wrong.", "Do that.", "This is wrong. Do that.")


def test_the_nearest_word_is_offered_or_all_are_listed():
    assert nearest("cardiomegalie", ["Cardiomegaly", "Edema"]) == "Did you mean Cardiomegaly?"
    assert nearest("xyz", ["Cardiomegaly", "Edema"]) == "Known: Cardiomegaly, Edema."


@pytest.mark.parametrize("name", ["my folder", "50% #1", "%20", "a?b=c&d", "ü 'q' \"d\" $x;(e)"])
def test_an_address_of_a_database_opens_the_file_that_it_names(tmp_path, name):
    from sqlalchemy import create_engine, text

    file = tmp_path / name / "x.db"
    file.parent.mkdir()
    engine = create_engine(files.sqlite_url(file))
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE t (a INTEGER)"))
    engine.dispose()
    assert file.stat().st_size
    assert files.sqlite_file(files.sqlite_url(file)) == file
    assert files.sqlite_file("postgresql://host/name") is None
