"""What people write first: FastAPI around transformers' pipeline.

python benchmarks/naive_server.py MODEL_FOLDER MAX_LENGTH PORT
"""

from __future__ import annotations

import sys

import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel
from transformers import AutoModelForSequenceClassification, AutoTokenizer, pipeline


class Texts(BaseModel):
    """A request."""

    texts: list[str]


def main():
    """Load the pipeline, and serve it."""
    folder, max_length, port = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    # A head of its own where the folder holds none of transformers': the same work, if not the same answers.
    model = AutoModelForSequenceClassification.from_pretrained(folder)
    classify = pipeline("text-classification", model=model, tokenizer=AutoTokenizer.from_pretrained(folder))
    app = FastAPI()

    @app.post("/predict")
    def predict(request: Texts):
        return {"predictions": classify(request.texts, truncation=True, max_length=max_length)}

    uvicorn.run(app, port=port, log_level="warning")


if __name__ == "__main__":
    main()
