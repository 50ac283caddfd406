"""Probes, information and disentanglement of codes, on made-up models whose answers are known."""

import math

import pytest
from genzoo_rwae_plugins.metrics.dci import dci_of_codes
from genzoo_rwae_plugins.metrics.downstream import downstream
from genzoo_rwae_plugins.metrics.mutual_information import mutual_information
from genzoo_rwae_plugins.metrics.probes import boosted_probes, probes

from genzoo_rwae.evaluation.figure import Figure

BOTH = [probes, boosted_probes]
OWN = {("static code", "who"), ("dynamic codes", "way")}


def flat(figures):
    return {(c, f): figure for c, group in figures.items() for f, figure in group.items()}


@pytest.mark.parametrize("metric", BOTH)
def test_probes_find_a_factor_in_its_code_alone_and_in_the_raw_data_always(metric, made_up):
    splits = made_up.splits()
    for place, figure in flat(metric(made_up.perfect(splits), splits)).items():
        assert (figure.value > 0.95) is (place in OWN), place
        assert figure.value > 0.95 or figure.value < figure.chance + 0.15
        assert max(figure.baselines.values()) > 0.95
        assert figure.good == ("higher" if place in OWN else "lower")


@pytest.mark.parametrize("metric", BOTH)
def test_probes_see_leaks(metric, made_up):
    splits = made_up.splits()
    assert all(f.value > 0.95 for f in flat(metric(made_up.leaky(splits), splits)).values())


def test_as_many_components_as_the_code_has_numbers_are_less_than_the_raw_data(made_up):
    splits = made_up.splits()
    figures = flat(probes(made_up.perfect(splits), splits))
    # the way moves most of the values: one component is all about it
    one = figures["static code", "who"].baselines
    assert one["raw data"] > 0.95
    assert one["principal components, as many"] < 0.6


def test_boosted_probes_find_what_is_in_an_interaction(made_up):
    def crossed(count, seed):
        data = made_up.rows(count, seed)
        data.labels["way"] = (data.labels["who"] // 2 + data.labels["way"]) % 2
        return data

    splits = made_up.splits(crossed)
    model = made_up.leaky(splits)
    linear, boosted = (flat(metric(model, splits))["static code", "way"] for metric in BOTH)
    assert linear.value < 0.7
    assert boosted.value > 0.95


def test_information_is_all_there_is_or_nothing(made_up):
    splits = made_up.splits()
    for place, figure in flat(mutual_information(made_up.perfect(splits), splits)).items():
        entropy = figure.baselines["all there is, H(factor)"]
        assert entropy == pytest.approx(math.log(4 if place[1] == "who" else 2))
        assert figure.chance < 0.1
        assert figure.value <= entropy
        assert figure.value > 0.8 * entropy if place in OWN else figure.value < 0.1


def test_what_drowns_in_the_posteriors_spread_is_no_information(made_up):
    splits = made_up.splits()
    narrow, wide = (
        flat(mutual_information(made_up.perfect(splits, sd=sd), splits))["static code", "who"].value
        for sd in (1e-3, 30.0)
    )
    assert narrow > 1.2
    assert wide < 0.1
    # probes of the means do not see the difference
    model = made_up.perfect(splits, sd=30.0)
    assert flat(probes(model, splits))["static code", "who"].value > 0.95


def test_information_repeats_with_its_seed(made_up):
    splits = made_up.splits()
    model = made_up.perfect(splits, sd=1.0)
    one, same, other = (
        flat(mutual_information(model, splits, seed=seed))["static code", "who"].value
        for seed in (1, 1, 2)
    )
    assert one == same != other


def test_codes_with_an_entry_a_factor_are_disentangled_and_rotated_ones_are_not(made_up):
    splits = made_up.splits()
    model = made_up.Told(splits.test.info, lambda x: x.mean(1), lambda x: 0 * x[..., :1])
    figures = dci_of_codes(model, splits, predictor="lasso")
    assert figures["disentanglement"].value > 0.95
    assert figures["disentanglement"].baselines["codes rotated"] < 0.7
    assert figures["completeness"].value > figures["completeness"].baselines["codes rotated"]


@pytest.mark.parametrize("predictor", ["boosted", "lasso"])
def test_importance_is_in_a_factors_own_code(predictor, made_up):
    splits = made_up.splits()
    figures = dci_of_codes(made_up.perfect(splits), splits, predictor=predictor)
    for factor in ("who", "way"):
        assert figures["in its own code"][factor].value > 0.95
        assert figures["in its own code"][factor].chance == 0.5
        assert figures["informativeness"][factor].value > 0.95
        assert figures["completeness of a factor"][factor].value > 0.8
    assert figures["disentanglement"].value > 0.8


def test_data_without_labels_have_nothing_to_measure(made_up):
    def unlabelled(count, seed):
        return made_up.Rows(made_up.rows(count, seed).x_NT)

    splits = made_up.splits(unlabelled)
    model = made_up.perfect(splits)
    nothing = {"static code": {}, "dynamic codes": {}}
    assert boosted_probes(model, splits) == mutual_information(model, splits) == nothing
    assert dci_of_codes(model, splits) == {}


def test_a_single_factor_has_no_disentanglement_and_says_so(made_up):
    def one(count, seed):
        data = made_up.rows(count, seed)
        return made_up.Rows(data.x_NT, {"who": data.labels["who"]}, data.factors[:1])

    splits = made_up.splits(one)
    figure = dci_of_codes(made_up.perfect(splits), splits)["disentanglement"]
    assert isinstance(figure, Figure)
    assert figure.value is None
    assert "two factors" in figure.note


def test_factor_whose_test_labels_were_never_fitted_is_not_measured(made_up):
    splits = made_up.splits()
    splits.test.labels["who"] = splits.test.labels["who"] % 2
    splits.train.labels["who"] = 2 + splits.train.labels["who"] % 2
    model = made_up.perfect(splits)
    for metric in (*BOTH, mutual_information):
        figures = flat(metric(model, splits))
        for code in ("static code", "dynamic codes"):
            assert figures[code, "who"].value is None
            assert "training split" in figures[code, "who"].note
        assert figures["dynamic codes", "way"].value is not None
    assert dci_of_codes(model, splits)["informativeness"]["who"].value is None
    told = downstream(model, splits, factor="who")["who"]
    assert told["accuracy"].value is None
