"""Level 4: the HTTP API and the demo page. Needs the extra `serve`; knows predictors, never runs."""
