"""Training on texts that change: each epoch others, labels and hold-outs never, and a resumed training the same ones."""

from __future__ import annotations

import signal
from collections import Counter

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers

from matinee.core.errors import InterruptedTrainingError, SettingsError
from matinee.core.run import RunFolder
from matinee.core.schema import Layer, resolve
from matinee.core.settings import ModelSettings, TextSettings
from matinee.core.text import clean
from matinee.core.types import Split
from matinee.model.classifier import build_classifier
from matinee.model.load import load_tokenizer, prepare_texts
from matinee.tokens import TextPreparation
from matinee.training import TokenizedSplit, augment_split, fit
from matinee.training.augmented import tokens_per_word

LABELS = ("negative", "positive")
ROOM = 30
ALL = ["window", "synonym:0.3", "swap", "delete"]


@pytest.fixture(scope="module")
def preparation(tiny_encoder):
    return prepare_texts(load_tokenizer(tiny_encoder), TextSettings(max_length=ROOM + 2))


@pytest.fixture(scope="module")
def split(tiny_rows):
    rows = tiny_rows[:64]
    labels = np.array([LABELS.index(label) for _, label in rows], dtype=np.int64)
    return Split([f"train-{n}" for n in range(64)], [text for text, _ in rows], labels)


@pytest.fixture(scope="module")
def validation(preparation, tiny_rows):
    labels = np.array([LABELS.index(label) for _, label in tiny_rows[64:80]], dtype=np.int64)
    return TokenizedSplit(preparation.encode([text for text, _ in tiny_rows[64:80]]), labels)


def model_of(folder):
    """Return a classifier two of whose words are near one another."""
    torch.manual_seed(0)
    model = build_classifier(folder, ModelSettings(dropout=0.1), LABELS)
    vocabulary = load_tokenizer(folder).get_vocab()
    with torch.no_grad():
        matrix = model.encoder.get_input_embeddings().weight
        matrix[vocabulary["plot"]] = matrix[vocabulary["film"]] + 0.001
    return model


def settings_of(augment, **values):
    given = {"augment": augment, "precision": "fp32", "epochs": 2, "batch_size": 8, "learning_rate": 1e-3, **values}
    return resolve(Layer(given)).training


def augmented_of(split, preparation, model, augment=tuple(ALL), **values):
    ids = preparation.encode(split.texts)
    return augment_split(split, ids, preparation, model, settings_of(list(augment), **values))


def as_bytes(ids):
    return [row.tobytes() for row in ids]


@pytest.fixture
def augmented(split, preparation, tiny_encoder):
    return augmented_of(split, preparation, model_of(tiny_encoder))


class TestSplit:
    def test_before_the_first_epoch_it_is_the_texts_as_they_are(self, augmented, split, preparation):
        assert as_bytes(augmented.ids) == as_bytes(preparation.encode(split.texts))

    def test_epochs_differ_and_come_again(self, augmented, split):
        epochs = []
        for epoch in (0, 1, 0):
            augmented.begin_epoch(epoch)
            epochs.append(as_bytes(augmented.ids))
        assert epochs[0] == epochs[2]
        n_same = sum(one == other for one, other in zip(*epochs[:2], strict=True))
        assert n_same < len(split) / 4

    def test_labels_and_lengths_hold(self, augmented, split):
        for epoch in range(4):
            augmented.begin_epoch(epoch)
            assert [augmented[row]["labels"] for row in range(len(augmented))] == split.labels.tolist()
            assert all(3 <= len(ids) <= ROOM + 2 for ids in augmented.ids)
            assert [len(augmented[row]["input_ids"]) for row in range(64)] == [len(ids) for ids in augmented.ids]

    def test_the_texts_of_the_dataset_stay(self, augmented, split):
        texts = list(split.texts)
        augmented.begin_epoch(1)
        assert split.texts == texts

    def test_another_seed_makes_other_texts(self, split, preparation, tiny_encoder):
        model, made = model_of(tiny_encoder), []
        for seed in (0, 1):
            augmented = augmented_of(split, preparation, model, seed=seed)
            augmented.begin_epoch(0)
            made.append(as_bytes(augmented.ids))
        assert made[0] != made[1]

    def test_windows_are_full_and_from_one_piece(self, split, preparation, tiny_encoder):
        augmented = augmented_of(split, preparation, model_of(tiny_encoder), ["window"])
        n_long = 0
        for epoch in range(3):
            augmented.begin_epoch(epoch)
            for text, ids in zip(split.texts, augmented.ids, strict=True):
                whole = preparation.tokenizer.encode(preparation.clean(text), add_special_tokens=False).ids
                tokens = ids.tolist()[1:-1]
                if len(whole) <= ROOM:
                    assert tokens == whole
                    continue
                n_long += 1
                assert ROOM - 8 <= len(tokens) <= ROOM
                assert any(whole[at : at + len(tokens)] == tokens for at in range(len(whole)))
        assert n_long > 60

    def test_synonyms_come_from_the_encoder(self, split, preparation, tiny_encoder):
        augmented = augmented_of(split, preparation, model_of(tiny_encoder), ["synonym:1"])
        film, plot = (preparation.tokenizer.token_to_id(word) for word in ("film", "plot"))
        before = Counter(np.concatenate(augmented.ids).tolist())
        augmented.begin_epoch(0)
        after = Counter(np.concatenate(augmented.ids).tolist())
        assert after[film] != before[film]
        assert after[film] + after[plot] == before[film] + before[plot]
        assert {token: n for token, n in after.items() if token not in (film, plot)} == {
            token: n for token, n in before.items() if token not in (film, plot)
        }

    def test_examples_are_of_the_first_epoch(self, augmented, split, preparation):
        found = augmented.examples()
        assert len(found) == 5
        augmented.begin_epoch(0)
        for row in found:
            place = split.ids.index(row["id"])
            assert row["before"] == clean(split.texts[place])
            np.testing.assert_array_equal(augmented.ids[place], preparation.encode([row["after"]])[0])

    @pytest.mark.parametrize("nothing", [None, ["mixup"]])
    def test_nothing_to_change_is_no_split(self, nothing, split, preparation, tiny_encoder):
        assert augmented_of(split, preparation, model_of(tiny_encoder), nothing or ()) is None

    def test_an_unknown_name_is_an_error(self, split, preparation, tiny_encoder):
        with pytest.raises(SettingsError, match="Did you mean 'swap'"):
            augmented_of(split, preparation, model_of(tiny_encoder), ["swp"])

    def test_how_many_texts_a_window_is_cut_from_is_said(self, split, preparation, tiny_encoder, caplog):
        caplog.set_level("INFO", "matinee")
        augmented_of(split, preparation, model_of(tiny_encoder), ["window"])
        n_long = sum(n > ROOM + 2 for n in preparation.token_lengths(split.texts))
        assert f"window ({n_long} of 64 texts are longer than the encoder reads)" in caplog.text


class TestTokensPerWord:
    def test_as_when_each_word_is_tokenised_alone(self, split, preparation):
        """WordPiece divides at white space first, so that there each word can be asked about."""
        for text, n_tokens in zip(split.texts, tokens_per_word(preparation, split.texts), strict=True):
            words = preparation.clean(text).split()
            assert n_tokens.tolist() == [n - 2 for n in preparation.token_lengths(words)]

    def test_no_words(self, preparation):
        assert [n.tolist() for n in tokens_per_word(preparation, ["", "<br />", "film"])] == [[], [], [1]]

    @pytest.mark.parametrize("kind", ["byte level", "metaspace"])
    def test_where_the_space_is_a_part_of_the_token(self, kind):
        alphabet = sorted({*pre_tokenizers.ByteLevel.alphabet(), "▁"})
        tokenizer = Tokenizer(models.BPE(vocab={sign: n for n, sign in enumerate(alphabet)}, merges=[]))
        tokenizer.pre_tokenizer = (
            pre_tokenizers.ByteLevel(add_prefix_space=False) if kind == "byte level" else pre_tokenizers.Metaspace()
        )
        preparation = TextPreparation.of(tokenizer, TextSettings(), 0)
        first = 3 if kind == "byte level" else 4
        assert tokens_per_word(preparation, ["its a film"])[0].tolist() == [first, 2, 5]


class Watched:
    """A training whose every batch is written down."""

    def __init__(self, folder, encoder, preparation, split, validation, stop_at=None, **values):
        self.model = model_of(encoder)
        self.split = augmented_of(split, preparation, self.model, **values)
        self.batches = {True: [], False: []}
        self.stop_at = stop_at
        self.model.register_forward_pre_hook(self.write_down, with_kwargs=True)
        self.run = RunFolder(folder)
        if not folder.exists():
            self.run.create(overwrite=False)
            self.run.checkpoints.mkdir()
        settings = settings_of(ALL, **values)
        torch.manual_seed(0)
        try:
            self.result = fit(
                self.model, self.split, validation, settings, label_names=LABELS, pad_id=0, precision="fp32", run=self.run
            )  # fmt: skip
        except InterruptedTrainingError:
            self.result = None

    def write_down(self, model, arguments, inputs):
        kept = [ids[: int(mask.sum())] for ids, mask in zip(inputs["input_ids"], inputs["attention_mask"], strict=True)]
        self.batches[model.training].append([ids.numpy().astype(np.int32).tobytes() for ids in kept])
        if model.training and len(self.batches[True]) == self.stop_at:
            signal.raise_signal(signal.SIGINT)

    def weights(self):
        return torch.cat([parameter.detach().flatten() for parameter in self.model.parameters()])


@pytest.fixture(scope="module")
def whole(tmp_path_factory, tiny_encoder, preparation, split, validation):
    folder = tmp_path_factory.mktemp("runs") / "whole"
    return Watched(folder, tiny_encoder, preparation, split, validation)


class TestTraining:
    def test_each_epoch_is_learned_from_its_own_texts(self, whole):
        batches = whole.batches[True]
        seen = [Counter(text for batch in batches[8 * epoch : 8 * epoch + 8] for text in batch) for epoch in (0, 1)]
        made = []
        for epoch in (0, 1):
            whole.split.begin_epoch(epoch)
            made.append(Counter(as_bytes(whole.split.ids)))
        assert len(batches) == 16
        assert seen == made
        assert seen[0] != seen[1]

    def test_batches_are_of_like_length_as_it_is_in_that_epoch(self, whole):
        """Ordered by the lengths before the change, texts of one batch would differ more."""
        spread = [max(map(len, batch)) - min(map(len, batch)) for batch in whole.batches[True]]
        apart = [len(text) for batch in whole.batches[True] for text in batch]
        assert np.median(spread) < (max(apart) - min(apart)) / 4

    def test_validation_texts_never_change(self, whole, validation):
        batches = whole.batches[False]
        n = len(batches) // 3
        texts = [Counter(text for batch in batches[n * at : n * at + n] for text in batch) for at in range(3)]
        assert texts == [Counter(as_bytes(validation.ids))] * 3

    @pytest.mark.parametrize("stop_at", [3, 8, 13], ids=["first epoch", "between epochs", "second epoch"])
    def test_a_resumed_training_ends_with_the_same_weights(
        self, stop_at, whole, tmp_path, tiny_encoder, preparation, split, validation
    ):
        given = (tmp_path / "cut", tiny_encoder, preparation, split, validation)
        cut = Watched(*given, stop_at=stop_at)
        assert cut.result is None
        resumed = Watched(*given)
        assert resumed.result.n_steps == whole.result.n_steps == 16
        assert cut.batches[True] + resumed.batches[True] == whole.batches[True]
        assert torch.equal(resumed.weights(), whole.weights())

    def test_frozen_layers_are_computed_anew(self, tmp_path, tiny_encoder, preparation, split, validation):
        frozen = Watched(tmp_path / "run", tiny_encoder, preparation, split, validation, freeze="1", epochs=1)
        frozen.split.begin_epoch(0)
        assert Counter(text for batch in frozen.batches[True] for text in batch) == Counter(as_bytes(frozen.split.ids))
