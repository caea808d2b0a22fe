"""What the API takes and gives: the shapes of requests and answers, with examples for its documentation."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    StringConstraints,
    Tag,
    model_validator,
)

MOST_TEXTS = 1_000
"""Texts of one request."""

MOST_CHARACTERS = 100_000
"""Characters of one text: some forty times what the encoder reads of it."""

_MOST_FIELDS, _LONGEST_LABEL = 20, 200

MOST_EXPLAINED = 20_000
"""Characters of a text that is explained, which takes many times as long as answering."""


def _whole(value: Any) -> Any:
    """Put U+FFFD in the place of half a character: what cut a text to a length may have cut an emoji in two."""
    return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace") if isinstance(value, str) else value


Text = Annotated[str, StringConstraints(strict=True, max_length=MOST_CHARACTERS), BeforeValidator(_whole)]
ExplainedText = Annotated[str, StringConstraints(strict=True, max_length=MOST_EXPLAINED), BeforeValidator(_whole)]
Label = Annotated[str, StringConstraints(strict=True, max_length=_LONGEST_LABEL), BeforeValidator(_whole)]


class _Request(BaseModel):
    model_config = ConfigDict(extra="forbid")

    @model_validator(mode="before")
    @classmethod
    def _few_fields(cls, value: Any) -> Any:
        """Stop at once where there are far too many fields: naming each of a million would take long."""
        if isinstance(value, dict) and len(value) > _MOST_FIELDS:
            raise ValueError(f"at most {_MOST_FIELDS} fields, got {len(value):,}")
        return value


class PredictRequest(_Request):
    """Texts to label."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"texts": ["A warm, funny film.", "Two hours of my life."]}]}
    )

    texts: Annotated[list[Text], Field(min_length=1, max_length=MOST_TEXTS, description="Texts, 1 to 1,000.")]
    abstain_below: Annotated[float, Field(gt=0, lt=1)] | None = Field(
        default=None, description='Answer "uncertain" where the score is below this.'
    )


class InferenceParameters(_Request):
    """Parameters of a request in the Hugging Face shape."""

    top_k: Annotated[int, Field(ge=1, le=10_000)] | None = Field(
        default=None, description="Labels to give of each text."
    )
    function_to_apply: Literal["softmax"] | None = Field(default=None, description="Probabilities are what there is.")
    truncation: Any = Field(
        default=None, description="Taken and not used: how long texts are read is in the classifier."
    )


class InferenceRequest(_Request):
    """Texts in the shape of Hugging Face's inference API."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"inputs": "A warm, funny film."}]})

    inputs: Text | Annotated[list[Text], Field(min_length=1, max_length=MOST_TEXTS)]
    parameters: InferenceParameters | None = None
    options: dict[str, Any] | None = Field(default=None, description="Taken and not used.")


def _shape(value: Any) -> str:
    has_inputs = "inputs" in value if isinstance(value, dict) else isinstance(value, InferenceRequest)
    return "inputs" if has_inputs else "texts"


AnyPredictRequest = Annotated[
    Annotated[PredictRequest, Tag("texts")] | Annotated[InferenceRequest, Tag("inputs")], Discriminator(_shape)
]


class Prediction(BaseModel):
    """What the classifier says of one text."""

    label: str = Field(description='The answer; "uncertain" where the classifier abstains.')
    score: float = Field(
        ge=0, le=1, description="Probability of the likeliest label, or of the answer where a threshold decides."
    )
    probabilities: dict[str, float] = Field(description="Of each label.")


class PredictResponse(BaseModel):
    """Answers in the order of the texts."""

    predictions: list[Prediction]


class LabelScore(BaseModel):
    """A label with its probability, in the Hugging Face shape."""

    label: str
    score: float = Field(ge=0, le=1)


class ExplainRequest(_Request):
    """A text to explain."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"text": "A warm, funny film."}]})

    text: ExplainedText = Field(description="Up to 20,000 characters.")
    label: Label | None = Field(default=None, description="The label to explain; the answer where not given.")


class Part(BaseModel):
    """A word or a sentence."""

    text: str
    start: int = Field(ge=0, description="Place of its first character in `text`, in code points.")
    end: int = Field(ge=0, description="Place behind its last character.")
    contribution: float = Field(
        description="To the log-odds of the label: positive speaks for it, negative against it."
    )


class ExplainResponse(BaseModel):
    """Why the classifier says what it says."""

    text: str = Field(description="As it was explained; places are in it.")
    label: str = Field(description="The label that is explained.")
    predicted: str = Field(description="The label that the classifier gives.")
    score: float = Field(ge=0, le=1, description="Probability of the label that is explained.")
    method: str
    words: list[Part] = Field(description="Words that the classifier read, in the order of the text.")
    sentences: list[Part]


class Score(BaseModel):
    """A score with its 95 % interval."""

    value: float
    low: float | None = None
    high: float | None = None


class Metrics(BaseModel):
    """How good the classifier was on its test texts."""

    accuracy: Score
    f1: Score | None = None
    n: int


class ModelResponse(BaseModel):
    """What answers here."""

    model_config = ConfigDict(protected_namespaces=())

    name: str
    labels: list[str]
    encoder: str
    backend: str
    precision: str
    max_length: int | None = Field(description="Tokens that are read at once; null for a linear classifier.")
    metrics: Metrics | None = Field(description="Of the run; null where the folder does not say.")
    card: str | None = Field(description="The model card, in Markdown.")
    report: bool = Field(description="Whether GET /report shows the run's report.")
    version: str


class Health(BaseModel):
    """Whether the server lives, or is ready."""

    status: Literal["ok"]


class ErrorResponse(BaseModel):
    """What went wrong, in one line, and a word for programs."""

    error: str
    code: str
