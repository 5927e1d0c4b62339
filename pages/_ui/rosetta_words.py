"""What the Rosetta pages say in several places."""

from core.store.dictionary import Dictionary

HUB = "The model whose units are looked for in the others. Each model's concepts start from its own units."
Z = (
    "z: how far a unit's largest activation in this image lies above its mean over the dictionary's images, in "
    "standard deviations; of a concept, the mean over its models, of each its best unit."
)


def first_hub(store: Dictionary) -> str:
    """The hub that is shown first: a CLIP model, whose concepts all have labels, where there is one."""
    return next((member.name for member in store.members if member.clip), store.members[0].name)
