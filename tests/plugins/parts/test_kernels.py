"""The kernels that a spec can name: their options, what they refuse, and where they say so.

Shapes: N M samples, D code width.
"""

import json
from dataclasses import fields

import genzoo_rwae_kernels as kernels
import pytest
import torch
from genzoo_rwae_plugins.kernels import algebra, kinked, radial
from genzoo_rwae_plugins.penalties.mmd import mmd

from genzoo_rwae.components import component_of, options_of
from genzoo_rwae.description import describe, source_of
from genzoo_rwae.errors import OptionError, SpecError
from genzoo_rwae.spec import Part, PlacedOptionError, load_spec, render
from genzoo_rwae.zoo import Zoo

# name -> component, the kernel that it is, options that are not the defaults
KERNELS = {
    "imq": (radial.Imq, kernels.Imq, {"scales": (0.5, 2.0), "sigma": 1.5}),
    "rbf": (radial.Rbf, kernels.Rbf, {"scales": (1.0,), "relative_to": "median"}),
    "rational-quadratic": (
        radial.RationalQuadratic,
        kernels.RationalQuadratic,
        {"alpha": 2.0, "scales": (0.5,), "sigma": 1.5},
    ),
    "laplacian": (kinked.Laplacian, kernels.Laplacian, {"scales": (0.5, 2.0), "sigma": 1.5}),
    "matern": (kinked.Matern, kernels.Matern, {"nu": 2.5, "scales": (2.0,), "sigma": 1.5}),
    "energy": (kinked.Energy, kernels.Energy, {"beta": 0.5}),
    "linear": (algebra.Linear, kernels.Linear, {}),
    "polynomial": (
        algebra.Polynomial,
        kernels.Polynomial,
        {"degree": 2, "offset": 0.5, "scale": 0.1},
    ),
    "sum": (
        algebra.Sum,
        kernels.Sum,
        {"of": (kernels.Imq(), kernels.Linear()), "weights": (1.0, 3.0)},
    ),
    "product": (algebra.Product, kernels.Product, {"of": (kernels.Imq(), kernels.Linear())}),
}
each = pytest.mark.parametrize("name", list(KERNELS))


def spec_with(tiny_spec, kernel):
    return load_spec(
        tiny_spec,
        zoo=Zoo(use_entry_points=False),
        settings=[f"objective.static.kernel={json.dumps(kernel)}"],
    )


def kernel_of(spec):
    """The kernel that the penalty of a spec is called with."""
    return spec.objective.static.options["kernel"]()


@each
def test_a_spec_can_name_it(name):
    component = component_of(KERNELS[name][0])
    assert (component.kind, component.name) == ("kernel", name)
    found = Zoo(use_entry_points=False).find("kernel", name)
    assert found.component is component


def test_the_hooks_yield_them_all():
    yielded = [c for module in (radial, kinked, algebra) for c in module.genzoo_kernels()]
    assert {component_of(c).name for c in yielded} == set(KERNELS)
    assert len(yielded) == len(KERNELS)


@each
def test_it_is_the_kernel_packages_own(name):
    own, theirs, options = KERNELS[name]
    x, y = torch.randn(4, 3), 1 + torch.randn(5, 3)
    needed = {key: options[key] for key in ("of",) if key in options}
    torch.testing.assert_close(own(**needed)(x, y), theirs(**needed)(x, y))
    torch.testing.assert_close(own(**options)(x, y), theirs(**options)(x, y))
    assert {o.name for o in options_of(own)} == {field.name for field in fields(theirs)}


@each
def test_defaults_are_the_kernel_packages(name):
    own, theirs, _ = KERNELS[name]
    for option in options_of(own):
        if not option.required:
            assert option.default == theirs.__dataclass_fields__[option.name].default


@each
def test_an_mmd_with_it_has_gradients(name):
    own, _, options = KERNELS[name]
    q, p = torch.randn(8, 3, requires_grad=True), 1 + torch.randn(8, 3)
    mmd(q, p, kernel=own(**options)).backward()
    assert q.grad.isfinite().all()
    assert q.grad.abs().sum() > 0


@pytest.mark.parametrize("name", ["imq", "rbf"])
def test_backends_know_it_as_what_it_is(name):
    own, theirs, _ = KERNELS[name]
    assert own.profile == theirs.profile == name
    assert isinstance(own(), theirs)


@each
def test_show_tells_its_options(name):
    own = KERNELS[name][0]
    about = describe("kernel", name, source_of(own.__module__), None)
    assert {o.name: o.default is None for o in about.options} == {
        o.name: o.required for o in options_of(own)
    }
    assert all(o.help and o.type != "any" for o in about.options)
    assert "Source:" in about.text


@pytest.mark.parametrize(
    ("kernel", "wanted"),
    [
        ("energy", kernels.Energy()),
        ({"use": "rbf", "scales": [1], "relative_to": "median"},
         kernels.Rbf(scales=[1.0], relative_to="median")),
        ({"use": "matern", "nu": 2.5, "sigma": 2.0}, kernels.Matern(nu=2.5, sigma=2.0)),
        ({"use": "polynomial", "scale": None}, kernels.Polynomial()),
        ({"use": "sum", "of": ["imq", {"use": "rbf", "scales": [2]}], "weights": [1, 0.5]},
         kernels.Sum(of=[kernels.Imq(), kernels.Rbf(scales=[2.0])], weights=[1.0, 0.5])),
        ({"use": "product", "of": ["linear", {"use": "sum", "of": ["rbf", "imq"]}]},
         kernels.Product(of=[kernels.Linear(), kernels.Sum(of=[kernels.Rbf(), kernels.Imq()])])),
    ],
)  # fmt: skip
def test_a_spec_makes_the_kernel_that_it_says(tiny_spec, kernel, wanted):
    spec = spec_with(tiny_spec, kernel)
    x, y = torch.randn(4, 3), torch.randn(5, 3)
    torch.testing.assert_close(kernel_of(spec)(x, y), wanted(x, y))
    torch.testing.assert_close(
        spec.objective.static(x[:4], y[:4]), mmd(x[:4], y[:4], kernel=wanted)
    )


def test_a_sum_in_a_spec_survives_writing_and_reading(tiny_spec, tmp_path):
    spec = spec_with(tiny_spec, {"use": "sum", "of": ["rbf", {"use": "matern", "nu": 0.5}]})
    written = tmp_path / "written.yaml"
    written.write_text(render(spec))
    again = load_spec(written, zoo=Zoo(use_entry_points=False))
    assert kernel_of(again) == kernel_of(spec)


def test_a_sum_of_radial_kernels_is_radial_once_it_is_fitted(tiny_spec):
    spec = spec_with(tiny_spec, {"use": "sum", "of": ["imq", {"use": "product", "of": ["rbf"]}]})
    x, y = torch.randn(4, 3), torch.randn(5, 3)
    fitted = kernel_of(spec).fitted(x, y)
    assert isinstance(fitted, kernels.Radial)
    torch.testing.assert_close(fitted(x, y), kernel_of(spec)(x, y))


@pytest.mark.parametrize(
    ("kernel", "path", "message"),
    [
        ({"use": "rbf", "scales": []}, "kernel.scales", "at least 1 item"),
        ({"use": "rbf", "scales": "median"}, "kernel.scales", "found 'median'"),
        ({"use": "imq", "scales": [1, -1]}, "kernel.scales[1]", "greater than 0"),
        ({"use": "imq", "relative_to": "mean"}, "kernel.relative_to", "'prior' or 'median'"),
        ({"use": "matern", "nu": 2}, "kernel.nu", "0.5, 1.5 or 2.5"),
        ({"use": "energy", "beta": 2}, "kernel.beta", "less than 2"),
        ({"use": "polynomial", "degree": 0}, "kernel.degree", "greater than 0"),
        ({"use": "rational-quadratic", "alpha": 0}, "kernel.alpha", "greater than 0"),
        ({"use": "sum"}, "kernel", "needs the key 'of'"),
        ({"use": "sum", "of": "rbf"}, "kernel.of", "wanted a list of kernels"),
        ({"use": "sum", "of": ["rbf", "rfb"]}, "kernel.of[1]", "'rfb'"),
        ({"use": "sum", "of": ["rbf"], "weights": [-1]}, "kernel.weights[0]", "greater than or"),
    ],
)
def test_a_wrong_option_is_named_at_its_place(tiny_spec, kernel, path, message):
    with pytest.raises(SpecError) as caught:
        spec_with(tiny_spec, kernel)
    said = {problem.path: problem.message for problem in caught.value.problems}
    assert message in said[f"objective.static.{path}"]


@pytest.mark.parametrize(
    ("kernel", "message"),
    [
        ({"use": "rbf", "sigma": 2.0, "relative_to": "median"}, "sigma is 2.0 beside relative_to"),
        ({"use": "sum", "of": ["rbf"], "weights": [1, 2]}, "2 weights for 1 kernels"),
        ({"use": "sum", "of": []}, "no kernels given"),
        ({"use": "product", "of": ["rbf", "energy"]}, "only conditionally positive definite"),
        ({"use": "product", "of": ["rbf", {"use": "sum", "of": ["energy"]}]}, "conditionally"),
    ],
)
def test_options_that_do_not_fit_together_are_placed_at_the_kernel(tiny_spec, kernel, message):
    spec = spec_with(tiny_spec, kernel)
    with pytest.raises(PlacedOptionError, match=message) as caught:
        spec.objective.static(torch.randn(4, 3), torch.randn(4, 3))
    assert caught.value.path == "objective.static.kernel"


def test_a_kernel_made_in_python_refuses_in_the_hosts_words():
    with pytest.raises(OptionError, match="Imq: scale inf"):
        radial.Imq(scales=(float("inf"),))


def test_a_part_is_made_where_a_penalty_gets_it():
    part = Part(Zoo(use_entry_points=False).find("kernel", "imq"), {"scales": (1.0,)}, "kernel")
    assert part() == radial.Imq(scales=(1.0,))
