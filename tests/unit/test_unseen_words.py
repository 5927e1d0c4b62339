"""Which words a text encoder never met in training, told by its own weights."""

import pytest
import torch

from core.explain import Explainer
from core.models.load import DEMO_MODELS, demo_models, load_model
from demo.captions import all_words
from tests.towers.saved import save_model


@pytest.mark.parametrize("name", demo_models())
def test_a_demo_model_knows_the_words_of_its_training_and_no_others(name: str) -> None:
    explainer = Explainer(load_model(name, device="cpu"))
    trained = [text for text in all_words() if any(c.isalpha() for c in text)]
    assert len(trained) > 100 and explainer.unseen_words(trained) == ()
    assert explainer.unseen_words((DEMO_MODELS.parent / "pool.txt").read_text().splitlines()) == ()
    prompts = ["A Dog, and two “quokkas”!", "כלב שחור", "a dog's quokkas; don't 🍌"]
    assert explainer.unseen_words(prompts) == ("quokkas", "כלב", "שחור", "dog's", "don't", "🍌")


def test_a_model_whose_table_has_no_empty_rows_says_nothing(tmp_path) -> None:
    save_model(tmp_path / "tiny")
    model = load_model(str(tmp_path / "tiny"), device="cpu")
    explainer = Explainer(model)
    assert explainer.unseen_words(["a quokka in a dinghy", "!"]) == ()
    ids = model.text._tokenizer(["dinghy"])[0]
    with torch.no_grad():
        model.clip.token_embedding.weight[ids[1]] = 0
    model.text.__dict__.pop("_empty_tokens")  # read once, before the weights changed
    assert explainer.unseen_words(["a quokka in a dinghy"]) == ("dinghy",)


def test_the_end_of_a_prompt_that_does_not_fit_is_told(tmp_path) -> None:
    save_model(tmp_path / "tiny")  # a context of 16 tokens, two of which begin and end a text
    explainer = Explainer(load_model(str(tmp_path / "tiny"), device="cpu"))
    words = list("abcdefghijklmnopq")
    assert explainer.unread(" ".join(words[:14])) == ""
    assert explainer.unread(" ".join(words)) == "o p q"
    same = [explainer.embed([" ".join(words[:count])])[0] for count in (14, 17)]
    assert (same[0] == same[1]).all()  # it is true: the end changes nothing
