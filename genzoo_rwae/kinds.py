"""The kinds of component that there are, and what the host wires into each."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["KINDS", "KindInfo"]


@dataclass(frozen=True)
class KindInfo:
    """A kind of component: its name, its hook, and what the host wires and expects.

    Attributes:
        wired: least and most positional-only parameters, of a function.
        wired_class: those of a class, where they differ.
    """

    name: str
    plural: str
    contract: str
    wired: tuple[int, int]
    wired_class: tuple[int, int] | None = None

    @property
    def hook(self) -> str:
        return "genzoo_" + self.plural.replace("-", "_")


KINDS: dict[str, KindInfo] = {
    kind.name: kind
    for kind in (
        KindInfo("model", "models", "(info: DataInfo, /) -> SequenceModel", (1, 1)),
        KindInfo(
            "encoder",
            "encoders",
            "(frame_shape, /): module x_BT... -> features_BTH; .width",
            (1, 1),
        ),
        KindInfo(
            "frame-encoder",
            "frame-encoders",
            "(frame_shape, /): module x_N... -> h_NH; .width",
            (1, 1),
        ),
        KindInfo(
            "static-head", "static-heads", "(features, size, /): module -> q(z^c | x_1:T)", (2, 2)
        ),
        KindInfo(
            "dynamic-head", "dynamic-heads", "(features, size, /): module -> q(z^m | x_1:T)", (2, 2)
        ),
        KindInfo(
            "action-head", "action-heads", "(size, count, /): module z_BTD -> logits_BA", (2, 2)
        ),
        KindInfo("augmentation", "augmentations", "(x_BT..., generator, /) -> x_BT...", (2, 2)),
        KindInfo(
            "prior",
            "priors",
            "(size, /) or (size, context, /): a StaticPrior or a DynamicPrior",
            (1, 2),
        ),
        KindInfo("decoder", "decoders", "(codes, frame_shape, /): module z_BTD -> x_BT...", (2, 2)),
        KindInfo(
            "frame-decoder",
            "frame-decoders",
            "(width, frame_shape, /): module h_NH -> x_N...",
            (2, 2),
        ),
        KindInfo("cost", "costs", "(x_BT..., x_hat_BT..., /) -> cost_BT", (2, 2)),
        KindInfo(
            "penalty",
            "penalties",
            "(q_ND, p_ND, /) -> scalar divergence of two samples",
            (2, 7),
            (1, 1),
        ),
        KindInfo(
            "kernel",
            "kernels",
            "(x_ND, y_MD, /) -> K_NM, or a class of such callables",
            (2, 2),
            (0, 0),
        ),
        KindInfo("source", "sources", "(split, /) -> SequenceData", (1, 1)),
        KindInfo(
            "metric",
            "metrics",
            "(model, splits, /) or (model, splits, judge, /) -> figures",
            (2, 3),
        ),
        KindInfo("judge", "judges", "(info, /): module (x_BT..., lengths_B) -> Verdict", (1, 1)),
        KindInfo(
            "tracker", "trackers", "(run, /): .log(row), .close(), perhaps .show(results)", (1, 1)
        ),
        KindInfo("optimizer", "optimizers", "(parameters, /) -> torch.optim.Optimizer", (1, 1)),
        KindInfo(
            "schedule",
            "schedules",
            "(progress, /) -> factor on a learning rate or a weight",
            (0, 1),
        ),
    )
}
