"""SetFit on the texts that accuracy.py hands over. It runs in an environment of its own, which has no matinee.

python benchmarks/setfit_arm.py GIVEN.json RESULT.json

Settings are SetFit's own defaults (CosineSimilarityLoss, batches of 16 pairs, learning rate 2e-5, logistic regression on
top), with as many pairs as its paper and authors recommend: 20 positive and 20 negative ones per labelled text
(`num_iterations=20`, Tunstall et al. 2022, section 4; huggingface/setfit#86), and never more than `most_steps` steps, which
accuracy.py documents: one step reads 32 texts, so that 1,000 labelled texts would ask for 2,500 steps, 80,000 texts read.
"""

from __future__ import annotations

import json
import math
import resource
import sys
import tempfile
import time
from pathlib import Path

BATCH_SIZE, ITERATIONS = 16, 20


def planned_steps(n_texts: int, most_steps: int) -> dict[str, int]:
    """Return the recommended number of steps, and how many are taken."""
    recommended = math.ceil(2 * ITERATIONS * n_texts / BATCH_SIZE)
    return {"recommended_steps": recommended, "steps": min(recommended, most_steps)}


def build(encoder: str, max_length: int):
    """Return the encoder as sentence-transformers publishes it: mean pooling, vectors of length 1."""
    import torch
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.base.modules import Transformer
    from sentence_transformers.sentence_transformer.modules import Normalize, Pooling
    from setfit import SetFitModel
    from sklearn.linear_model import LogisticRegression

    device = "cuda" if torch.cuda.is_available() else "cpu"
    transformer = Transformer(encoder, max_seq_length=max_length)
    pooling = Pooling(transformer.get_embedding_dimension(), pooling_mode="mean")
    body = SentenceTransformer(modules=[transformer, pooling, Normalize()], device=device)
    return SetFitModel(model_body=body, model_head=LogisticRegression())


def fit(given: dict, output: str):
    """Return a SetFit model trained on the train texts."""
    from datasets import Dataset
    from setfit import Trainer, TrainingArguments

    model = build(given["encoder"], given["max_length"])
    arguments = TrainingArguments(
        output_dir=output,
        batch_size=BATCH_SIZE,
        max_steps=planned_steps(len(given["train"]["texts"]), given["most_steps"])["steps"],
        seed=given["seed"],
        save_strategy="no",
        report_to="none",
        show_progress_bar=False,
    )
    columns = {"text": given["train"]["texts"], "label": given["train"]["labels"]}
    Trainer(model=model, args=arguments, train_dataset=Dataset.from_dict(columns)).train()
    return model


def main() -> None:
    """Train, predict, write."""
    import sentence_transformers
    import setfit
    import transformers

    given = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as output:
        model = fit(given, output)
    fitted = time.perf_counter()
    said = {name: model.predict_proba(texts, as_numpy=True).tolist() for name, texts in given["predict"].items()}
    versions = {part.__name__: part.__version__ for part in (setfit, sentence_transformers, transformers)}
    result = {
        "probabilities": said,
        "seconds": {"fit": fitted - start, "predict": time.perf_counter() - fitted},
        "peak_memory_gb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9, 2),
        "settings": {**planned_steps(len(given["train"]["texts"]), given["most_steps"]), "versions": versions},
    }
    Path(sys.argv[2]).write_text(json.dumps(result), encoding="utf-8")


if __name__ == "__main__":
    main()
