"""The surest mistakes and the most confused classes, against plain loops."""

import numpy as np
import pytest
from sklearn.metrics import confusion_matrix

import modelzero as mz
from modelzero.reporting.mistakes import is_equally_sure, most_confident_mistakes, most_confused


def test_surest_mistakes_are_those_of_a_sort(digits, tmp_path):
    """By confidence, the surest first, right predictions left out."""
    run = mz.train(digits, "softmax", runs_dir=tmp_path)
    logits, labels = run.test_logits.double().numpy(), run.test_labels.numpy()
    probabilities = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    wrong = [place for place in range(360) if logits[place].argmax() != labels[place]]
    expected = sorted(wrong, key=lambda place: -probabilities[place].max())
    found = most_confident_mistakes(run, most=5)
    assert [each.position for each in found] == expected[:5]
    for each in found:
        assert each.confidence == pytest.approx(probabilities[each.position].max())
        assert (each.truth, each.said) == (labels[each.position], logits[each.position].argmax())
    assert len(most_confident_mistakes(run, most=1000)) == len(wrong)


def test_mistakes_that_round_to_certainty_are_still_told_apart(digits, tmp_path):
    """Logits of 50, 60 and 40 above the rest all give a confidence of 1; the largest comes first."""
    run = mz.train(digits, "majority", runs_dir=tmp_path)
    logits = run.test_logits.clone().fill_(0)
    wrong = (digits.test.labels != 3).nonzero().flatten()[:3]
    logits[range(360), digits.test.labels] = 1.0
    logits[wrong, 3] = logits.new_tensor([50.0, 60.0, 40.0])
    run.__dict__["test_logits"] = logits
    assert [each.position for each in most_confident_mistakes(run, 9)] == [int(wrong[k]) for k in (1, 0, 2)]


def test_equally_sure_is_said_of_all_predictions(digits, tmp_path):
    """Also of the right ones: equal mistakes alone are no sign of it."""
    run = mz.train(digits, "majority", runs_dir=tmp_path)
    assert is_equally_sure(run)
    logits = run.test_logits.clone()
    logits[0, 0] += 1
    run.__dict__["test_logits"] = logits
    assert not is_equally_sure(run)


def test_most_confused_is_that_of_a_sort():
    """Without the diagonal and without zeros, by count and then by place."""
    draws = np.random.default_rng(0)
    labels, predictions = draws.integers(0, 20, 400), draws.integers(0, 20, (3, 400))
    matrix = np.sum([confusion_matrix(labels, said, labels=range(20)) for said in predictions], axis=0)
    pairs = [(row, column) for row in range(20) for column in range(20) if row != column and matrix[row, column]]
    expected = sorted(pairs, key=lambda pair: (-matrix[pair], pair))
    found = most_confused(labels, predictions, most=30)
    assert [(each.truth, each.said) for each in found] == expected[:30]
    assert found[0].share == matrix[expected[0]] / matrix[expected[0][0]].sum()
    assert most_confused(labels, [labels]) == []
    assert len(most_confused(labels, predictions, most=1000)) == len(pairs)
