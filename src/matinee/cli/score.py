"""`matinee score`."""

from __future__ import annotations

import click

from matinee.cli import terminal
from matinee.cli.options import SettingsCommand, backend_option, engine_options, settings_options


@click.command(cls=SettingsCommand, short_help="Label files of any size.")
@click.argument("run")
@click.argument("inputs", nargs=-1, required=True, metavar="INPUT...")
@click.argument("output")
@backend_option
@click.option("--shard-rows", type=int, default=10_000, show_default=True, metavar="N", help="Rows of a shard.")
@click.option(
    "--format",
    "form",
    metavar="parquet|jsonl|csv|tsv",
    help="Of the shards. [default: parquet, or the ending of OUTPUT]",
)
@click.option(
    "--prefix",
    metavar="TEXT",
    help="Put before the names of the written columns. [default: none, or predicted_ where a name is taken]",
)
@click.option(
    "--overwrite", is_flag=True, help="Replace a file, a complete output, or one that was begun with something else."
)
@engine_options
@terminal.offline_option
@settings_options(names=["text_column", "encoding"])
@terminal.shared_options
def score(
    run: str,
    inputs: tuple[str, ...],
    output: str,
    backend: str,
    shard_rows: int,
    form: str | None,
    prefix: str | None,
    overwrite: bool,
    engine: str,
    address: str | None,
    workers: int | None,
    offline: bool,
    text_column: str | None,
    encoding: str | None,
) -> None:
    """Label every text of the INPUT files with the classifier in RUN, in constant memory, and write them to OUTPUT.

    INPUT is a CSV, TSV, JSONL, JSON or Parquet file, a .txt file with one text a line, or a glob of such. OUTPUT is a folder,
    filled with shards, or one .parquet, .jsonl, .csv or .tsv file. All columns are kept; label, score and a probability per label
    come behind them. A row that cannot be used is set aside with its reason. Stopped at any moment, the same command goes on.

    With --engine ray many processes answer, on this machine or a cluster; INPUT and OUTPUT may then be addresses in S3, Google
    Cloud Storage or Azure: s3://, gs://, abfs:// (docs/scale.md). OUTPUT is a folder that all machines see.

    \b
      matinee score runs/imdb reviews.csv scored.parquet
      matinee score runs/imdb "crawl/*.jsonl" scored/ --backend openvino
      matinee score runs/imdb "s3://lake/reviews/*.parquet" s3://lake/scored/ --engine ray --address auto
    """
    from matinee.workflow import score as score_

    result = score_(
        run,
        inputs,
        output,
        backend=backend,
        shard_rows=shard_rows,
        format=form,
        text_column=text_column,
        encoding=encoding or "utf-8",
        prefix=prefix,
        overwrite=overwrite,
        offline=offline,
        engine=engine,
        address=address,
        workers=workers,
    )
    counts = [
        f"{name} {count:,} ({100 * count / max(1, result.n_scored):.0f} %)" for name, count in result.labels.items()
    ]
    terminal.say(f"{result.n_scored:,} texts scored: {', '.join(counts)}")
    if result.seconds > 1:
        terminal.say(f"{(result.n_scored - result.n_before) / result.seconds:,.0f} texts a second")
    if result.rejected is not None:
        rows = "row was" if result.n_rejected == 1 else "rows were"
        terminal.say(f"{result.n_rejected:,} {rows} set aside: {result.rejected}")
    terminal.say(f"Written to {result.path}")
