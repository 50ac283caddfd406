"""Heads on features, against scikit-learn's own scores and answers that are known."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import mean_absolute_error, roc_auc_score

from genzoo_rwae.evaluation.downstream import HEADS, Classification, Regression


def draws(count=600, features=4, seed=0):
    return np.random.default_rng(seed).normal(size=(count, features))


@pytest.fixture
def two_classes():
    x = draws(1200)
    y = (x[:, 0] + 0.7 * draws(1200, 1, seed=1)[:, 0] > 0).astype(int)
    return x[:600], y[:600], x[600:], y[600:]


def test_linear_classifier_scores_as_scikit_learns_does(two_classes):
    x, y, x_test, y_test = two_classes
    scores = Classification(y, y_test).scores("linear", x, x_test)
    scale = lambda z: (z - x.mean(0)) / x.std(0)  # noqa: E731
    direct = LogisticRegression(max_iter=500).fit(scale(x), y)
    p = direct.predict_proba(scale(x_test))[:, 1]
    assert scores["accuracy"] == pytest.approx(direct.score(scale(x_test), y_test))
    assert scores["AUROC"] == pytest.approx(roc_auc_score(y_test, p))


@pytest.mark.parametrize("head", HEADS)
def test_both_heads_find_what_is_there_and_nothing_in_noise(head, two_classes):
    x, y, x_test, y_test = two_classes
    task = Classification(y, y_test)
    assert task.scores(head, x, x_test)["AUROC"] > 0.85
    noise = task.scores(head, draws(seed=5), draws(seed=6))
    assert abs(noise["AUROC"] - 0.5) < 0.08


def test_forest_finds_an_interaction_that_no_line_does():
    x, x_test = draws(), draws(seed=1)
    y, y_test = ((z[:, 0] * z[:, 1] > 0).astype(int) for z in (x, x_test))
    task = Classification(y, y_test)
    assert task.scores("linear", x, x_test)["accuracy"] < 0.6
    assert task.scores("forest", x, x_test)["accuracy"] > 0.85


def test_constant_answers_by_hand():
    assert Classification(np.array([0, 1, 1]), np.array([0, 0, 1, 1, 1])).constant() == {
        "accuracy": {"most frequent class": 0.6},
        "AUROC": {"constant": 0.5},
    }
    found = Regression(np.array([0.0, 0, 9]), np.array([1.0, 5])).constant()
    assert found == {"MAE": {"training mean": 2.0, "training median": 3.0}}


def test_three_classes_have_no_curve():
    y = np.arange(600) % 3
    task = Classification(y, y)
    assert set(task.constant()) == set(task.scores("linear", draws(), draws())) == {"accuracy"}


def test_task_of_one_class_is_answered_with_it():
    task = Classification(np.zeros(600, int), np.arange(600) % 2)
    assert task.scores("forest", draws(), draws()) == {"accuracy": 0.5}


def test_linear_regression_scores_as_scikit_learns_does():
    x, x_test = draws(), draws(seed=1)
    y, y_test = (3 * z[:, 0] - z[:, 1] + 7 for z in (x, x_test))
    scores = Regression(y, y_test).scores("linear", x, x_test)
    scale = lambda z: (z - x.mean(0)) / x.std(0)  # noqa: E731
    direct = Ridge().fit(scale(x), y)
    assert scores["MAE"] == pytest.approx(
        mean_absolute_error(y_test, direct.predict(scale(x_test)))
    )
    assert Regression(y, y_test).scores("forest", x, x_test)["MAE"] < 1.2


@pytest.mark.parametrize("head", HEADS)
def test_missing_features_are_taken(head):
    x, x_test = draws(), draws(seed=1)
    y, y_test = ((z[:, 0] > 0).astype(int) for z in (x, x_test))
    x[::5, 1], x_test[:, 2], x[:, 3] = np.nan, np.nan, np.nan
    assert Classification(y, y_test).scores(head, x, x_test)["accuracy"] > 0.9


def test_forest_sees_that_a_value_is_missing():
    x, x_test = draws(), draws(seed=1)
    y = np.arange(600) % 2
    x[y == 1, 0], x_test[y == 1, 0] = np.nan, np.nan
    assert Classification(y, y).scores("forest", x, x_test)["accuracy"] > 0.95
