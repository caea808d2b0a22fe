"""The stock way to fine-tune a classifier, as tutorials write it: what the other benchmarks measure matinee against.

It is the original project's recipe: Hugging Face Trainer, the architecture's own classification head, float32, stock
dropout, texts in lower case, every one padded to 256 tokens, batches of 32, AdamW at 5e-5 falling linearly, 2 epochs. Whatever
this version of transformers does by default is left alone, so that it profits from a fused AdamW where that is the default.
"""

from __future__ import annotations

import numpy as np
from transformers import AutoModelForSequenceClassification, AutoTokenizer, Trainer, TrainingArguments, set_seed

MAX_LENGTH, BATCH_SIZE, LEARNING_RATE, EPOCHS = 256, 32, 5e-5, 2


class Stock:
    """A classifier of two or more labels, trained and used the stock way."""

    def __init__(self, encoder, texts, labels, output, *, epochs=EPOCHS, seed=0):
        set_seed(seed)
        self.tokenizer = AutoTokenizer.from_pretrained(encoder)
        model = AutoModelForSequenceClassification.from_pretrained(encoder, num_labels=int(max(labels)) + 1)
        arguments = TrainingArguments(
            output_dir=str(output),
            num_train_epochs=epochs,
            per_device_train_batch_size=BATCH_SIZE,
            per_device_eval_batch_size=BATCH_SIZE,
            learning_rate=LEARNING_RATE,
            seed=seed,
            save_strategy="no",
            report_to="none",
            disable_tqdm=True,
        )
        self.trainer = Trainer(model=model, args=arguments, train_dataset=self.encode(texts, labels))

    def encode(self, texts, labels):
        """Return one dict of token ids, mask and label per text."""
        prepared = [text.lower().strip() for text in texts]
        encoded = self.tokenizer(prepared, padding="max_length", truncation=True, max_length=MAX_LENGTH)
        columns = {**encoded, "labels": [int(label) for label in labels]}
        return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]

    def train(self):
        """Fine-tune."""
        self.trainer.train()

    def probabilities(self, texts):
        """Return label probabilities, shape (n_texts, n_labels)."""
        logits = self.trainer.predict(self.encode(texts, [0] * len(texts))).predictions.astype(np.float64)
        weights = np.exp(logits - logits.max(axis=1, keepdims=True))
        return weights / weights.sum(axis=1, keepdims=True)
