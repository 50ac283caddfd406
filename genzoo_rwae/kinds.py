"""The kinds of component that there are, and what the host wires into each."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["KINDS", "KindInfo"]


@dataclass(frozen=True)
class KindInfo:
    """A kind of component: its name, its hook, and what the host wires and expects."""

    name: str
    plural: str
    contract: str

    @property
    def hook(self) -> str:
        return "genzoo_" + self.plural.replace("-", "_")


KINDS: dict[str, KindInfo] = {
    kind.name: kind
    for kind in (
        KindInfo("model", "models", "(info: DataInfo, /) -> SequenceModel"),
        KindInfo("encoder", "encoders", "(frame_shape, /): module x_BT... -> features_BTH; .width"),
        KindInfo(
            "frame-encoder", "frame-encoders", "(frame_shape, /): module x_N... -> h_NH; .width"
        ),
        KindInfo("static-head", "static-heads", "(features, size, /): module -> q(z^c | x_1:T)"),
        KindInfo("dynamic-head", "dynamic-heads", "(features, size, /): module -> q(z^m | x_1:T)"),
        KindInfo("action-head", "action-heads", "(size, count, /): module z_BTD -> logits_BA"),
        KindInfo("augmentation", "augmentations", "(x_BT..., generator, /) -> x_BT..."),
        KindInfo(
            "prior",
            "priors",
            "(size, /) or (size, context, /): a StaticPrior or a DynamicPrior",
        ),
        KindInfo("decoder", "decoders", "(codes, frame_shape, /): module z_BTD -> x_BT..."),
        KindInfo(
            "frame-decoder", "frame-decoders", "(width, frame_shape, /): module h_NH -> x_N..."
        ),
        KindInfo("cost", "costs", "(x_BT..., x_hat_BT..., /) -> cost_BT"),
        KindInfo("penalty", "penalties", "(q_ND, p_ND, /) -> scalar divergence of two samples"),
        KindInfo("kernel", "kernels", "(x_ND, y_MD, /) -> K_NM, or a class of such callables"),
        KindInfo("source", "sources", "(split, /) -> SequenceData"),
        KindInfo("metric", "metrics", "(model, splits, /) or (model, splits, judge, /) -> figures"),
        KindInfo("judge", "judges", "(info, /): module (x_BT..., lengths_B) -> Verdict"),
        KindInfo("tracker", "trackers", "(run, /): .log(row), .close(), perhaps .show(results)"),
        KindInfo("optimizer", "optimizers", "(parameters, /) -> torch.optim.Optimizer"),
        KindInfo("schedule", "schedules", "(progress, /) -> factor on a learning rate or a weight"),
    )
}
