"""Which classifier is better: the tests against textbook and naive ones, the words against the figures."""

from dataclasses import replace
from math import comb

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn import metrics as sk

from matinee.core.errors import DataError
from matinee.core.types import Predictions
from matinee.evaluation import accuracy_gain, compare_predictions
from matinee.evaluation.comparison import detectable_difference, mcnemar_p, same_texts
from matinee.evaluation.intervals import resample_weights
from matinee.evaluation.proportions import holm

patient = settings(deadline=None, max_examples=100)


def answering(right, names=("bad", "good"), sure=0.9):
    """Predictions of as many texts as given, each labelled by its place, of which the given ones are right."""
    right = np.asarray(right, dtype=bool)
    n_labels, rows = len(names), np.arange(len(right))
    labels = rows % n_labels
    answers = np.where(right, labels, (labels + 1) % n_labels)
    probabilities = np.full((len(right), n_labels), (1 - sure) / (n_labels - 1))
    probabilities[rows, answers] = sure
    ids = [f"test-{row}" for row in rows]
    return Predictions(ids, [f"text {row}" for row in rows], probabilities, names, labels)


def split_of(both, first, second, neither):
    """Two classifiers by how many texts both, one alone, and none answer right."""
    a = [True] * both + [True] * first + [False] * second + [False] * neither
    b = [True] * both + [False] * first + [True] * second + [False] * neither
    return {"a": answering(a), "b": answering(b)}


class TestMcNemar:
    @patient
    @given(st.integers(0, 60), st.integers(0, 60))
    def test_it_is_the_binomial_test_with_half_of_what_was_seen(self, first, second):
        n, k = first + second, min(first, second)
        exact = [comb(n, i) / 2**n for i in range(n + 1)]
        # Both tails; of the two outcomes as uneven as this one half each, and an even split is one outcome.
        assert mcnemar_p(first, second) == pytest.approx(2 * sum(exact[:k]) + exact[k], abs=1e-12)
        assert mcnemar_p(second, first) == mcnemar_p(first, second)

    @patient
    @given(st.integers(0, 200), st.integers(0, 200))
    def test_it_stays_just_below_scipys_exact_test(self, first, second):
        n, k = first + second, min(first, second)
        plain = stats.binomtest(k, n).pvalue if n else 1.0
        assert mcnemar_p(first, second) == pytest.approx(
            plain - (stats.binom.pmf(k, n, 0.5) if 2 * k < n else 0), abs=1e-9
        )

    def test_textbook_case(self):
        """Fagerland, Lydersen and Laake 2013, table 1 (airway hyper-responsiveness): 1 against 7, mid-p 0.039."""
        assert mcnemar_p(1, 7) == pytest.approx(0.039, abs=5e-4)

    def test_no_disagreement_is_no_evidence(self):
        assert mcnemar_p(0, 0) == 1.0

    def test_many_texts(self):
        assert mcnemar_p(5000, 5000) == pytest.approx(1.0)
        assert 0 < mcnemar_p(5000, 5300) < 0.01

    def test_equal_classifiers_are_called_different_in_at_most_5_percent(self):
        """Exact sum over what can be seen, for 12 and 40 texts on which one alone is right."""
        for n in (12, 40):
            chance = sum(stats.binom.pmf(k, n, 0.5) for k in range(n + 1) if mcnemar_p(k, n - k) < 0.05)
            assert 0.025 < chance < 0.053


@patient
@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holm_rejects_what_his_step_down_procedure_rejects(p_values):
    """Holm 1979: take the smallest first, stop at the first that is not below its share of the level."""
    for level in (0.01, 0.05, 0.3):
        rejected = set()
        for step, index in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
            if p_values[index] * (len(p_values) - step) >= level:
                break
            rejected.add(index)
        assert {i for i, p in enumerate(holm(p_values)) if p < level} == rejected


class TestDifferences:
    @pytest.mark.parametrize("names", [("bad", "good"), ("a", "b", "c")])
    def test_the_bootstrap_is_that_of_scikit_learn_on_repeated_texts(self, names):
        generator = np.random.default_rng(3)
        both = {name: answering(generator.random(60) < share, names) for name, share in (("a", 0.8), ("b", 0.7))}
        (pair,) = compare_predictions(both, seed=5, n_resamples=80).pairs
        labels = both["a"].labels
        averaged = {} if len(names) == 2 else {"average": "macro"}
        for name, function in (
            ("accuracy", sk.accuracy_score),
            ("f1", lambda y, said: sk.f1_score(y, said, zero_division=0, **averaged)),
        ):
            differences = []
            for block in resample_weights(60, 80, 5):
                for weights in block.T:
                    rows = np.repeat(np.arange(60), weights.astype(int))
                    one, other = (function(labels[rows], both[k].predicted[rows]) for k in "ab")
                    differences.append(one - other)
            found = getattr(pair, name)
            value = function(labels, both["a"].predicted) - function(labels, both["b"].predicted)
            assert found["value"] == pytest.approx(value)
            assert (found["low"], found["high"]) == pytest.approx(tuple(np.quantile(differences, [0.025, 0.975])))

    def test_accuracy_is_that_of_accuracy_gain(self):
        both = split_of(120, 30, 10, 40)
        (pair,) = compare_predictions(both).pairs
        assert pair.accuracy == pytest.approx(accuracy_gain(both["a"], both["b"]))

    def test_the_four_counts(self):
        (pair,) = compare_predictions(split_of(120, 30, 10, 40)).pairs
        assert (pair.both_right, pair.only_first_right, pair.only_second_right, pair.both_wrong) == (120, 30, 10, 40)

    def test_no_difference_on_these_texts_is_no_certainty(self):
        (pair,) = compare_predictions(split_of(90, 0, 0, 10)).pairs
        assert pair.accuracy["value"] == 0
        assert pair.accuracy["high"] == -pair.accuracy["low"] == pytest.approx(0.037, abs=1e-3)

    def test_f1_of_a_label_that_no_text_has_is_undefined(self):
        predictions = replace(answering([True] * 20), labels=np.zeros(20, dtype=np.int64))
        other = replace(predictions, probabilities=predictions.probabilities[::-1].copy())
        (pair,) = compare_predictions({"a": predictions, "b": other}).pairs
        assert pair.f1["value"] is None
        assert pair.f1["reason"]
        assert pair.accuracy["value"] is not None

    def test_the_answer_is_what_counts_not_the_more_probable_label(self):
        plain = answering([True, True, False] * 20, sure=0.6)
        strict = replace(plain, threshold=0.7)
        (pair,) = compare_predictions({"a": plain, "b": strict}).pairs
        assert pair.both_right + pair.only_second_right == np.sum(strict.predicted == strict.labels)
        assert pair.only_first_right + pair.only_second_right > 0


class TestDetectable:
    def test_it_is_found_in_about_four_of_five_cases(self):
        """400 texts of which one alone is right on 20 %: simulated power of the test at the difference that it names."""
        n, share = 400, 0.2
        difference = detectable_difference(n, round(n * share))
        generator, found = np.random.default_rng(0), 0
        chances = [(share + difference) / 2, (share - difference) / 2, 1 - share]
        for first, second, _ in generator.multinomial(n, chances, size=1500):
            found += mcnemar_p(int(first), int(second)) < 0.05
        assert 0.75 < found / 1500 < 0.87

    def test_more_comparisons_and_fewer_texts_make_it_larger(self):
        assert detectable_difference(200, 20) < detectable_difference(200, 20, n_pairs=6)
        assert detectable_difference(200, 20) > detectable_difference(2000, 200)
        assert 0 < detectable_difference(200, 0) < detectable_difference(200, 20)
        assert detectable_difference(1, 1) == 1


class TestSentences:
    def test_a_clear_difference_is_named_with_its_figures(self):
        result = compare_predictions(split_of(400, 60, 20, 20))
        (pair,) = result.pairs
        assert pair.better == "a"
        low, high = (f"{100 * pair.accuracy[end]:.1f}" for end in ("low", "high"))
        assert result.verdict == f"a is better than b by 8.0 points of accuracy [{low}, {high}], p < 0.0001."

    def test_the_better_one_is_named_first_whatever_the_order(self):
        (pair,) = compare_predictions(split_of(400, 20, 60, 20)).pairs
        assert pair.better == "b"
        low, high = (f"{-100 * pair.accuracy[end]:.1f}" for end in ("high", "low"))
        assert float(low) < 8 < float(high)
        assert pair.sentence == f"b is better than a by 8.0 points of accuracy [{low}, {high}], p < 0.0001."
        assert pair.accuracy["value"] == pytest.approx(-0.08)

    def test_a_small_difference_is_called_no_difference(self):
        result = compare_predictions(split_of(150, 12, 9, 29))
        (pair,) = result.pairs
        assert pair.better is None
        assert result.verdict == (
            f"a and b cannot be told apart with 200 texts: a is ahead by 1.5 points of accuracy "
            f"[{100 * pair.accuracy['low']:.1f}, {100 * pair.accuracy['high']:.1f}], p = 0.52; "
            f"differences below about {100 * pair.detectable:.1f} points would mostly not show."
        )

    def test_as_many_right_but_other_ones(self):
        assert (
            "both answer equally many right (the difference may be -"
            in compare_predictions(split_of(80, 5, 5, 10)).verdict
        )

    def test_the_same_answers_throughout(self):
        assert compare_predictions(split_of(80, 0, 0, 20)).verdict == "a and b give the same answer to all 100 texts."

    def test_of_several_the_best_is_named_and_who_may_be_as_good(self):
        right = np.arange(1000) < 900
        level = np.arange(1000) < 897
        far = np.arange(1000) < 800
        result = compare_predictions({"near": answering(level), "far": answering(far), "best": answering(right)})
        assert [(pair.first, pair.second) for pair in result.pairs] == [
            ("near", "far"),
            ("near", "best"),
            ("far", "best"),
        ]
        assert result.verdict.startswith("best has the highest accuracy, 90.0 %. It is better than far (by 10.0 points")
        assert "It cannot be told apart from near (by 0.3 points" in result.verdict
        assert result.verdict.endswith("p is corrected for 3 comparisons.")

    def test_an_equal_among_several_is_named_as_such(self):
        right = np.arange(200) < 180
        named = {"a": answering(right), "twin": answering(right, sure=0.7), "far": answering(~right)}
        assert (
            "cannot be told apart from twin (right and wrong on the same texts)" in compare_predictions(named).verdict
        )

    def test_no_difference_has_no_sign(self):
        assert "-0.0" not in compare_predictions(split_of(5000, 1, 1, 5000)).verdict

    def test_one_text_is_one_text(self):
        verdict = compare_predictions(split_of(0, 1, 0, 0)).verdict
        assert "told apart with 1 text: a is ahead by 100.0 points" in verdict
        assert compare_predictions(split_of(1, 0, 0, 0)).verdict == "a and b give the same answer to the only text."

    def test_p_is_corrected_for_the_number_of_pairs(self):
        both = split_of(150, 22, 9, 19)
        alone = compare_predictions(both).pairs[0]
        nearly = split_of(150, 22, 10, 18)["b"]
        together = compare_predictions({**both, "c": nearly}).pairs[0]
        assert together.p == alone.p
        assert alone.p == alone.p_adjusted < together.p_adjusted
        assert "corrected for 3 comparisons" in together.sentence


class TestSameTexts:
    def test_another_order_of_the_texts_changes_nothing(self):
        both = split_of(50, 30, 5, 15)
        order = np.random.default_rng(0).permutation(100)
        other = both["b"]
        shuffled = Predictions(
            [other.ids[i] for i in order],
            [other.texts[i] for i in order],
            other.probabilities[order],
            other.label_names,
            other.labels[order],
        )
        assert compare_predictions({"a": both["a"], "b": shuffled}) == compare_predictions(both)

    def test_texts_that_stand_there_twice_are_matched_one_to_one(self):
        one = replace(answering([True] * 4), ids=["x", "x", "y", "z"], texts=["t"] * 4, labels=np.array([0, 0, 1, 1]))
        said = np.array([[0.1, 0.9], [0.2, 0.8], [0.3, 0.7], [0.4, 0.6]])
        other = replace(one, ids=["z", "x", "y", "x"], labels=np.array([1, 0, 1, 0]), probabilities=said)
        aligned = same_texts({"a": one, "b": other})["b"]
        assert aligned.ids == one.ids
        np.testing.assert_array_equal(aligned.probabilities, said[[1, 3, 2, 0]])

    @pytest.mark.parametrize("part", ["ids", "texts"])
    def test_other_texts_are_refused_with_their_number(self, part):
        both = split_of(80, 5, 5, 10)
        changed = [f"other {i}" if i < 7 else value for i, value in enumerate(getattr(both["b"], part))]
        with pytest.raises(
            DataError, match=r"a and b cannot be compared, their texts differ: 7 of the 100 of a and 7 of"
        ):
            compare_predictions({"a": both["a"], "b": replace(both["b"], **{part: changed})})

    def test_fewer_texts_are_refused_with_both_numbers(self):
        with pytest.raises(DataError, match="0 of the 90 of a and 10 of the 100 of b are not among the other's"):
            compare_predictions({"a": answering([True] * 90), "b": answering([True] * 100)})

    def test_other_labels_are_refused_with_their_number(self):
        both = split_of(80, 5, 5, 10)
        labels = both["b"].labels.copy()
        labels[:3] = 1 - labels[:3]
        with pytest.raises(DataError, match="3 of the 100 have another label"):
            compare_predictions({"a": both["a"], "b": replace(both["b"], labels=labels)})

    def test_other_label_names_are_refused(self):
        with pytest.raises(DataError, match="their labels are bad, good and neg, pos"):
            compare_predictions({"a": answering([True] * 4), "b": answering([True] * 4, ("neg", "pos"))})

    def test_unlabelled_texts_are_refused(self):
        predictions = answering([True] * 4)
        with pytest.raises(DataError, match="b cannot be compared: the labels of its texts are not known"):
            compare_predictions({"a": predictions, "b": replace(predictions, labels=None)})

    def test_one_alone_is_no_comparison(self):
        with pytest.raises(ValueError, match="at least two"):
            compare_predictions({"a": answering([True] * 4)})


class TestDisagreements:
    def test_those_that_each_is_surest_of_come_first(self):
        labels = np.array([1, 0, 1, 0])
        names = ["t0", "t1", "t2", "t3"]
        one = np.array([0.9, 0.2, 0.7, 0.1])
        other = np.array([0.4, 0.9, 0.6, 0.3])
        both = {
            key: Predictions(names, names, np.column_stack([1 - p, p]), ("bad", "good"), labels)
            for key, p in (("one", one), ("other", other))
        }
        result = compare_predictions(both)
        assert result.n_disagree == 2
        assert [row["id"] for row in result.disagreements] == ["t1", "t0"]
        assert result.disagreements[0] == {
            "id": "t1",
            "text": "t1",
            "label": "bad",
            "answers": {"one": {"label": "bad", "score": 0.8}, "other": {"label": "good", "score": 0.9}},
        }
        assert len(compare_predictions(both, n_examples=1).disagreements) == 1

    def test_two_wrong_answers_that_differ_are_a_disagreement(self):
        names = ("a", "b", "c")
        one = answering([True, True, False], names)
        other = replace(one, probabilities=np.vstack([one.probabilities[:2], [[0.05, 0.9, 0.05]]]))
        result = compare_predictions({"one": one, "other": other})
        assert result.n_disagree == 1
        assert result.pairs[0].p == 1
