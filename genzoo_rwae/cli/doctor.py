"""`genzoo doctor`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import typer

from genzoo_rwae.cli.session import AsJson, Session, print_json

__all__ = ["add_to"]


def add_to(app: typer.Typer) -> None:
    @app.command()
    def doctor(context: typer.Context, as_json: AsJson = False) -> None:
        """Say what this installation has and lacks: versions, processor, data, plugins."""
        session: Session = context.obj
        found = _examine(session)
        if as_json:
            print_json(found)
            return
        for topic, facts in found.items():
            print(topic)
            for name, value in facts.items():
                print(f"  {name:18} {value}")


def _examine(session: Session) -> dict[str, dict[str, Any]]:
    import torch
    from genzoo_rwae_kernels import Imq, fused, triton_sums
    from genzoo_rwae_kernels.attention import refuses
    from genzoo_rwae_kernels.fused.normalised import NORMALISED

    from genzoo_rwae.provenance import versions
    from genzoo_rwae.training.precision import has_fast_bfloat16

    device = "cuda" if torch.cuda.is_available() else "cpu"
    fast = has_fast_bfloat16(device)
    data = os.environ.get("GENZOO_DATA", "")
    return {
        "versions": versions(),
        "machine": {
            "device": device,
            "threads": torch.get_num_threads(),
            "processor": torch.backends.cpu.get_cpu_capability(),
            "bfloat16": "pays here: precision auto takes it"
            if fast
            else "does not pay here: precision auto stays with float32",
        },
        "backends of the mmd": {
            "eager, tiled": "plain torch: always there",
            **{
                name: backend.refuses(Imq(), torch.float32, torch.device(device)) or "works here"
                for name, backend in (("fused", fused), ("triton", triton_sums))
            },
        },
        "backends of attention": {
            "sdpa": "plain torch: always there",
            "xformers": refuses(torch.bfloat16, torch.device(device)) or "works here",
        },
        "normalisation of maps": {
            "torch": "always there",
            "compiled": NORMALISED.why_not() or "works here, on the CPU",
        },
        "data": {
            "GENZOO_DATA": (data if Path(data).is_dir() else f"{data}: no such folder")
            if data
            else "not set: sources want their root in the spec",
        },
        "plugins": {
            plugin.name: plugin.error or f"{plugin.origin}, {plugin.location}"
            for plugin in session.zoo.plugins()
        },
    }
