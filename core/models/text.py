"""Text embeddings through open_clip's own encoder, without paying for padding.

CLIP pads every text to 77 tokens, and most labels have about ten. Its text tower is causal and reads the end-of-text
token, so what follows that token cannot matter: dropping the padding columns is exact, and several times faster.
"""

import threading
import unicodedata
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

_BATCH = 256


class TextTower:
    """`encode(texts)` gives unit rows. `clip` is run unchanged; only its positions and mask are shortened."""

    def __init__(self, clip: nn.Module, tokenizer: Callable[[list[str]], Tensor], device: torch.device) -> None:
        self._encode = _EncodeText(clip)
        self._tokenizer = tokenizer
        self._device = device
        self._shorten = _is_causal(clip)
        self._lock = threading.Lock()  # shortening swaps parameters for the time of a call

    def moved(self, device: torch.device) -> "TextTower":
        """This encoder for a model whose weights were moved to another device."""
        return TextTower(self._encode.clip, self._tokenizer, device)

    @torch.inference_mode()
    def encode(self, texts: Sequence[str]) -> np.ndarray:
        """(n, o) float32, rows of norm one."""
        if not texts:
            return np.zeros((0, self._encode.clip.visual.output_dim), np.float32)
        tokens = self._tokenizer(list(texts))
        length_n = (tokens != 0).int().cumsum(1).argmax(1) + 1  # up to and with the end-of-text token
        # texts of like length together, so that one long text does not lengthen the others
        order = torch.argsort(length_n, stable=True)
        rows: list[Tensor] = []
        for start in range(0, len(order), _BATCH):
            chosen = order[start : start + _BATCH]
            rows.append(self._run(tokens[chosen], int(length_n[chosen].max())))
        out = torch.empty_like(torch.cat(rows))
        out[order] = torch.cat(rows)
        return torch.nn.functional.normalize(out, dim=-1).cpu().numpy()

    def unseen_words(self, text: str) -> tuple[str, ...]:
        """The words of `text` that training never met, as far as the weights tell: those with a token whose embedding
        is zero in every entry, so that the token adds nothing of its own. Trained tables have no such rows but where
        the vocabulary was larger than the training texts' (the demo models); then, and for other tokenizers than
        CLIP's, this is empty."""
        if not self._empty_tokens:
            return ()
        pieces = "".join(" " if _punctuation(c) else c for c in text).split()
        words = dict.fromkeys(word for piece in pieces if (word := piece.strip("'’")))
        rows = self._tokenizer(list(words)).tolist() if words else []
        return tuple(word for word, row in zip(words, rows, strict=True) if self._empty_tokens & set(row))

    def unread(self, text: str) -> str:
        """The end of `text` that the encoder does not read, since its context is full before; "" if it reads all."""
        words = text.split()
        if not words:
            return ""
        rows = self._tokenizer([" ".join(words[:count]) for count in range(1, len(words) + 1)])
        read = int((rows == rows[-1]).all(1).int().argmax())  # the fewest words that already make the same tokens
        return " ".join(words[read + 1 :])

    @cached_property
    def _empty_tokens(self) -> frozenset[int]:
        """Ids of tokens with a zero embedding, less the one of padding."""
        table = getattr(self._encode.clip, "token_embedding", None)
        if table is None or not self._shorten:
            return frozenset()
        return frozenset((table.weight == 0).all(1).nonzero().ravel().tolist()) - {0}

    def _run(self, tokens: Tensor, length: int) -> Tensor:
        with self._lock:
            if not self._shorten:
                return self._encode(tokens.to(self._device)).float()
            clip = self._encode.clip
            shorter = {
                "clip.positional_embedding": clip.positional_embedding[:length],
                "clip.attn_mask": clip.attn_mask[:length, :length],
            }
            inputs = (tokens[:, :length].to(self._device),)
            return torch.func.functional_call(self._encode, shorter, inputs).float()


class _EncodeText(nn.Module):
    """encode_text as a module's forward, which is what functional_call calls."""

    def __init__(self, clip: nn.Module) -> None:
        super().__init__()
        self.clip: Any = clip

    def forward(self, tokens: Tensor) -> Tensor:
        return self.clip.encode_text(tokens)


def _is_causal(clip: nn.Module) -> bool:
    """Whether padding can be dropped: a causal mask, read at the end-of-text token, padded with zeros."""
    mask = getattr(clip, "attn_mask", None)
    reads_end = getattr(clip, "text_pool_type", None) == "argmax"
    return reads_end and mask is not None and bool(torch.isinf(mask.float().triu(1)[0, 1:]).all())


def _punctuation(c: str) -> bool:
    return unicodedata.category(c).startswith("P") and c not in "'’"
