"""What pages ask about what is computed now: an image and a text in, plain answers out, through one locked model."""

from core.explain.answers import (
    Budget,
    BudgetRow,
    Heatmap,
    ImageTrace,
    PromptScore,
    RankedHead,
    TokenMatrix,
)
from core.explain.explainer import Explainer
from core.explain.prompts import clean_prompt

__all__ = [
    "Budget",
    "BudgetRow",
    "Explainer",
    "Heatmap",
    "ImageTrace",
    "PromptScore",
    "RankedHead",
    "TokenMatrix",
    "clean_prompt",
]
