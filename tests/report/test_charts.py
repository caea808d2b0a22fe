"""Inline SVG: points stand where the axes say, nothing leaves the drawing, nothing is unescaped."""

from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from matinee.report.charts import Axis, Series, axis_around, columns, line_chart, strip


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


def test_an_axis_of_shares_stays_between_0_and_1():
    axis = axis_around([0.99, 1.0], "t", least_span=0.1, percent=True, within=(0.0, 1.0))
    assert axis.high == 1.0
    assert axis.name(0.95) == "95%"
