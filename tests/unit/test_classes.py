"""Class names from folders, the user's class file, and prompt templates."""

import pytest

from core.errors import PoolError
from core.text.classes import class_names, fill_template, load_templates, read_class_file


def test_wordnet_folders_get_curated_names():
    assert class_names(["n01443537", "n01440764", "n03126707"]) == ("goldfish", "tench", "construction crane")


def test_a_wordnet_id_outside_the_thousand_gets_its_first_synonym():
    assert class_names(["n00007846", "n01440764"]) == ("person", "tench")


def test_an_unknown_wordnet_id_is_refused_unless_named():
    with pytest.raises(PoolError, match="n99999999"):
        class_names(["n01440764", "n99999999"])
    assert class_names(["n01440764", "n99999999"], {"n99999999": "gizmo"}) == ("tench", "gizmo")


def test_other_folders_are_read_as_words():
    assert class_names(["ice_cream", "t-rex", "__", "n01440764"]) == ("ice cream", "t rex", "__", "n01440764")
    assert class_names(["ice_cream", "b"], {"ice_cream": "gelato"}) == ("gelato", "b")


def test_class_file(tmp_path):
    path = tmp_path / "classes.txt"
    path.write_bytes(b"\xef\xbb\xbfn01440764\ttench, the fish\r\n\r\ndog_1, a  dog\r\n")
    assert read_class_file(path) == {"n01440764": "tench, the fish", "dog_1": "a dog"}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"dog\n", "Line 1"),
        (b"a,b\n,name\n", "Line 2"),
        (b"a,b\na,c\n", "again"),
        (b"\n \n", "empty"),
        (b"caf\xe9,x\n", "not UTF-8"),
        (b"a,\0b\n", "binary"),
    ],
)
def test_a_bad_class_file_is_refused(tmp_path, content, message):
    (tmp_path / "c.txt").write_bytes(content)
    with pytest.raises(PoolError, match=message):
        read_class_file(tmp_path / "c.txt")


def test_missing_files_are_refused(tmp_path):
    with pytest.raises(PoolError, match="no class file"):
        read_class_file(tmp_path / "none.txt")
    with pytest.raises(PoolError, match="no template file"):
        load_templates(str(tmp_path))


def test_templates(tmp_path):
    openai, simple = load_templates(), load_templates("simple")
    assert (len(openai), len(simple)) == (80, 7)
    assert openai[0] == "a bad photo of a {}."
    assert all(template.count("{}") == 1 for template in openai + simple)
    path = tmp_path / "mine.txt"
    path.write_text("a {}\n\n a {}\nthe {} on {0!r}\n")
    assert load_templates(str(path)) == ("a {}", "the {} on {0!r}")
    path.write_text("a {}\nno place\n")
    with pytest.raises(PoolError, match="Line 2"):
        load_templates(str(path))


def test_braces_in_names_are_only_braces():
    assert fill_template("a {} {0.__class__}", "{} dog") == "a {} dog {0.__class__}"
