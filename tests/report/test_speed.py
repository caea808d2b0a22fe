"""The picture of speed against accuracy."""

from __future__ import annotations

from matinee.report.speed import SpeedAccuracy, write_speed_figure


def row(name, speed, accuracy, *, stock=False):
    return {"name": name, "texts_per_second": speed, "accuracy": accuracy, "stock": stock}


ROWS = [row("torch", 20.0, 0.93), row("openvino-int8", 110.0, 0.928), row("pipeline (batch 1)", 15.0, None, stock=True)]


def test_it_knows_its_numbers():
    assert SpeedAccuracy.of(ROWS).rows() == ROWS


def test_points_and_lines_stand_where_the_numbers_are():
    (axes,) = SpeedAccuracy.of(ROWS).draw().axes
    found = {line.get_label(): (list(line.get_xdata()), list(line.get_ydata())) for line in axes.get_lines()}
    assert found["torch"] == ([20.0], [0.93])
    assert found["openvino-int8"] == ([110.0], [0.928])
    assert found["pipeline (batch 1)"][0] == [15.0, 15.0]
    assert axes.get_xscale() == "log"
    low, high = axes.get_ylim()
    assert low < 0.928
    assert 0.93 < high <= 1
    assert axes.get_xlim()[0] < 15
    assert axes.get_xlim()[1] > 110


def test_it_is_written_twice_and_is_the_same_every_time(tmp_path):
    paths = write_speed_figure(tmp_path, ROWS)
    assert [path.name for path in paths] == ["speed-accuracy.png", "speed-accuracy.svg"]
    before = [path.read_bytes() for path in paths]
    write_speed_figure(tmp_path, ROWS)
    assert [path.read_bytes() for path in paths] == before


def test_one_point_is_no_picture_and_an_old_one_goes(tmp_path):
    write_speed_figure(tmp_path, ROWS)
    assert write_speed_figure(tmp_path, ROWS[:1]) == []
    assert list(tmp_path.iterdir()) == []
