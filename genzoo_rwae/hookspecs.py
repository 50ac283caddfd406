"""The hooks of genzoo-rwae: what a plugin may implement.

A plugin is a module with functions of these names under `@hookimpl`. It implements those that it
needs, and of a hook's arguments it takes those that it needs. Each example below is a whole plugin
file.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from genzoo_rwae.components import hookspec

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    import typer

    from genzoo_rwae.errors import Problem
    from genzoo_rwae.sequence_model import SequenceModel
    from genzoo_rwae.spec import Spec

__all__ = ["HOOKS"]


@hookspec
def genzoo_check_spec(spec: Spec) -> Iterable[Problem]:
    """Look at a spec whose values are valid one by one, and yield what is wrong with it.

    Called by `genzoo check` and before every build. `spec` is the resolved spec;
    `spec.problem(path, message)` makes a problem that is shown at its place in the file.

        from genzoo_rwae import hookimpl

        @hookimpl
        def genzoo_check_spec(spec):
            if spec.train.seed == 13:
                yield spec.problem("train.seed", "our cluster has no luck with seed 13")
    """


@hookspec
def genzoo_model_built(model: SequenceModel, spec: Spec) -> None:
    """A model was assembled from a spec; weights are still the initial ones.

    `model` may be looked at, and changed: what is trained is this object (with `--shard-weights` a
    copy; this one has no weights meanwhile, and the trained ones at the end). Parameters that want
    no gradient now are left out of training for good. `spec` is the resolved spec that it was
    assembled from.

        from genzoo_rwae import hookimpl

        @hookimpl
        def genzoo_model_built(model):
            print(sum(parameter.numel() for parameter in model.parameters()), "parameters")
    """


@hookspec
def genzoo_step_done(step: int, figures: Mapping[str, float], run: Path) -> None:
    """An optimisation step was taken; `figures` are those of metrics.jsonl.

    Called after every step, in the training loop: be quick. `step` counts from 1, `run` is the run
    folder.

        from genzoo_rwae import hookimpl

        @hookimpl
        def genzoo_step_done(step, figures, run):
            if step % 100 == 0:
                (run / "heartbeat.txt").write_text(f"{step} {figures['loss']}")
    """


@hookspec
def genzoo_run_done(model: SequenceModel, spec: Spec, run: Path) -> None:
    """A build has ended: trained, measured and reported. `model` has the final weights.

    `spec` is the resolved spec, `run` the run folder with all that the build wrote.

        from genzoo_rwae import hookimpl

        @hookimpl
        def genzoo_run_done(run):
            (run / "done.txt").write_text("tell the others")
    """


@hookspec
def genzoo_commands(app: typer.Typer) -> None:
    """Add commands to `genzoo`; `app` is its Typer application.

    from genzoo_rwae import hookimpl

    @hookimpl
    def genzoo_commands(app):
        @app.command()
        def hello(name: str = "sprite") -> None:
            "Greet somebody."
            print("hello", name)
    """


@hookspec
def genzoo_models() -> Iterable[object]:
    """Yield models: classes derived from SequenceModel, wired with the data's DataInfo.

    from genzoo_rwae import hookimpl, model
    from genzoo_rwae_plugins.models.rwae import Rwae

    @model("rwae-loud")
    class LoudRwae(Rwae):
        '''R-WAE that says when it decodes.'''

        def decode(self, latents):
            print("decoding", len(latents.static_BD), "sequences")
            return super().decode(latents)

    @hookimpl
    def genzoo_models():
        yield LoudRwae
    """


@hookspec
def genzoo_encoders() -> Iterable[object]:
    """Yield encoders: modules from [B, T, ...] and lengths to features [B, T, H], H = `.width`.

    What they are given stays as it is: a change in place ends the run.

    from torch import nn
    from genzoo_rwae import encoder, hookimpl

    @encoder("flat")
    class Flat(nn.Module):
        '''Frames as they are, flattened.'''

        def __init__(self, frame_shape, /):
            super().__init__()
            self.width = 1
            for side in frame_shape:
                self.width *= side

        def forward(self, x_BT, lengths_B):
            return x_BT.flatten(2)

    @hookimpl
    def genzoo_encoders():
        yield Flat
    """


@hookspec
def genzoo_frame_encoders() -> Iterable[object]:
    """Yield frame encoders: modules from single frames [N, ...] to [N, H], H = `.width`.

    from math import prod
    from torch import nn
    from genzoo_rwae import frame_encoder, hookimpl

    @frame_encoder("linear")
    class Linear(nn.Module):
        '''One linear map of the pixels.'''

        def __init__(self, frame_shape, /, *, width: int = 32):
            super().__init__()
            self.width = width
            self.map = nn.Linear(prod(frame_shape), width)

        def forward(self, x_N):
            return self.map(x_N.flatten(1))

    @hookimpl
    def genzoo_frame_encoders():
        yield Linear
    """


@hookspec
def genzoo_static_heads() -> Iterable[object]:
    """Yield static heads: modules from features [B, T, H] and lengths [B] to q(z^c | x_1:T).

    from torch import nn
    from genzoo_rwae import DiagonalGaussian, hookimpl, static_head

    @static_head("first-frame")
    class FirstFrame(nn.Module):
        '''Reads the static code off the first frame.'''

        def __init__(self, features, size, /):
            super().__init__()
            self.mean = nn.Linear(features, size)

        def forward(self, features_BTH, lengths_B):
            mean_BD = self.mean(features_BTH[:, 0])
            return DiagonalGaussian(mean_BD, mean_BD.new_full(mean_BD.shape, -4.0))

    @hookimpl
    def genzoo_static_heads():
        yield FirstFrame
    """


@hookspec
def genzoo_dynamic_heads() -> Iterable[object]:
    """Yield dynamic heads: modules from features [B, T, H], lengths [B] to a path and its law.

    The call also gets `draw`, which takes a law to a sample of it (or to its mean, when codes are
    measured), and returns (z_BTD, DiagonalGaussian of the same shape).

        from torch import nn
        from genzoo_rwae import DiagonalGaussian, dynamic_head, hookimpl

        @dynamic_head("per-frame")
        class PerFrame(nn.Module):
            '''Every step's code from its own frame alone.'''

            def __init__(self, features, size, /):
                super().__init__()
                self.mean = nn.Linear(features, size)

            def forward(self, features_BTH, lengths_B, draw):
                mean_BTD = self.mean(features_BTH)
                law = DiagonalGaussian(mean_BTD, mean_BTD.new_full(mean_BTD.shape, -4.0))
                return draw(law), law

        @hookimpl
        def genzoo_dynamic_heads():
            yield PerFrame
    """


@hookspec
def genzoo_action_heads() -> Iterable[object]:
    """Yield action heads: modules from codes [B, T, D] and lengths [B] to logits [B, A].

    from torch import nn
    from genzoo_rwae import action_head, hookimpl

    @action_head("last")
    class Last(nn.Module):
        '''Reads the action off the last true step.'''

        def __init__(self, size, count, /):
            super().__init__()
            self.logits = nn.Linear(size, count)

        def forward(self, z_BTD, lengths_B):
            rows_B = range(len(z_BTD))
            return self.logits(z_BTD[rows_B, lengths_B.to(z_BTD.device) - 1])

    @hookimpl
    def genzoo_action_heads():
        yield Last
    """


@hookspec
def genzoo_augmentations() -> Iterable[object]:
    """Yield augmentations: functions of floats [B, T, ...] to others of the same shape.

    They change what the dynamic encoder sees in training. Draws come from the generator, so that a
    run can go on where it was, and by `uniform_draws` or `normal_draws`, so that every sequence
    gets the same ones on any number of ranks.

        from genzoo_rwae import augmentation, hookimpl, uniform_draws

        @augmentation("gain")
        def gain(x_BT, generator, /, *, most: float = 2.0):
            '''Every sequence as loud as a draw says.'''
            drawn_B = uniform_draws([len(x_BT)], generator).to(x_BT.device)
            return x_BT * (most ** (2 * drawn_B - 1)).reshape(-1, *[1] * (x_BT.dim() - 1))

        @hookimpl
        def genzoo_augmentations():
            yield gain
    """


@hookspec
def genzoo_priors() -> Iterable[object]:
    """Yield priors: classes derived from StaticPrior or DynamicPrior.

    Their `fit_to` is called when training is over, with what draws codes of so many training
    sequences: z^c as a tensor [N, D], z^m as `Paths`. It is tried on 16 of them before anything is
    trained; a fault is a warning then.

    import math
    import torch
    from genzoo_rwae import DiagonalGaussian, StaticPrior, hookimpl, prior

    @prior("wide")
    class Wide(StaticPrior):
        '''A Gaussian of standard deviation 2.'''

        def __init__(self, size, /):
            super().__init__()
            self.register_buffer("mean", torch.zeros(size))

        def law(self, count):
            mean_BD = self.mean.expand(count, -1)
            return DiagonalGaussian(mean_BD, torch.full_like(mean_BD, 2 * math.log(2)))

    @hookimpl
    def genzoo_priors():
        yield Wide
    """


@hookspec
def genzoo_decoders() -> Iterable[object]:
    """Yield decoders: modules from codes [B, T, D] to frames [B, T, ...] (logits for images).

    from math import prod
    from torch import nn
    from genzoo_rwae import decoder, hookimpl

    @decoder("linear")
    class Linear(nn.Module):
        '''One linear map per step.'''

        def __init__(self, codes, frame_shape, /):
            super().__init__()
            self.frame_shape = frame_shape
            self.map = nn.Linear(codes, prod(frame_shape))

        def forward(self, z_BTD):
            return self.map(z_BTD).unflatten(-1, self.frame_shape)

    @hookimpl
    def genzoo_decoders():
        yield Linear
    """


@hookspec
def genzoo_frame_decoders() -> Iterable[object]:
    """Yield frame decoders: modules from [N, H] to single frames [N, ...] (logits for images).

    from math import prod
    from torch import nn
    from genzoo_rwae import frame_decoder, hookimpl

    @frame_decoder("linear")
    class Linear(nn.Module):
        '''One linear map.'''

        def __init__(self, width, frame_shape, /):
            super().__init__()
            self.frame_shape = frame_shape
            self.map = nn.Linear(width, prod(frame_shape))

        def forward(self, h_NH):
            return self.map(h_NH).unflatten(-1, self.frame_shape)

    @hookimpl
    def genzoo_frame_decoders():
        yield Linear
    """


@hookspec
def genzoo_costs() -> Iterable[object]:
    """Yield reconstruction costs: functions of [B, T, ...] twice to one cost per frame [B, T].

    What they are given stays as it is: a change in place ends the run.

    from genzoo_rwae import cost, hookimpl

    @cost("quartic")
    def quartic(x_BT, x_hat_BT, /):
        '''Fourth power of the error, summed over a frame.'''
        return (x_BT - x_hat_BT).pow(4).flatten(2).sum(-1)

    @hookimpl
    def genzoo_costs():
        yield quartic
    """


@hookspec
def genzoo_penalties() -> Iterable[object]:
    """Yield penalties: functions of two samples [N, D] to a scalar divergence.

    What they are given stays as it is: a change in place ends the run.

    from genzoo_rwae import hookimpl, penalty

    @penalty("mean-gap")
    def mean_gap(q_ND, p_ND, /, *, power: float = 2.0):
        '''Distance between two means.'''
        return (q_ND.mean(0) - p_ND.mean(0)).norm() ** power

    @hookimpl
    def genzoo_penalties():
        yield mean_gap
    """


@hookspec
def genzoo_kernels() -> Iterable[object]:
    """Yield kernels: functions of [N, D] and [M, D] to a matrix [N, M].

    from genzoo_rwae import hookimpl, kernel

    @kernel("cosine")
    def cosine(x_ND, y_MD, /):
        '''Cosine of the angle between two codes.'''
        unit = lambda z: z / z.norm(dim=-1, keepdim=True).clamp_min(1e-12)
        return unit(x_ND) @ unit(y_MD).mT

    @hookimpl
    def genzoo_kernels():
        yield cosine
    """


@hookspec
def genzoo_sources() -> Iterable[object]:
    """Yield data sources: functions of a split's name to SequenceData.

    Four sequences of every split are looked through before anything is built on them: shapes,
    types, ranges, labels, and whether they are the same when they are taken again.

    import torch
    from genzoo_rwae import Batch, DataInfo, SequenceData, hookimpl, source

    class Sines(SequenceData):
        info = DataInfo(frame_shape=(1,), length=16, bounded=False)

        def __len__(self):
            return 100

        def take(self, indices_B, /, *, draw=0):
            indices_B = torch.as_tensor(indices_B)
            steps_T = torch.arange(16)
            x_BT = torch.sin(steps_T + indices_B[:, None].float()).unsqueeze(-1)
            return Batch(x_BT, torch.full((len(x_BT),), 16), indices_B)

    @source("sines")
    def sines(split, /):
        '''Sine waves of random phase.'''
        return Sines()

    @hookimpl
    def genzoo_sources():
        yield sines
    """


@hookspec
def genzoo_metrics() -> Iterable[object]:
    """Yield metrics: functions of a model and the data's splits to named figures.

    `splits.train`, `splits.validation` and `splits.test` are SequenceData: `take` gives a Batch of
    the sequences whose indices it gets, their labels included, and `info.factors` tells what these
    mean. Metrics fit on `train` and report on `test`. They are tried on 16 sequences before
    anything is trained; a fault is a warning then, as one may want more of them. A metric with a
    third positional parameter `judge` is given a trained Judge of the data, and is not tried.

        import numpy as np
        from genzoo_rwae import Figure, hookimpl, metric

        @metric("half-told")
        def half_told(model, splits, /):
            '''How far the static code is from that of the first half of a sequence.'''
            test = splits.test.take(np.arange(min(64, len(splits.test))))
            steps = (test.x_BT.shape[1] + 1) // 2
            whole = model.encode(test.x_BT, test.lengths_B).static.mean
            half = model.encode(test.x_BT[:, :steps], test.lengths_B.clamp(max=steps)).static.mean
            return {"distance": Figure((whole - half).norm(dim=1).mean().item(), good="lower")}

        @hookimpl
        def genzoo_metrics():
            yield half_told
    """


@hookspec
def genzoo_judges() -> Iterable[object]:
    """Yield judges: modules from [B, T, ...] and lengths to a Verdict on every labelled factor.

    The host trains one on the data's training split and keeps it; metrics that name a third
    positional parameter `judge` are given it.

        from math import prod
        from torch import nn
        from genzoo_rwae import Verdict, hookimpl, judge

        @judge("linear")
        class Linear(nn.Module):
            '''One linear map of the mean frame for each factor.'''

            def __init__(self, info, /):
                super().__init__()
                width = prod(info.frame_shape)
                self.heads = nn.ModuleDict(
                    {f.name: nn.Linear(width, len(f.classes)) for f in info.factors}
                )

            def forward(self, x_BT, lengths_B):
                mean_BF = x_BT.flatten(2).sum(1) / lengths_B[:, None]  # zero beyond the lengths
                logits = {name: head(mean_BF) for name, head in self.heads.items()}
                return Verdict(logits, mean_BF)

        @hookimpl
        def genzoo_judges():
            yield Linear
    """


@hookspec
def genzoo_trackers() -> Iterable[object]:
    """Yield trackers: objects that get every row of metrics.jsonl as it is written.

    One that has a method `show` is told at the end what came out: `results` has the step, figures
    by name, and the paths of pictures (PNG, GIF) and sounds (wav) by name. A tracker that raises is
    dropped with a warning; training goes on.

        from genzoo_rwae import hookimpl, tracker

        @tracker("csv")
        class Csv:
            '''Losses as comma-separated values, and a list of the pictures.'''

            def __init__(self, run, /):
                self.file = (run / "losses.csv").open("a")

            def log(self, row):
                if row["split"] == "train":
                    self.file.write(f"{row['step']},{row['loss']}\\n")

            def show(self, results):
                self.file.write(f"# {', '.join(results.pictures)}\\n")

            def close(self):
                self.file.close()

        @hookimpl
        def genzoo_trackers():
            yield Csv
    """


@hookspec
def genzoo_optimizers() -> Iterable[object]:
    """Yield optimisers: functions of parameters to a torch.optim.Optimizer.

    import torch
    from genzoo_rwae import hookimpl, optimizer

    @optimizer("rmsprop")
    def rmsprop(parameters, /, *, lr: float = 1e-3):
        '''RMSprop.'''
        return torch.optim.RMSprop(parameters, lr=lr)

    @hookimpl
    def genzoo_optimizers():
        yield rmsprop
    """


@hookspec
def genzoo_schedules() -> Iterable[object]:
    """Yield schedules: functions of the run's progress in [0, 1] to a factor.

    from genzoo_rwae import hookimpl, schedule

    @schedule("halving")
    def halving(progress, /, *, times: int = 3):
        '''Halves the rate at equal intervals.'''
        return 0.5 ** int(progress * (times + 1))

    @hookimpl
    def genzoo_schedules():
        yield halving
    """


HOOKS: tuple[str, ...] = tuple(sorted(name for name in globals() if name.startswith("genzoo_")))
