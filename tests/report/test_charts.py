"""Inline SVG: points stand where the axes say, nothing leaves the drawing, nothing is unescaped."""

import math
import re
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from matinee.report.charts import (
    BROAD,
    MARKERS,
    Axis,
    Series,
    Thread,
    axis_around,
    bar,
    columns,
    key,
    line_chart,
    log_axis_around,
    parallel,
    strip,
)


def parse(svg):
    return ET.fromstring(str(svg))


def scale_of(svg, anchor):
    """Return the function from values to places that the named ticks of a drawing tell: of x ("middle") or y ("end")."""
    key, shift = ("x", 0.0) if anchor == "middle" else ("y", -4.0)
    found = [
        (float(text.text.rstrip("%")), float(text.get(key)) + shift)
        for text in svg.iter("text")
        if text.get("class") == "tick" and text.get("text-anchor") == anchor
    ]
    (value, place), (other_value, other_place) = found[0], found[-1]
    slope = (other_place - place) / (other_value - value)
    return lambda at: place + (at - value) * slope


X = Axis(0.0, 3.0, "epoch", (0.0, 1.0, 2.0, 3.0), lambda v: f"{v:.0f}")
Y = Axis(0.0, 1.0, "accuracy", (0.0, 0.5, 1.0), lambda v: f"{v:.0%}")


def test_points_line_and_whiskers_stand_where_the_axes_say():
    series = Series("s", "after", ((0.0, 0.25), (3.0, 1.0)), marker="circle", whiskers=((0.0, 0.5), (0.5, 1.0)))
    svg = parse(line_chart(X, Y, [series], label="l"))
    x, y = scale_of(svg, "middle"), scale_of(svg, "end")
    circles = [(float(c.get("cx")), float(c.get("cy"))) for c in svg.iter("circle")]
    assert circles == [pytest.approx((x(0), y(25)), abs=0.02), pytest.approx((x(3), y(100)), abs=0.02)]
    (path,) = svg.iter("path")
    assert [tuple(map(float, point.split())) for point in path.get("d")[1:].split("L")] == circles
    whiskers = [line for line in svg.iter("line") if line.get("class") == "whisker"]
    assert [float(w.get("y1")) for w in whiskers] == pytest.approx([y(0), y(50)], abs=0.02)
    assert [float(w.get("y2")) for w in whiskers] == pytest.approx([y(50), y(100)], abs=0.02)


def test_the_diagonal_is_y_equals_x():
    axis = Axis(0.45, 1.0, "p", (0.5, 1.0), lambda v: f"{v:.0%}")
    svg = parse(line_chart(axis, Y, [], label="l", diagonal=True))
    x, y = scale_of(svg, "middle"), scale_of(svg, "end")
    (line,) = (line for line in svg.iter("line") if line.get("class") == "diagonal")
    ends = [float(line.get(key)) for key in ("x1", "y1", "x2", "y2")]
    assert ends == pytest.approx([x(45), y(45), x(100), y(100)], abs=0.02)


def test_columns_are_as_tall_as_their_counts():
    svg = parse(columns(X, [(0.0, 1.0, 10), (1.0, 2.0, 40)], label="l", title="t"))
    few, many = [float(rect.get("height")) for rect in svg.iter("rect")]
    assert many == pytest.approx(4 * few, abs=0.05)


def test_strips_of_one_axis_share_a_scale():
    axis = Axis(-0.2, 0.2, "", (), str)
    one, two = (parse(strip(v, v - 0.1, v + 0.1, axis=axis, zero=0.0)) for v in (-0.1, 0.1))
    zero = {float(line.get("x1")) for svg in (one, two) for line in svg.iter("line") if line.get("class") == "zero"}
    (at_zero,) = zero
    left, right = (float(next(svg.iter("circle")).get("cx")) for svg in (one, two))
    assert right - at_zero == pytest.approx(at_zero - left, abs=0.02)
    interval = next(line for line in two.iter("line") if line.get("class").startswith("interval"))
    assert float(interval.get("x1")) == pytest.approx(at_zero, abs=0.02)


def test_series_differ_without_colour():
    marks = [
        Series("a", "training", ((0, 0), (1, 1)), "circle"),
        Series("b", "validation", ((0, 0), (1, 1)), "square", dashed=True),
    ]
    svg = str(line_chart(X, Y, marks, label="l"))
    assert svg.count("<circle") == 2
    assert svg.count("<rect") == 2
    assert svg.count("dashed") == 1


def test_a_line_of_many_points_has_no_markers():
    series = Series("a", "training", tuple((n / 50, 0.5) for n in range(150)), "circle")
    assert "<circle" not in line_chart(X, Y, [series], label="l")


def test_every_marker_is_drawn_in_its_own_way():
    drawn = set()
    for marker in MARKERS:
        svg = parse(line_chart(X, Y, [Series("s", "after", ((1.0, 0.5),), marker)], label="l"))
        (group,) = (each for each in svg.iter("g"))
        (mark,) = (each for each in group if each.tag != "title")
        drawn.add((mark.get("class"), mark.tag, mark.get("d"), mark.get("r"), mark.get("width")))
    assert len(drawn) == len(MARKERS)


def test_dots_without_a_line_are_all_drawn():
    dots = Series("a", "training", tuple((n / 50, 0.5) for n in range(150)), "circle", line=False)
    assert str(line_chart(X, Y, [dots], label="l")).count("<circle") == 150


def test_a_band_lies_behind_and_between_its_ends():
    series = Series("a", "after", ((0.0, 0.5), (3.0, 0.5)), band=((0.0, 0.25, 0.5), (3.0, 0.5, 1.0)))
    svg = parse(line_chart(X, Y, [series], label="l"))
    x, y = scale_of(svg, "middle"), scale_of(svg, "end")
    (polygon,) = svg.iter("polygon")
    corners = [tuple(map(float, corner.split(","))) for corner in polygon.get("points").split()]
    wanted = [(0, 50), (3, 100), (3, 50), (0, 25)]
    assert corners == [pytest.approx((x(across), y(up)), abs=0.02) for across, up in wanted]
    tags = [each.tag for each in svg.iter()]
    assert tags.index("polygon") < tags.index("path")


def test_notes_stand_below_their_points_and_whiskers():
    plain, whiskered = (
        parse(
            line_chart(X, Y, [Series("s", "after", ((1.0, 0.5),), "circle", notes=("5,000",), whiskers=w)], label="l")
        )
        for w in ((), ((0.1, 0.9),))
    )
    one, other = (next(t for t in svg.iter("text") if t.text == "5,000") for svg in (plain, whiskered))
    (whisker,) = (line for line in whiskered.iter("line") if line.get("class") == "whisker")
    assert float(other.get("y")) > float(whisker.get("y1")) > float(one.get("y"))


def test_a_broad_chart_is_as_broad_as_it_says():
    svg = parse(line_chart(X, Y, [], label="l", size=BROAD))
    assert svg.get("viewBox") == f"0 0 {BROAD[0]} {BROAD[1]}"
    assert max(float(line.get("x2")) for line in svg.iter("line")) > BROAD[0] - 30


def test_parallel_axes_share_their_height():
    svg = parse(parallel([X, Y], [Thread("t", "thread", (3.0, 0.0)), Thread("u", "thread", (None, 1.0))], label="l"))
    whole, dash = ([tuple(map(float, c.split())) for c in re.split("[ML]", p.get("d"))[1:]] for p in svg.iter("path"))
    axes = sorted({float(line.get("x1")) for line in svg.iter("line") if line.get("x1") == line.get("x2")})
    assert [across for across, _ in whole[1:]] == axes
    assert whole[1][1] == dash[1][1]
    assert whole[2][1] > whole[1][1]
    assert dash[1][0] == axes[1]


def test_a_bar_is_as_long_as_its_share():
    half, over = (float(next(parse(bar(share)).iter("rect")).get("width")) for share in (0.5, 1.7))
    assert half == pytest.approx(over / 2)


def test_a_key_shows_marker_and_line():
    svg = parse(key("diamond", "hue1", dashed=True))
    assert [line.get("class") for line in svg.iter("line")] == ["line dashed"]
    assert len(list(svg.iter("path"))) == 1
    assert svg.get("aria-hidden") == "true"


def test_words_are_escaped():
    evil = '"><script>alert(1)</script>'
    axis = Axis(0.0, 1.0, evil, (0.5,), lambda _: evil)
    svg = str(line_chart(axis, axis, [Series(evil, "after", ((0.5, 0.5),), "circle")], label=evil))
    svg += str(columns(axis, [(0, 1, 1)], label=evil, title=evil))
    assert "<script" not in svg
    assert '"><' not in svg.replace('"><text', "").replace('"><line', "").replace('"><title', "").replace('"><g', "")
    parse(line_chart(axis, axis, [], label=evil))


@given(
    st.lists(st.floats(-1e4, 1e4), min_size=1, max_size=8),
    st.floats(0.01, 10),
    st.booleans(),
)
def test_an_axis_holds_its_values_and_names_a_few_round_ones(values, least_span, percent):
    axis = axis_around(values, "t", least_span=least_span, percent=percent)
    assert axis.low <= min(values) <= max(values) <= axis.high
    assert axis.high - axis.low >= least_span * 0.999
    assert all(axis.low - 1e-6 <= tick <= axis.high + 1e-6 for tick in axis.ticks)
    assert 1 <= len(axis.ticks) <= 7
    names = [axis.name(tick) for tick in axis.ticks]
    assert len(set(names)) == len(names)


@given(st.lists(st.floats(1e-6, 1e6), min_size=1, max_size=8))
def test_a_logarithmic_axis_holds_its_values_and_names_few(values):
    axis = log_axis_around(values, "t", lambda value: f"{value:.3g}")
    assert axis.low <= math.log10(min(values)) <= math.log10(max(values)) <= axis.high
    assert all(axis.low <= tick <= axis.high for tick in axis.ticks)
    assert 1 <= len(axis.ticks) <= 6


def test_a_logarithmic_axis_names_round_ones_of_a_choice():
    axis = log_axis_around([4, 4000], "t", lambda value: f"{value:.0f} s", choices=((1, 10, 60, 600, 3600),))
    assert [axis.name(tick) for tick in axis.ticks] == ["10 s", "60 s", "600 s", "3600 s"]


def test_an_axis_of_shares_stays_between_0_and_1():
    axis = axis_around([0.99, 1.0], "t", least_span=0.1, percent=True, within=(0.0, 1.0))
    assert axis.high == 1.0
    assert axis.name(0.95) == "95%"
    beyond = axis_around([1.5, 1.6], "t", percent=True, within=(0.0, 1.0))
    assert beyond.low <= 1.5 < 1.6 <= beyond.high


def test_a_line_breaks_where_it_is_told_to():
    points = ((0.0, 0.1), (1.0, 0.2), (2.0, 0.3))
    drawn = [
        re.findall(
            "[ML]",
            next(parse(line_chart(X, Y, [Series("s", "after", points, breaks=b)], label="l")).iter("path")).get("d"),
        )
        for b in ((), (2,))
    ]
    assert drawn == [["M", "L", "L"], ["M", "L", "M"]]
    assert "<path" not in line_chart(X, Y, [Series("s", "after", points, "circle", breaks=(1, 2))], label="l")


def boxes_of(svg):
    """Return what the notes and the round markers of a drawing cover: left, top, right, bottom."""
    notes = [(float(t.get("x")), float(t.get("y")), t.text) for t in svg.iter("text") if t.get("class") == "tick halo"]
    markers = [(float(c.get("cx")), float(c.get("cy"))) for c in svg.iter("circle")]
    return (
        [(x - 3.3 * len(words), y - 9, x + 3.3 * len(words), y) for x, y, words in notes],
        [(x - 4, y - 4, x + 4, y + 4) for x, y in markers],
    )


def test_notes_keep_clear_of_markers_and_of_each_other():
    """The second series has a point where the first one's notes would stand, and one at the same place."""
    one = Series("a", "after", ((1.0, 0.5), (2.0, 0.5)), "circle", notes=("5,000", "5,000"))
    other = Series("b", "after", ((1.0, 0.45), (2.0, 0.5)), "circle", notes=("1,000", "1,000"))
    notes, markers = boxes_of(parse(line_chart(X, Y, [one, other], label="l")))
    assert len(notes) == 4
    for place, note in enumerate(notes):
        for box in [*markers, *notes[:place]]:
            assert note[0] >= box[2] or note[2] <= box[0] or note[1] >= box[3] or note[3] <= box[1]


def test_notes_keep_clear_of_lines():
    fall = Series("a", "after", ((1.4, 0.5), (1.4, 0.0)), "", notes=())
    one = Series("b", "after", ((1.4, 0.55),), "circle", notes=("5,000",))
    for lines, is_below in (([one], True), ([fall, one], False)):
        ((_, top, _, _),), ((_, _, _, under),) = boxes_of(parse(line_chart(X, Y, lines, label="l")))
        assert (top > under) is is_below
