"""The HTTP API: routes, and how errors are said."""

from __future__ import annotations

import asyncio
import logging
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from importlib.resources import files
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse, Response
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware

from matinee._version import __version__
from matinee.core.errors import MatineeError
from matinee.core.types import Predictions
from matinee.serving import schemas
from matinee.serving.batching import Batcher, QueueFullError
from matinee.serving.door import LOCAL_HOSTS, MOST_BYTES, Door
from matinee.serving.errors import RequestError
from matinee.serving.metrics import CONTENT_TYPE, ServerMetrics
from matinee.serving.reference import reference_page

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from matinee.inference.predictor import Predictor

logger = logging.getLogger(__name__)

_Answer = TypeVar("_Answer")

PAGE = {
    "index.html": "text/html; charset=utf-8",
    "app.js": "text/javascript; charset=utf-8",
    "csv.js": "text/javascript; charset=utf-8",
    "style.css": "text/css; charset=utf-8",
    "icon.svg": "image/svg+xml",
}
"""Files of the demo page, with their types: nothing else below `/static/` is ever read."""

_PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
# The report is one file that holds its own styles, scripts and pictures; it is another's work, and kept apart from the page.
_REPORT_POLICY = (
    "sandbox allow-scripts allow-downloads allow-popups allow-modals; default-src 'none'; script-src 'unsafe-inline'; "
    "style-src 'unsafe-inline'; img-src data:; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'"
)

# Explanations that are computed or wait, each of which takes up to some seconds.
_MOST_EXPLAINING = 8
# How often it is looked whether a client is still there.
_WATCH_S = 0.25
_GONE = 499


@dataclass(frozen=True)
class Served:
    """What is served.

    Attributes:
        predictor: Answers; called from one thread.
        explain: From a text and the label to explain, None for the answer's, to `text`, `method`, `words` and `sentences` of what
            `POST /explain` gives; called from one other thread.
        about: What `GET /model` gives.
        report: The run's report; None where there is none.
        most_tokens: That are read of a text; None for a linear classifier.
    """

    predictor: Predictor
    explain: Callable[[str, str | None], dict[str, Any]]
    about: dict[str, Any]
    report: Path | None = None
    most_tokens: int | None = None


def create_app(
    served: Served,
    *,
    key: str | None = None,
    origins: Sequence[str] = (),
    hosts: Collection[str] | None = LOCAL_HOSTS,
    most_bytes: int = MOST_BYTES,
    debug: bool = False,
    **batching: Any,
) -> FastAPI:
    """Return the server's application.

    Args:
        served: What is served.
        key: What requests must bring; None: nothing.
        origins: Origins whose pages may call the API from a browser; none but its own page where not given.
        hosts: Names that it answers to; None: all.
        most_bytes: Of a request's body.
        debug: Log tracebacks of what nobody expected: they may hold texts.
        **batching: As `Batcher` takes it.
    """
    metrics = ServerMetrics()
    metrics.model.info({name: str(served.about[name]) for name in ("name", "backend", "precision", "version")})
    batcher = Batcher(
        served.predictor.probabilities, _cost_of(served.most_tokens), computed=metrics.computed, **batching
    )
    metrics.waiting.set_function(lambda: batcher.n_waiting)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:  # noqa: ARG001 - the shape of a lifespan
        batcher.start()
        yield
        await batcher.close()
        explaining.shutdown(wait=False, cancel_futures=True)

    app = FastAPI(
        title=f"matinee: {served.about['name']}",
        description="A fine-tuned text classifier.",
        version=__version__,
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        swagger_ui_oauth2_redirect_url=None,
        # Two models for a list's items and its own answer would say the same twice.
        separate_input_output_schemas=False,
    )
    _answer_errors(app)
    _add_predict(app, served, batcher)
    explaining = ThreadPoolExecutor(1, "explaining")
    _add_explain(app, served, batcher, metrics, explaining)
    _add_about(app, served, batcher, metrics)
    _add_page(app, served, explaining)
    routes = [path for route in app.routes if (path := getattr(route, "path", None)) is not None]
    door: dict[str, Any] = {
        "metrics": metrics,
        "routes": routes,
        "key": key,
        "hosts": hosts,
        "most_bytes": most_bytes,
    }
    app.add_middleware(Door, debug=debug, **door)
    if origins:  # outside the door, so that pages of these origins can read what it says
        _allow(app, origins)
    _name_labels(app, served.about["labels"])
    return app


def _name_labels(app: FastAPI, labels: Sequence[str]) -> None:
    """Say in the API's description which labels there are to ask for."""
    label = app.openapi()["components"]["schemas"]["ExplainRequest"]["properties"]["label"]
    label["anyOf"] = [{"type": "string", "enum": list(labels)}, {"type": "null"}]


def _allow(app: FastAPI, origins: Sequence[str]) -> None:
    """Let pages of other origins call the API."""
    app.add_middleware(
        CORSMiddleware,
        allow_origins=list(origins),
        allow_methods=["GET", "POST"],
        allow_headers=["Authorization", "Content-Type", "X-Request-ID"],
        expose_headers=["Retry-After", "X-Request-ID"],
    )


def _cost_of(most_tokens: int | None) -> Callable[[str], int]:
    """Return about how many tokens a text costs, by its bytes: four to a token in English, three in Chinese.

    A linear classifier reads far faster what it reads whole.
    """
    if most_tokens is None:
        return lambda text: 1 + len(text) // 64
    return lambda text: min(most_tokens, 2 + len(text.encode("utf-8", "replace")) // 4)


# -- errors -----------------------------------------------------------------------------------------------------------

_ERRORS: dict[int | str, dict[str, Any]] = {
    400: {"description": "The body is no JSON."},
    401: {"description": "The key is missing or wrong."},
    408: {"description": "The body arrived too slowly."},
    413: {"description": "The body is too large."},
    415: {"description": "The body is not declared as JSON."},
    421: {"description": "The server was asked for under a name that is not its own."},
    422: {"description": "The body is JSON, but not what is asked for."},
    429: {"description": "Too much waits already: try again after Retry-After seconds."},
    503: {"description": "The server cannot answer now."},
}


def _errors(*statuses: int) -> dict[int | str, dict[str, Any]]:
    return {status: {"model": schemas.ErrorResponse, **_ERRORS[status]} for status in statuses}


_OF_POST = _errors(400, 401, 408, 413, 415, 421, 422, 429, 503)


def _answer_errors(app: FastAPI) -> None:
    """Say every error in the same shape."""

    async def said(request: Request, error: Exception) -> Response:  # noqa: ARG001 - the shape of a handler
        assert isinstance(error, RequestError)  # noqa: S101 - narrows a type
        return JSONResponse(error.body(), error.status, headers=error.headers)

    async def invalid(request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)  # noqa: S101 - narrows a type
        return await said(request, _invalid(error, request.headers.get("content-type", "")))

    async def http(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)  # noqa: S101 - narrows a type
        known = {400: "malformed_json", 404: "not_found", 405: "method_not_allowed"}
        hint = {
            400: "The body is no JSON.",
            404: "There is nothing here: see /docs.",
            405: "This method is not for this address: see /docs.",
        }
        message = hint.get(error.status_code, str(error.detail))
        response = await said(request, RequestError(error.status_code, known.get(error.status_code, "error"), message))
        response.headers.update(error.headers or {})
        return response

    async def ours(request: Request, error: Exception) -> Response:
        assert isinstance(error, MatineeError)  # noqa: S101 - narrows a type
        return await said(request, _of_ours(error))

    app.add_exception_handler(RequestError, said)
    app.add_exception_handler(RequestValidationError, invalid)
    app.add_exception_handler(HTTPException, http)
    app.add_exception_handler(MatineeError, ours)


def _invalid(error: RequestValidationError, content_type: str) -> RequestError:
    """Return the first thing that is wrong with a body, in words."""
    if content_type.partition(";")[0].strip().lower() != "application/json":
        return RequestError(415, "not_json", "Send JSON, with 'Content-Type: application/json'.")
    # Where a value may have several shapes, that which got furthest is the one that was meant.
    first = max(error.errors(), key=lambda each: (len(each["loc"]), each["type"] not in {"string_type", "list_type"}))
    known = first.get("ctx", {})
    if first["type"] == "json_invalid":
        return RequestError(400, "malformed_json", f"The body is no JSON: {known.get('error', 'damaged')}.")
    where = _place(first["loc"])
    if first["type"] not in _SAID:
        return RequestError(422, "invalid", f"{where}: {first['msg']}.")
    code, message = _SAID[first["type"]]
    limits = {name: f"{value:,}" for name, value in known.items() if isinstance(value, int)}
    return RequestError(422, code, f"{where}: {message.format(**limits)}.")


def _place(loc: Sequence[int | str]) -> str:
    """Return where in the body something is wrong, as in `texts[1]`."""
    parts = list(loc[1:])
    if parts and parts[0] in {"texts", "inputs"}:  # the name of the shape, before that of the field
        parts = parts[1:]
    named = [part for part in parts if isinstance(part, int) or part in _FIELDS]
    place = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in named).lstrip(".")
    return place or (str(parts[0])[:40] if parts else "body")


_FIELDS = {
    *(schemas.PredictRequest.model_fields | schemas.InferenceRequest.model_fields),
    *(schemas.ExplainRequest.model_fields | schemas.InferenceParameters.model_fields),
}

# By pydantic's type of error: our word, and what to do.
_SAID = {
    "too_long": (
        "too_many_texts",
        "at most {max_length} texts at once, got {actual_length}; send them in several requests",
    ),
    "string_too_long": ("text_too_long", "at most {max_length} characters"),
    "too_short": ("no_texts", "give at least one text"),
    "missing": ("invalid", "is missing"),
    "extra_forbidden": ("invalid", "is not known here"),
    "string_type": ("invalid", "must be a string"),
    "list_type": ("invalid", "must be a list of strings"),
}


def _of_ours(error: MatineeError) -> RequestError:
    """Return an error of the server's own, whose words may hold paths: they are for the log."""
    logger.error(" ".join(str(error).split()))
    return RequestError(503, "not_available", "The server cannot do this now: its log says why.", 60)


# -- routes -----------------------------------------------------------------------------------------------------------


async def _answer(request: Request, texts: list[str], served: Served, batcher: Batcher) -> Predictions:
    """Return what the classifier says of a request's texts."""
    _say(request, n_texts=len(texts))
    try:
        said = await _while_there(request, batcher.probabilities(texts))
    except QueueFullError as error:
        raise RequestError(429, "too_busy", str(error), error.retry_after) from None
    predictor = served.predictor
    ids = [str(row) for row in range(len(texts))]
    return Predictions(ids, texts, said, predictor.label_names, threshold=predictor.threshold)


def _add_predict(app: FastAPI, served: Served, batcher: Batcher) -> None:
    async def predict(
        request: Request, body: schemas.AnyPredictRequest
    ) -> schemas.PredictResponse | list[list[schemas.LabelScore]]:
        """Label texts.

        Texts of requests that wait at the same time are computed together. Two shapes are taken: `{"texts": [...]}`, answered by
        `{"predictions": [...]}`; and Hugging Face's `{"inputs": ...}`, answered as its inference API does, by a list of labels with
        scores for each text, the answer first.
        """
        if isinstance(body, schemas.PredictRequest):
            said = replace(await _answer(request, body.texts, served, batcher), abstain_below=body.abstain_below)
            return JSONResponse({"predictions": _records(said)})  # type: ignore[return-value] # written once, not checked again
        texts = [body.inputs] if isinstance(body.inputs, str) else body.inputs
        top_k = None if body.parameters is None else body.parameters.top_k
        return JSONResponse(_ranked(await _answer(request, texts, served, batcher), top_k))  # type: ignore[return-value] # as above

    responses = _OF_POST
    app.post("/predict", responses=responses, tags=["classifier"], operation_id="predict")(predict)
    # Where a client of Hugging Face is given the server's address alone.
    app.post("/", responses=responses, include_in_schema=False, response_model=None)(predict)


def _records(said: Predictions) -> list[dict[str, Any]]:
    """Return answers as the API gives them: no more digits than say something."""
    records = [{name: value for name, value in record.items() if name != "text"} for record in said]
    for record in records:
        record["score"] = round(record["score"], 6)
        record["probabilities"] = {name: round(value, 6) for name, value in record["probabilities"].items()}
    return records


def _ranked(said: Predictions, top_k: int | None) -> list[list[dict[str, Any]]]:
    """Return each text's labels with their scores: the answer, then the others by their probability."""
    is_answer = np.arange(len(said.label_names)) == said.predicted[:, None]
    order: NDArray[np.int64] = (-said.probabilities - is_answer).argsort(axis=1, kind="stable")
    return [
        [{"label": said.label_names[i], "score": round(float(row[i]), 6)} for i in ranks[:top_k]]
        for row, ranks in zip(said.probabilities, order, strict=True)
    ]


def _add_explain(
    app: FastAPI, served: Served, batcher: Batcher, metrics: ServerMetrics, thread: ThreadPoolExecutor
) -> None:
    under_way = 0

    @app.post("/explain", responses=_OF_POST, tags=["classifier"], operation_id="explain")
    async def explain(request: Request, body: schemas.ExplainRequest) -> schemas.ExplainResponse:
        """Say which words and sentences decided: a signed contribution of each to the log-odds of a label."""
        nonlocal under_way
        _say(request, n_texts=1)
        names = served.predictor.label_names
        if body.label is not None and body.label not in names:
            raise RequestError(422, "unknown_label", f"label: must be one of {', '.join(names)}, got {body.label!r}.")
        said = await _answer(request, [body.text], served, batcher)
        predicted = names[int(said.predicted[0])]
        explained = predicted if body.label is None else body.label
        if under_way >= _MOST_EXPLAINING:
            raise RequestError(429, "too_busy", "Too many texts wait to be explained; try again in 5 s.", 5)
        under_way += 1
        work = asyncio.get_running_loop().run_in_executor(thread, served.explain, body.text, explained)

        def finished(future: asyncio.Future[dict[str, Any]]) -> None:
            nonlocal under_way
            under_way -= 1
            if not future.cancelled():
                future.exception()  # is answered below, where somebody still waits

        work.add_done_callback(finished)
        found = await _while_there(request, work)
        metrics.explanations.inc()
        score = round(float(said.probabilities[0, names.index(explained)]), 6)
        found = {**found, "label": explained, "predicted": predicted, "score": score}
        return JSONResponse(found)  # type: ignore[return-value] # written once, not checked again


def _add_about(app: FastAPI, served: Served, batcher: Batcher, metrics: ServerMetrics) -> None:
    @app.get("/model", responses=_errors(401, 421), tags=["classifier"], operation_id="model")
    async def model() -> schemas.ModelResponse:
        """Say what answers here, and how good it was on its test texts."""
        return schemas.ModelResponse(**served.about)

    @app.get("/health/live", responses=_errors(421, 503), tags=["operation"], operation_id="live")
    async def live() -> schemas.Health:
        """Say that the server lives; 503 where texts are no longer computed, and only a new start helps."""
        if not batcher.is_alive:
            raise RequestError(503, "not_alive", "Texts are no longer computed: start the server anew.", 5)
        return schemas.Health(status="ok")

    @app.get("/health/ready", responses=_errors(421, 503), tags=["operation"], operation_id="ready")
    async def ready() -> schemas.Health:
        """Say that the server takes requests; 503 while its queue is full."""
        if batcher.closing or batcher.is_full:
            raise RequestError(503, "not_ready", "The server takes no requests now.", 1)
        return schemas.Health(status="ok")

    @app.get(
        "/metrics", responses=_errors(401, 421), tags=["operation"], operation_id="metrics", response_class=Response
    )
    async def metrics_() -> Response:
        """Give counters in Prometheus's format."""
        return Response(metrics.text(), media_type=CONTENT_TYPE)


def _add_page(app: FastAPI, served: Served, thread: ThreadPoolExecutor) -> None:
    page, visited = files("matinee.serving") / "page", False

    def asset(name: str) -> Response:
        headers = {"Content-Security-Policy": _PAGE_POLICY, "Cache-Control": "no-cache"}
        return Response((page / name).read_bytes(), media_type=PAGE[name], headers=headers)

    @app.get("/docs", include_in_schema=False)
    def docs(request: Request) -> Response:
        headers = {"Content-Security-Policy": _PAGE_POLICY}
        return HTMLResponse(reference_page(app.openapi(), str(request.base_url).rstrip("/")), headers=headers)

    @app.get("/", include_in_schema=False)
    def index() -> Response:
        nonlocal visited
        if not visited:  # the first explanation sets much up: it is ready when the visitor has read the page
            visited = True
            thread.submit(served.explain, "Ready?", None)
        return asset("index.html")

    @app.get("/static/{name}", include_in_schema=False)
    def static(name: str) -> Response:
        if name not in PAGE:
            raise RequestError(404, "not_found", "There is nothing here.")
        return asset(name)

    @app.get("/report", include_in_schema=False)
    def report() -> Response:
        content = None
        if served.report is not None:
            with suppress(OSError):
                content = served.report.read_bytes()
        if content is None:
            raise RequestError(
                404, "no_report", "There is no report: `matinee report RUN` writes it, for a run folder."
            )
        return HTMLResponse(content, headers={"Content-Security-Policy": _REPORT_POLICY, "Cache-Control": "no-cache"})


# -- requests ---------------------------------------------------------------------------------------------------------


def _say(request: Request, **said: Any) -> None:
    """Have the log's line of this request say more."""
    request.scope.setdefault("state", {}).setdefault("said", {}).update(said)


async def _while_there(request: Request, work: Awaitable[_Answer]) -> _Answer:
    """Wait for work as long as the client does.

    Raises:
        RequestError: The client has gone, and nobody will hear this.
    """
    task = asyncio.ensure_future(work)
    try:
        while not (await asyncio.wait({task}, timeout=_WATCH_S))[0]:
            if await request.is_disconnected():
                raise RequestError(_GONE, "gone", "The client went away.")
        return task.result()
    finally:
        task.cancel()
