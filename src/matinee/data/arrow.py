"""Arrow tables made of rows, and rows made of Arrow tables: which type a column has, and how its values are spelled in text formats.

A column whose values have no type in common is a column of JSON texts; where it goes back to JSON, its field says so and the values
are written as they were.
"""

from __future__ import annotations

import json
import math
from itertools import groupby
from typing import TYPE_CHECKING, Any

from matinee.core.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

# Marks a field whose values are JSON texts.
_JSON = {b"matinee.json": b"1"}

# Marks a field of whole numbers some of which may be no double.
_LONG = {b"matinee.long": b"1"}

# Every whole number up to the second one is a double too.
_LARGEST_INT, _LARGEST_EXACT = 2**63 - 1, 2**53
_NOTHING, _OTHER = "nothing", "other"


def unreadable() -> tuple[type[BaseException], ...]:
    """Return what reading a damaged Parquet file raises."""
    import pyarrow as pa

    return (pa.ArrowException, OSError)


def is_damage(error: BaseException) -> bool:
    """Return whether reading failed for what a file holds, and not for a drive or a memory that may do another time."""
    import pyarrow as pa

    # Arrow says what it cannot decode by errors of input and output without a number.
    if isinstance(error, OSError):
        return error.errno is None
    return not isinstance(error, (MemoryError, pa.ArrowCancelled))


# -- types ------------------------------------------------------------------------------------------------------------


def text_field(name: str) -> Any:
    """Return the field of a column of texts."""
    import pyarrow as pa

    return pa.field(name, pa.string())


def kind_of(value: object) -> str:
    """Return of what kind a JSON value is."""
    if value is None:
        return _NOTHING
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) > _LARGEST_INT:
        return _OTHER
    if isinstance(value, int) and abs(value) > _LARGEST_EXACT:
        return "long"
    kind = type(value).__name__
    return kind if kind in {"bool", "int", "float", "str"} else _OTHER


def json_field(name: str, kinds: set[str]) -> Any:
    """Return the field of a column whose JSON values are of these kinds."""
    import pyarrow as pa

    types = {"bool": pa.bool_(), "int": pa.int64(), "float": pa.float64(), "str": pa.string()}
    found = kinds - {_NOTHING}
    if not found:
        return text_field(name)
    if "long" in found and found <= {"int", "long"}:
        return pa.field(name, pa.int64(), metadata=_LONG)
    kind = "float" if found == {"int", "float"} else found.pop() if len(found) == 1 else _OTHER
    return _json_texts(name) if kind == _OTHER else pa.field(name, types[kind])


def parquet_fields(schema: Any, groups: Sequence[Any]) -> dict[str, Any]:
    """Return the fields of a Parquet file's columns, by name.

    Args:
        schema: Its Arrow schema.
        groups: The metadata of its row groups.
    """
    import pyarrow.types as types

    fields = {field.name: field.remove_metadata().with_nullable(True) for field in schema}
    n_columns = groups[0].num_columns if groups else 0
    places = {groups[0].column(place).path_in_schema: place for place in range(n_columns)}
    for name, field in fields.items():
        if groups and (types.is_int64(field.type) or types.is_uint64(field.type)):
            found = [group.column(places[name]).statistics for group in groups]
            if not all(_are_exact(statistics) for statistics in found):
                fields[name] = field.with_metadata(_LONG)
    return fields


def _are_exact(statistics: Any) -> bool:
    """Return whether the whole numbers of a part of a column are known to be doubles too."""
    if statistics is None:
        return False
    if not statistics.has_min_max:
        return bool(statistics.num_values == 0)
    return bool(statistics.min >= -_LARGEST_EXACT and statistics.max <= _LARGEST_EXACT)


def _json_texts(name: str) -> Any:
    import pyarrow as pa

    return pa.field(name, pa.string(), metadata=_JSON)


def is_json(field: Any) -> bool:
    """Return whether a column holds JSON texts."""
    return _JSON.keys() <= (field.metadata or {}).keys()


def common_schema(files: Iterable[Mapping[str, Any]]) -> Any:
    """Return the schema of the columns of several files: a type that holds the values of all of them, texts where none does."""
    import pyarrow as pa

    fields: dict[str, Any] = {}
    for file in files:
        for name, field in file.items():
            fields[name] = _common_field(fields[name], field) if name in fields else field
    return pa.schema([field if is_json(field) else field.remove_metadata() for field in fields.values()])


def _common_field(one: Any, other: Any) -> Any:
    import pyarrow as pa
    import pyarrow.types as types

    if one.equals(other, check_metadata=True):
        return one
    marks = {**(one.metadata or {}), **(other.metadata or {})}
    if is_json(one) or is_json(other):
        return _json_texts(one.name)
    try:
        schemas = [pa.schema([field.remove_metadata()]) for field in (one, other)]
        common = pa.unify_schemas(schemas, promote_options="permissive").field(0)
    except pa.ArrowException:
        return _json_texts(one.name)
    # A double may round what such a column holds. Shorter whole numbers Arrow makes floats that are wide enough.
    rounded = bool(marks) or types.is_decimal(one.type) or types.is_decimal(other.type)
    if rounded and types.is_floating(common.type):
        return _json_texts(one.name)
    return common.with_metadata(marks) if marks else common


def check_texts(field: Any, path: Path) -> None:
    """Raise DataError unless a Parquet column may hold texts: strings, or numbers as they are spelled."""
    import pyarrow.types as types

    kind = field.type.value_type if types.is_dictionary(field.type) else field.type
    strings = (types.is_string, types.is_large_string, getattr(types, "is_string_view", types.is_string))
    if not any(is_kind(kind) for is_kind in (*strings, types.is_integer, types.is_floating, types.is_null)):
        raise DataError(
            f"{path}: column {field.name!r} holds {field.type}, not texts; name the right one with --text-column."
        )


# -- rows to tables ---------------------------------------------------------------------------------------------------


def table_of(columns: Mapping[str, Sequence[object]], n_rows: int, schema: Any) -> Any:
    """Return a table of plain values; a column that is not there is null.

    Args:
        columns: Values by column, each `n_rows` of them.
        n_rows: How many rows there are.
        schema: Of the table.
    """
    import pyarrow as pa

    arrays = [
        _array(columns[field.name], field) if field.name in columns else pa.nulls(n_rows, field.type)
        for field in schema
    ]
    return pa.table(arrays, schema=schema)


def table_of_batches(cells: Sequence[tuple[Any, int]], schema: Any) -> Any:
    """Return a table of rows of record batches, each a (batch, place) pair."""
    import pyarrow as pa

    tables = []
    for _, group in groupby(cells, key=lambda cell: id(cell[0])):
        chosen = list(group)
        batch = pa.Table.from_batches([chosen[0][0]])
        tables.append(_fitted(batch.take(pa.array([place for _, place in chosen], pa.int64())), schema))
    return pa.concat_tables(tables) if tables else schema.empty_table()


def _fitted(table: Any, schema: Any) -> Any:
    import pyarrow as pa

    arrays = []
    for field in schema:
        if field.name not in table.column_names:
            arrays.append(pa.nulls(table.num_rows, field.type))
        elif is_json(field):
            arrays.append(_array(_plain(table.column(field.name), table.schema.field(field.name)), field))
        else:
            arrays.append(_cast(table.column(field.name), field))
    return pa.table(arrays, schema=schema)


def _cast(column: Any, field: Any) -> Any:
    import pyarrow as pa

    try:
        return column.cast(field.type)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        said = " ".join(str(error).split())[:200]
        raise DataError(
            f"Column {field.name!r} is {column.type} in one file, {field.type} for all of them, and a value does not fit: {said}. "
            "Give it one type in all files."
        ) from error


def _array(values: Sequence[object], field: Any) -> Any:
    import pyarrow as pa

    if is_json(field):
        return pa.array([None if value is None else json_text(value) for value in values], pa.string())
    return pa.array(values, field.type)


def json_text(value: object) -> str:
    """Return a value as JSON; what JSON cannot express becomes a string, and a number that is none becomes null."""
    try:
        text = json.dumps(value, ensure_ascii=False, default=str, allow_nan=False)
        text.encode()
    except UnicodeEncodeError:
        return json.dumps(value, default=str)
    except ValueError:
        return json_text(_finite(value))
    return text


def _finite(value: object) -> object:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, list):
        return [_finite(item) for item in value]
    return {key: _finite(item) for key, item in value.items()} if isinstance(value, dict) else value


# -- tables to rows ---------------------------------------------------------------------------------------------------


def values(column: Any) -> Iterator[object]:
    """Yield the values of a column; of a string that is not UTF-8 its bytes."""
    import pyarrow as pa

    try:
        yield from column.to_pylist()
    except UnicodeDecodeError:
        for value in column.cast(pa.large_binary()).to_pylist():
            try:
                yield None if value is None else value.decode()
            except UnicodeDecodeError:
                yield value


def shown(batch: Any, place: int) -> str:
    """Return a row as one JSON object, as far as it can be read."""
    try:
        return json_text(batch.slice(place, 1).to_pylist()[0])
    except UnicodeDecodeError:
        return ""


def plain_rows(table: Any) -> Iterator[dict[str, Any]]:
    """Yield the rows of a table as JSON values: numbers, strings, lists, objects; None where there is nothing."""
    columns = [_plain(column, field) for column, field in zip(table.columns, table.schema, strict=True)]
    names = table.column_names
    return (dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True))


def _plain(column: Any, field: Any) -> list[Any]:
    import pyarrow as pa
    import pyarrow.types as types

    if is_json(field):
        return [None if value is None else json.loads(value) for value in column.to_pylist()]
    if types.is_temporal(field.type) or types.is_decimal(field.type):
        try:
            column = column.cast(pa.string())
        except pa.ArrowException:
            column = column.cast(pa.int64())  # a duration
    found = _listed(column)
    if types.is_floating(field.type):
        return [_finite(value) for value in found]
    if types.is_nested(field.type) or types.is_binary(field.type):
        return [None if value is None else json.loads(json_text(value)) for value in found]
    return found


def _listed(column: Any) -> list[Any]:
    """Return the values of a column; what is not UTF-8 in a string is replaced."""
    import pyarrow.types as types

    if types.is_binary(column.type) or types.is_large_binary(column.type):
        return list(column.to_pylist())
    return [value.decode("utf-8", "replace") if isinstance(value, bytes) else value for value in values(column)]


def unquoted(table: Any) -> Any:
    """Return a table whose JSON texts that are plain strings stand without quotes: for formats that keep no JSON."""
    import pyarrow as pa

    for place, field in enumerate(table.schema):
        if is_json(field):
            spelled = [_unquoted(value) for value in table.column(place).to_pylist()]
            table = table.set_column(place, text_field(field.name), pa.array(spelled, pa.string()))
    return table


def _unquoted(text: str | None) -> str | None:
    if text is None or not text.startswith('"'):
        return text
    return str(json.loads(text))


def well_formed(text: str) -> str:
    """Return a text whose halves of characters, which no file can hold, are replaced."""
    return text if text.isascii() else text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
