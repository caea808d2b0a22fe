"""`matinee export`."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any

import click

from matinee.cli import terminal
from matinee.cli.options import SettingsCommand, given, settings_options

if TYPE_CHECKING:
    from collections.abc import Mapping


@click.command(cls=SettingsCommand, short_help="Write a classifier for a faster library, with proof.")
@click.argument("run")
@click.option(
    "--to", type=click.Choice(["openvino", "onnx"]), default="openvino", show_default=True, help="Library that answers."
)
@click.option(
    "--precision",
    type=click.Choice(["fp32", "bf16", "int8"]),
    help="Number format. [default: bf16 for openvino, fp32 for onnx, int8 for a cascade]",
)
@click.option("--int8", is_flag=True, help="The same as --precision int8.")
@click.option("--out", metavar="DIR", help="Where to write it. [default: RUN/exports/TO-PRECISION]")
@click.option("--overwrite", is_flag=True, help="Replace an export that is there.")
@click.option(
    "--max-accuracy-drop",
    type=float,
    default=0.5,
    show_default=True,
    metavar="POINTS",
    help="Largest fall in accuracy on held-out texts; an export beyond it is not kept. What is beyond 0.5 answers only where it is named.",
)
@click.option(
    "--max-flips",
    type=float,
    default=1.0,
    show_default=True,
    metavar="PERCENT",
    help="Largest share of held-out texts that get another label, not of a cascade. What is beyond 1 answers only where it is named.",
)
@click.option(
    "--calibration-texts",
    type=int,
    metavar="N",
    help="Training texts that int8 for OpenVINO takes its ranges from. [default: 300]",
)
@click.option(
    "--data",
    metavar="FILE",
    help="Held-out texts in place of the run's own test texts, with or without labels; of --cascade with.",
)
@click.option("--cascade", is_flag=True, help="Let a linear classifier answer what it is sure of.")
@click.option(
    "--cheap", metavar="RUN", help="Of --cascade: a linear run. [default: the run's tf-idf baseline, fitted again]"
)
@click.option(
    "--bound",
    type=float,
    metavar="POINTS",
    help="Of --cascade: accuracy that it may cost on the validation texts, by which it is made. [default: 0.2]",
)
@click.option("--json", "as_json", is_flag=True, help="Print the proof as JSON.")
@terminal.offline_option
@settings_options(names=["text_column", "label_column", "missing", "encoding"])
@terminal.shared_options
def export(run: str, as_json: bool, int8: bool, precision: str | None, **values: Any) -> None:
    """Write the classifier in RUN for a faster library, and prove that it says the same.

    The export is held against PyTorch in float32 on the run's test texts. Where it costs more than the limits, nothing is
    kept. The folder holds all that is needed to answer, on a machine without PyTorch too; `matinee predict RUN` uses the
    fastest export of a run by itself. One that needed looser limits than the defaults is used only where --backend or its
    folder names it. RUN may be a model folder or hub id, with --data and --out.

    \b
      matinee export runs/imdb --to openvino --int8
      matinee export runs/imdb --cascade
    """
    import json

    from matinee.core.errors import SettingsError
    from matinee.core.schema import from_flags, settings_fields
    from matinee.workflow import export as export_

    if int8 and precision not in {None, "int8"}:
        raise SettingsError(f"--int8 and --precision {precision} contradict each other: give one of them.")
    own = {name: value for name, value in values.items() if name not in settings_fields()}
    done = export_(run, precision="int8" if int8 else precision, flags=from_flags(given(values)), **own)
    if as_json:
        terminal.say(json.dumps(done.parity, ensure_ascii=False))
        return
    _print(done.parity)
    if done.loose:
        named = "its folder" if values["cascade"] else f"--backend {values['to']} or its folder"
        terminal.say(
            f"It needed looser limits: {' and '.join(done.loose)}. Only {named} answers with it, --backend auto does not."
        )
    terminal.say(f'Written to {done.path}\nUse it: matinee predict {shlex.quote(str(done.path))} "A text."')


def _print(parity: Mapping[str, Any]) -> None:
    held, name = parity["held_out"], f"{parity['backend']} {parity['precision']}"
    terminal.print_table(
        f"On {held['n']:,} {held['split']} texts, 95 % intervals in brackets",
        ["", name, parity["reference"]],
        [*_rows(parity)],
    )
    for attempt in parity["attempts"][:-1]:
        terminal.say(
            f"int8, {attempt['recipe']}: {100 * attempt['flips']:.1f} % of {attempt['n']:,} validation labels differed; "
            f"{parity['attempts'][-1]['recipe']} was taken."
        )
    if "cheap_share" in parity:
        terminal.say(
            f"The linear classifier answers {100 * parity['cheap_share']:.0f} % of the texts: those that it is at least "
            f"{100 * parity['threshold']:.1f} % sure of."
            if parity["threshold"] <= 1
            else "The linear classifier answers nothing: it was never sure enough on validation."
        )


def _rows(parity: Mapping[str, Any]) -> list[list[str]]:
    flips, gap, accuracy, odd = (parity[name] for name in ("flips", "gap", "accuracy", "odd"))
    ours, theirs = parity["texts_per_second"], parity["reference_texts_per_second"]
    limit = "" if flips["limit"] is None else f", limit {100 * flips['limit']:g} %"
    rows = [
        ["Size", f"{parity['size_mb']:,.1f} MB", f"{parity['reference_size_mb']:,.1f} MB"],
        ["Texts a second", f"{ours:,.1f} ({ours / theirs:.1f} x)", f"{theirs:,.1f}"],
        ["Labels that differ", f"{flips['n']:,} ({100 * flips['share']:.2f} %{limit})", "–"],
        ["Gap of probabilities", f"{gap['mean']:.4f} on average, {gap['largest']:.3f} at most", "–"],
        ["Odd texts", f"{odd['flips']} of {odd['n']} differ, gap {odd['largest_gap']:.3f} at most", "–"],
    ]
    if accuracy is not None:
        change = {name: f"{100 * accuracy['change'][name]:+z.2f}" for name in ("value", "low", "high")}
        said = f"{change['value']} [{change['low']}, {change['high']}], limit -{100 * accuracy['limit']:g}"
        rows.append(["Accuracy", f"{100 * accuracy['candidate']:.2f} %", f"{100 * accuracy['reference']:.2f} %"])
        rows.append(["Its change, points", said, "–"])
    return rows
