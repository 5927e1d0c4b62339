"""Text pools: the built-in ones, user files of every kind, and the grammar."""

import codecs
import hashlib
import os
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.errors import PoolError
from core.text import pools
from core.text.grammar import RULES, descriptions, expand, with_article
from core.text.grammar_words import WORDS
from core.text.pools import load_pool, make_pool, parse_pool, pool_names


def test_user_file_in_any_editor_s_dress(tmp_path):
    path = tmp_path / "my words.txt"
    path.write_bytes(
        codecs.BOM_UTF8 + "  a dog \r\n\r\ncafe\u0301\r\n\ta  dog\nla\u200b\rsnow\u00a0field\n\u200b\n".encode()
    )
    pool = load_pool(str(path))
    assert pool.texts == ("a dog", "café", "la\u200b", "snow field")
    assert pool.name == "my words"
    assert pool.notes == ("1 duplicate lines were dropped.",)
    assert pool.digest == hashlib.sha256("\n".join(pool.texts).encode()).hexdigest()
    assert load_pool(path) == pool


def test_digest_is_of_the_texts_alone():
    assert parse_pool("a\nb", "one").digest == parse_pool(b"\xef\xbb\xbfa\r\n\r\n b \r\na", "two").digest
    assert parse_pool("a\nb", "one").digest != parse_pool("b\na", "one").digest
    assert parse_pool("a b", "one").digest != parse_pool("a\nb", "one").digest


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "no text in it"),
        (b"\xef\xbb\xbf \r\n\t\n", "no text in it"),
        ("\u200b\n\u2060\n", "no text in it"),
        (b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR", "not a text file"),
        (b"PK\x03\x04 text", "not a text file"),
        ("a dog\n".encode("utf-16"), "not a text file"),
        ("a dog\nein Hündchen\n".encode("latin-1"), r"not UTF-8: line 2 holds the byte 0xfc"),
        ("a\n" + "x" * 1001, r"Line 2 .* 1,001 characters"),
        ("lone \ud800 surrogate", "not valid Unicode"),
    ],
)
def test_what_is_no_pool_is_refused_with_advice(content, message):
    with pytest.raises(PoolError, match=message):
        parse_pool(content, "mine")


def test_limits():
    assert len(parse_pool("x" * 1000, "long")) == 1
    many = parse_pool("\n".join(f"text {i}" for i in range(200_000)), "many")
    assert len(many) == 200_000
    assert "takes long" in many.notes[0]
    with pytest.raises(PoolError, match="more than 500,000 lines"):
        parse_pool("same\n" * 500_001, "too many")


def test_files_that_cannot_be_read(tmp_path, monkeypatch):
    with pytest.raises(PoolError, match=r"no text pool.*english, general"):
        load_pool("englsh")
    with pytest.raises(PoolError, match="is a folder"):
        load_pool(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(PoolError, match="not a regular file"):  # reading it would wait for ever
        load_pool(tmp_path / "pipe")
    with pytest.raises(PoolError):
        load_pool("nul\0byte")
    with pytest.raises(PoolError, match="cannot be read"):
        load_pool("x" * 5000)
    monkeypatch.setattr(pools, "MAX_BYTES", 10)
    (tmp_path / "big.txt").write_text("x\n" * 6)
    with pytest.raises(PoolError, match="is over"):
        load_pool(tmp_path / "big.txt")


def test_a_file_without_permission(tmp_path, monkeypatch):
    path = tmp_path / "locked.txt"
    path.write_text("a dog")

    def refuse(*_):
        raise PermissionError(13, "Permission denied")  # simulated, since root may read everything

    monkeypatch.setattr(type(path), "open", refuse)
    with pytest.raises(PoolError, match=r"Permission denied\. Check the path and permissions"):
        load_pool(path)


@settings(max_examples=200, deadline=None)
@given(st.one_of(st.binary(max_size=200), st.text(max_size=200)))
def test_any_content_gives_a_pool_that_reads_back_or_an_advice(content):
    try:
        pool = parse_pool(content, "any")
    except PoolError as error:
        assert "any" in str(error)
        return
    assert pool.texts
    assert len(set(pool.texts)) == len(pool.texts)
    for text in pool.texts:
        assert text == " ".join(text.split())
        assert 1 <= len(text) <= pools.MAX_CHARACTERS
    again = parse_pool("\n".join(pool.texts).encode(), "any")
    assert (again.texts, again.digest, again.notes) == (pool.texts, pool.digest, ())


line_of_words = st.text("abcé —0", min_size=1, max_size=12).filter(str.strip)


@settings(max_examples=100, deadline=None)
@given(st.lists(line_of_words, min_size=1, max_size=20), st.sampled_from(["\n", "\r\n", "\r"]), st.booleans())
def test_ordinary_lines_come_back_in_order(lines, newline, mark):
    content = (codecs.BOM_UTF8 if mark else b"") + newline.join(lines).encode()
    clean = [" ".join(line.split()) for line in lines]
    pool = parse_pool(content, "mine")
    assert list(pool.texts) == list(dict.fromkeys(clean))
    dropped = len(clean) - len(set(clean))
    assert pool.notes == ((f"{dropped:,} duplicate lines were dropped.",) if dropped else ())


# -- built-in pools


def test_english_is_ten_thousand_words():
    pool = load_pool("english")
    assert len(pool) == 10_000
    assert all(re.fullmatch("[a-z]{2,}", text) for text in pool.texts)
    assert {"dog", "beach", "red"} <= set(pool.texts)
    assert pool.texts[0] == "the"


def test_imagenet_is_its_class_names():
    pool = load_pool("imagenet")
    assert pool.texts[:2] == ("tench", "goldfish")
    assert len(pool) == 998  # of 1,000, two names come twice


def test_demo_pool_or_advice(tmp_path, monkeypatch):
    monkeypatch.setattr(pools, "_DEMO_POOL", tmp_path / "pool.txt")
    pools._built_in.cache_clear()
    with pytest.raises(PoolError, match="missing from this installation"):
        load_pool("demo")
    (tmp_path / "pool.txt").write_text("a cat on a beach\n")
    assert load_pool("demo").texts == ("a cat on a beach",)
    assert load_pool("demo").name == "demo"
    pools._built_in.cache_clear()


def test_every_name_is_known():
    assert set(pool_names()) == {"english", "general", "imagenet", "demo"}


def test_made_pools_are_cleaned_too():
    pool = make_pool("mine", ["a", " a", "b"], "From a test.")
    assert (pool.texts, pool.source) == (("a", "b"), "From a test.")


# -- the grammar


def test_general_pool_has_its_size_and_reads_well():
    texts = load_pool("general").texts
    assert texts == descriptions()
    assert 3_000 <= len(texts) <= 6_000
    assert len({text.lower() for text in texts}) == len(texts)
    for text in texts:
        assert not re.search(r"[{}]|\b(an? )+(an?|the|pair of .* pair) |  |^ | $", text), text
        assert len(text) <= 90
        # "a unicorn", "a European", "a one-way" start with a consonant sound; "an hour", "an X-ray" with a vowel
        assert not re.search(r"\ba (?!uni|eu|one)[aeiou]\w|\ban (?!hour|X-ray)[^aeiou\W]", text), text


def test_every_word_of_the_grammar_is_used_and_every_slot_has_words():
    slots = {slot for rule, _ in RULES for slot in re.findall(r"\{(?:a:)?(\w+)\}", rule)}
    assert slots == set(WORDS)
    everything = "\n".join(descriptions())
    for kind, words in WORDS.items():
        listed = [" ".join(word.split()) for word in words.split(",")]
        assert len(set(listed)) == len(listed), kind
        for word in listed:
            assert word in everything, (kind, word)


def test_a_word_never_meets_itself_and_partners_are_used_evenly():
    pairs = [tuple(text.split(" and ")) for text in expand("{tone} and {tone}", 10)]  # ten tones
    assert len(pairs) == len(set(pairs)) == 90
    assert all(a != b for a, b in pairs)


def test_articles():
    said = {
        "apple": "an apple",
        "unicorn": "a unicorn",
        "hourglass": "an hourglass",
        "pair of jeans": "a pair of jeans",
    }
    assert {word: with_article(word) for word in said} == said
    assert with_article("a cocktail") == "a cocktail"
    assert with_article("graffiti") == "graffiti"
