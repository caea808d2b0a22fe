"""One file per back end; each is a `Predictor`."""
