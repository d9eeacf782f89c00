"""Base class of the methods that keep attention near the source's: which rows, which distance."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from gta.methods.base import Step, full_precision
from gta.methods.guide import Guide
from gta.methods.readings import Readings, TapRequest

if TYPE_CHECKING:
    from torch import Tensor

Rows = Literal["cls", "all"]
Distance = Literal["l2_logits", "kl"]


@dataclass(frozen=True)
class AttentionGuide(Guide):
    """A penalty on the distance between attention rows of the target and the source's.

    ``l2_logits`` compares q k^T / sqrt(d_head) over the patches, which holds the level of the
    logits too; ``kl`` is the Kullback-Leibler divergence of the target's softmax over all tokens
    from the source's, which sees differences of logits alone.

    Attributes:
        rows: ``cls`` compares the row of the [cls] query; ``all`` those of all tokens.
        distance: see above. ``reduction`` is of ``l2_logits``: ``kl`` is a mean over images, heads
            and rows, summed over blocks (alexlioralexli/attention-transfer).
    """

    rows: Rows = "cls"
    distance: Distance = "l2_logits"

    @property
    def lam_of(self) -> str:
        """The reduction, or that it is the divergence."""
        return "kl" if self.distance == "kl" else self.reduction

    @property
    def needs_cls(self) -> bool:
        """Only for the divergence of [cls] rows: logits are also compared of the mean query."""
        return self.rows == "cls" and self.distance == "kl"

    @property
    def taps(self) -> TapRequest:
        """Request the readings that the rows and the distance need."""
        if self.rows == "all":
            return TapRequest(queries_keys=self.blocks)
        if self.distance == "kl":
            return TapRequest(cls_rows=self.blocks)
        return TapRequest(cls_logits=self.blocks)

    def penalty(self, step: Step, lam: float) -> dict[str, Tensor]:
        """A term of the method's name."""
        return {self.name: lam * self.between(step.target, self.needed(step.source))}

    def between(self, target: Readings, source: Readings) -> Tensor:
        """The distance of two readings of ``taps``, unweighted."""
        if self.rows == "all":
            return self._of_all_rows(target, source)
        if self.distance == "kl":
            rows = self.needed(target.cls_rows)  # (M, B, heads, T)
            return len(rows) * divergence(rows, self.needed(source.cls_rows))
        if target.pooled_logits:  # a model without [cls]
            pairs = zip(target.pooled_logits, source.pooled_logits, strict=True)
            return self.squared(pairs, batch=len(target.pooled_logits[0]))
        logits = self.needed(target.cls_logits)  # (M, B, heads, N)
        return self.squared([(logits, self.needed(source.cls_logits))], batch=logits.shape[1])

    def _of_all_rows(self, target: Readings, source: Readings) -> Tensor:
        """Sum over blocks; each block's (B, heads, T, T) is computed again for the gradient."""
        import torch
        from torch.utils.checkpoint import checkpoint

        if not target.queries_keys:
            raise self.error("the step lacks a reading that the method's taps request")
        total, count = [], 0
        for of_target, of_source in zip(target.queries_keys, source.queries_keys, strict=True):
            patches = slice(target.prefix_tokens, None)
            total.append(
                checkpoint(self._of_block, *of_target, *of_source, patches, use_reentrant=False)
            )
            batch, heads, tokens, _ = of_target[0].shape
            count += batch * heads * tokens * (tokens - target.prefix_tokens)
        distance = torch.stack(total).sum()
        if self.distance == "kl":
            return distance
        return distance / (batch if self.reduction == "sum" else count)

    def _of_block(
        self,
        queries: Tensor,
        keys: Tensor,
        source_queries: Tensor,
        source_keys: Tensor,
        patches: slice,
    ) -> Tensor:
        """One block's distance of queries and keys (B, heads, T, d); a sum for L2."""
        target, source = _rows(queries, keys), _rows(source_queries, source_keys)
        if self.distance == "kl":
            return divergence(target, source)
        return (target[..., patches] - source[..., patches]).square().sum()


def _rows(queries: Tensor, keys: Tensor) -> Tensor:
    """Logits q k^T / sqrt(d) of all rows, (B, heads, T, T)."""
    scale = queries.shape[-1] ** -0.5
    return (full_precision(queries) * scale) @ full_precision(keys).transpose(-2, -1)


def divergence(target: Tensor, source: Tensor) -> Tensor:
    """Mean over rows of KL(softmax of the source || softmax of the target), in nats.

    Args:
        target: (..., T) logits.
        source: of the same shape.
    """
    log_p = source.log_softmax(-1)
    return (log_p.exp() * (log_p - target.log_softmax(-1))).sum(-1).mean()
