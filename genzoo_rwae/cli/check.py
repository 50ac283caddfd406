"""`genzoo check`: a spec up to assembly, or the components of a plugin by the property kit."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from genzoo_rwae.cli.session import AsJson, Session, Settings, print_json
from genzoo_rwae.errors import PluginError, SpecError

if TYPE_CHECKING:
    from torch import nn

    from genzoo_rwae.assemble import Assembled
    from genzoo_rwae.sequence_model import SequenceModel
    from genzoo_rwae.spec import Spec
    from genzoo_rwae.zoo import Registered

__all__ = ["add_to"]


def add_to(app: typer.Typer) -> None:
    @app.command()
    def check(
        context: typer.Context,
        spec: Annotated[
            str | None,
            typer.Argument(
                metavar="SPEC", help="A YAML file, zoo:NAME or a run; or else --plugin FILE."
            ),
        ] = None,
        settings: Settings = None,
        resolved: Annotated[
            bool, typer.Option("--resolved", help="Print every value and where it came from.")
        ] = False,
        as_json: AsJson = False,
    ) -> None:
        """Everything that `build` does up to assembly: problems, or a table of parts.

        Of a run folder, every file as well: whether it is what was written into it.

        Without a SPEC, `genzoo check --plugin FILE` tries the components of a plugin: what must
        hold of their kind, on examples, down to the smallest that breaks it.
        """
        session: Session = context.obj
        if spec is None:
            if settings or resolved:
                raise SpecError("--set and --resolved are about a spec; name one")
            _check_plugins(session, as_json=as_json)
            return
        from genzoo_rwae.run import check as check_spec
        from genzoo_rwae.run_folder import RunFolder
        from genzoo_rwae.spec import plain, render

        if Path(spec).is_dir():
            RunFolder.open(Path(spec)).check_all()
        loaded, assembled = check_spec(spec, settings=settings or (), zoo=session.zoo)
        if as_json:
            print_json({"spec": plain(loaded), "parts": _rows(loaded, assembled)})
        elif resolved:
            print(render(loaded), end="")
        else:
            _print_table(loaded, assembled)


def _rows(spec: Spec, assembled: Assembled) -> list[dict[str, Any]]:
    model = assembled.model
    shapes = _shapes(model, spec.data.slot.batch)
    rows = []
    for part in spec.parts():
        module = _module_of(model, part.path)
        rows.append(
            {
                "part": part.path,
                "uses": part.name,
                "parameters": _count(module) if module is not None else 0,
                "shape": shapes.get(part.path, ""),
            }
        )
    for code, price in vars(spec.objective.information).items():
        path = f"objective.information.{code}"
        rows.append({"part": path, "uses": f"price: {price}", "parameters": 0, "shape": ""})
    return rows


def _shapes(model: SequenceModel, batch: int) -> dict[str, str]:
    """What each part gives for a batch, by the part's path; found by one pass over zeros."""
    import torch

    from genzoo_rwae.codes import DiagonalGaussian

    shapes: dict[str, str] = {}
    rows = min(batch, 2)

    def note(name: str, output: object) -> None:
        first = output[0] if isinstance(output, tuple) else output
        first = first.mean if isinstance(first, DiagonalGaussian) else first
        if isinstance(first, torch.Tensor):
            sizes = ["B" if size == rows else str(size) for size in first.shape[:1]]
            if first.shape[0] == rows * model.info.length:
                sizes = ["B*T"]
            shapes[name] = f"[{', '.join([*sizes, *map(str, first.shape[1:])])}]"

    hooks = [
        module.register_forward_hook(
            lambda _module, _inputs, output, name=_path_of(name): note(name, output)
        )
        for name, module in model.named_modules()
        if name
    ]
    was_training = model.training
    model.eval()
    with torch.no_grad():
        x_BT = torch.zeros(rows, model.info.length, *model.info.frame_shape)
        model(x_BT, torch.full((rows,), model.info.length), None)
    model.train(was_training)
    for hook in hooks:
        hook.remove()
    sizes = [batch, model.info.length, *model.info.frame_shape]
    shapes["data"] = f"[{', '.join(map(str, sizes))}]"
    return shapes


def _path_of(module: str) -> str:
    """`static_head.law` is `model.static.head.law` in a spec."""
    head, dot, rest = module.partition(".")
    return f"model.{head.replace('_', '.')}{dot}{rest}"


def _count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def _module_of(model: nn.Module, path: str) -> nn.Module | None:
    """The module that a part of `model:` became, if it has kept the part's name."""
    if path == "model":
        return model
    return next((m for name, m in model.named_modules() if name and _path_of(name) == path), None)


def _print_table(spec: Spec, assembled: Assembled) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(title=f"{spec.name}: no problems", title_justify="left", box=None)
    table.add_column("part", no_wrap=True)  # the others give way where a terminal is narrow
    table.add_column("uses", overflow="fold")
    table.add_column("parameters", justify="right", overflow="fold")
    table.add_column("shape", overflow="fold")
    for row in _rows(spec, assembled):
        count = f"{row['parameters']:,}" if row["parameters"] else ""
        table.add_row(row["part"], row["uses"], count, row["shape"])
    Console().print(table, highlight=False, markup=False)


def _check_plugins(session: Session, *, as_json: bool) -> None:
    """Try the components of the plugins of this call; leave with 1 if a property fails."""
    if all(reference.startswith("no:") for reference in session.plugins):
        raise SpecError(
            "nothing to check; say `genzoo check SPEC` for a spec, or `genzoo check --plugin FILE` "
            "for the components of a plugin"
        )
    from genzoo_rwae.zoo import Registered

    offered = [
        Registered(component, plugin)
        for plugin in session.zoo.plugins()
        if plugin.origin == "command line"
        for component in session.zoo.offered_by(plugin.name)
    ]
    rows = [{"plugin": of.plugin.name, **_tried(of)} for of in offered]
    if as_json:
        print_json({"components": rows})
    else:
        _print_findings(rows)
    if any(row["failed"] for row in rows):
        raise typer.Exit(1)


def _tried(registered: Registered) -> dict[str, Any]:
    """What the kit finds of a component; `error` where it could not be tried."""
    from genzoo_rwae.components import options_of
    from genzoo_rwae.spec.resolve import check_sayable
    from genzoo_rwae.testing import KITS, examine

    component = registered.component
    row: dict[str, Any] = {"kind": component.kind, "name": component.name}
    found: dict[str, Any] = {"kit": component.kind in KITS, "error": "", "subject": ""}
    found |= {outcome: [] for outcome in ("passed", "failed", "skipped")}
    if found["kit"]:
        try:
            report = examine(component)
        except PluginError as error:  # such as an option without a default
            found["error"] = str(error)
        else:
            found["subject"] = report.subject
            for finding in report.findings:
                entry = {name: value for name, value in vars(finding).items() if value}
                del entry["outcome"]
                found[finding.outcome].append(entry)
    options = options_of(component.build)
    try:
        check_sayable(registered, options, {option.name: option.default for option in options})
    except PluginError as error:
        stated = {"property": "defaults", "statement": "A spec could say every default."}
        found["failed"].append({**stated, "message": str(error)})
    return row | found


def _print_findings(rows: list[dict[str, Any]]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None)
    for column in ("component", "kind", "passed", "failed", ""):
        table.add_column(column, justify="right" if column.endswith("ed") else "left")
    for row in rows:
        numbers = ("", "")
        said = "no kit" if not row["kit"] else "not tried" if row["error"] else ""
        if not said:
            numbers = (str(len(row["passed"])), str(len(row["failed"])))
        table.add_row(row["name"], row["kind"], *numbers, said)
    Console().print(table, highlight=False, markup=False)
    for row in rows:
        if row["error"]:
            print(f"\n{row['error']}")
        for finding in row["failed"]:
            print(f"\n{row['kind']} {row['name']}: {finding['property']}\n{finding['statement']}")
            if "example" in finding:
                print("  smallest example:\n" + textwrap.indent(finding["example"], "    "))
            print(textwrap.indent(finding["message"], "  "))
