"""Statements that are built once: Django's SQL, with only the values bound anew.

The ORM builds a queryset's SQL each time that it runs. For the statements that every login and
every file runs, that took ten times as long as the database needed (docs/adr/0008). Here a
queryset with a :class:`Given` for each value that varies is compiled at its first use, once for
each kind of database; from then on only its values are bound, as parameters, and the driver has
the statement without the wrappers between.

Comparisons are with values: where one may be ``None``, another statement is needed (``IS NULL``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from functools import cache, lru_cache
from itertools import islice
from typing import Any, Final, Generic, TypeVar

from django import get_version
from django.core.exceptions import FieldError
from django.db import DEFAULT_DB_ALIAS, connections
from django.db.models import (
    BooleanField,
    CharField,
    DateTimeField,
    Field,
    ForeignKey,
    IntegerField,
    Model,
    QuerySet,
    TextField,
    Value,
)
from django.db.models.sql import DeleteQuery, UpdateQuery

M = TypeVar("M", bound=Model)

_Row = tuple[Any, ...]
_Converter = tuple[int, Sequence[Callable[..., Any]], Any]
_Build = Callable[[], QuerySet[Any, Any]]


class Given(Value):
    """The place of a value that comes with each run.

    Args:
        name: the keyword under which it comes.
        field: converts it; ``None`` for texts, numbers and truth values, which go as they are.
    """

    def __init__(self, name: str, field: Field[Any, Any] | None = None) -> None:
        super().__init__(name, output_field=field)
        self._field = field

    def as_sql(self, compiler: Any, connection: Any) -> tuple[str, Any]:
        """A placeholder, with this object for its parameter."""
        return "%s", [self]

    def bound(self, values: Mapping[str, Any], database: Any) -> Any:
        """The parameter of one run."""
        value = values[self.value]
        return value if self._field is None else _stored(self._field, value, database)


#: Fields that keep a text as it is.
_TEXTS: Final = (CharField, TextField)


def _stored(field: Field[Any, Any], value: Any, database: Any) -> Any:
    """What Django's ``get_db_prep_save()`` gives, without its way for what is most common."""
    kind = type(value)
    if value is None or (kind is str and type(field) in _TEXTS):
        return value
    if (
        kind is datetime
        and type(field) is DateTimeField
        and database.vendor == "sqlite"
        and value.tzinfo is UTC
        and database.timezone is UTC
    ):
        return str(value.replace(tzinfo=None))
    return field.get_db_prep_save(value, database)


def _execute(database: Any, sql: str, bound: Sequence[Any]) -> Any:
    """Run a statement; the cursor with its result. The driver's own, unless somebody looks at
    statements (:class:`~django.test.utils.CaptureQueriesContext`, ``execute_wrapper()``)."""
    if database.queries_logged or database.execute_wrappers:
        cursor = database.cursor()
        cursor.execute(sql, bound)
        return cursor
    database.close_if_health_check_failed()
    database.ensure_connection()
    database.validate_no_broken_transaction()
    with database.wrap_database_errors:
        return database.connection.execute(_native(sql, database.vendor), bound)


@cache
def _native(sql: str, vendor: str) -> str:
    """In the driver's own style of parameters."""
    return sql.replace("%s", "?").replace("%%", "%") if vendor == "sqlite" else sql


class _Statement:
    def __init__(self, queryset: _Build) -> None:
        self._queryset = queryset
        #: By vendor: SQL, and parameters of which some are still :class:`Given`.
        self._built: dict[str, tuple[str, tuple[Any, ...]]] = {}

    def _compiler(self, database: Any) -> Any:
        raise NotImplementedError

    def _execute(self, database: Any, values: Mapping[str, Any]) -> Any:
        built = self._built.get(database.vendor)
        if built is None:
            sql, parameters = self._compiler(database).as_sql()
            built = self._built[database.vendor] = sql, tuple(parameters)
        sql, parameters = built
        bound = [p.bound(values, database) if isinstance(p, Given) else p for p in parameters]
        return _execute(database, sql, bound)


class Select(_Statement):
    """A queryset of ``values_list()``."""

    def __init__(self, queryset: _Build) -> None:
        super().__init__(queryset)
        self._converters: dict[str, list[_Converter]] = {}

    def _compiler(self, database: Any) -> Any:
        compiler = self._queryset().query.get_compiler(connection=database)
        compiler.pre_sql_setup()
        columns = [expression for expression, _, _ in compiler.select]
        self._converters[database.vendor] = [
            (at, functions, expression)
            for at, (functions, expression) in compiler.get_converters(columns).items()
        ]
        return compiler

    def rows(self, **values: Any) -> list[_Row]:
        """Run the query with these values; all its rows."""
        database = connections[DEFAULT_DB_ALIAS]
        rows: list[_Row] = self._execute(database, values).fetchall()
        converters = self._converters[database.vendor]
        return [_converted(row, converters, database) for row in rows] if converters else rows


def _converted(row: _Row, converters: Sequence[_Converter], database: Any) -> _Row:
    cells = list(row)
    for at, functions, expression in converters:
        for function in functions:
            cells[at] = function(cells[at], expression, database)
    return tuple(cells)


class Instances(Select, Generic[M]):
    """A queryset's rows as instances of its model, and of ``related`` ones with them, as
    ``select_related()`` loads them; none of these may be null."""

    def __init__(
        self, model: type[M], queryset: Callable[[], QuerySet[M, Any]], *related: str
    ) -> None:
        super().__init__(lambda: queryset().values_list(*self._columns()))
        self._model = model
        self._related = related

    def _columns(self) -> Iterator[str]:
        yield from _attributes(self._model)
        for name in self._related:
            for attribute in _attributes(_target(self._model, name)):
                yield f"{name}__{attribute}"

    def first(self, **values: Any) -> M | None:
        """The first of them."""
        rows = self.rows(**values)
        if not rows:
            return None
        cells = iter(rows[0])
        made = _from_cells(self._model, cells)
        for name in self._related:
            setattr(made, name, _from_cells(_target(self._model, name), cells))
        return made


@lru_cache
def _attributes(model: type[Model]) -> tuple[str, ...]:
    return tuple(field.attname for field in model._meta.concrete_fields)


def _target(model: type[Model], name: str) -> type[Model]:
    target: type[Model] = model._meta.get_field(name).related_model  # type: ignore[assignment]
    return target


def _from_cells(model: type[M], cells: Iterator[Any]) -> M:
    names = _attributes(model)
    return model.from_db(DEFAULT_DB_ALIAS, names, list(islice(cells, len(names))))


class _Change(_Statement):
    def run(self, **values: Any) -> int:
        """How many rows it changed."""
        database = connections[DEFAULT_DB_ALIAS]
        return int(self._execute(database, values).rowcount)


class Update(_Change):
    """``queryset.update(**changes)``; no relations."""

    def __init__(self, queryset: _Build, **changes: Any) -> None:
        super().__init__(queryset)
        self._changes = changes

    def _compiler(self, database: Any) -> Any:
        query: Any = self._queryset().order_by().query.chain(UpdateQuery)
        query.add_update_values(self._changes)
        return query.get_compiler(connection=database)


class Delete(_Change):
    """``queryset.delete()`` of rows that nothing refers to; sends no signals."""

    def _compiler(self, database: Any) -> Any:
        query = self._queryset().order_by().query.chain(DeleteQuery)
        return query.get_compiler(connection=database)


_Cell = tuple[Any, str, frozenset[type]]  # a field, its attribute, what it stores as it is
_ABSENT: Final = object()


@lru_cache
def _insert(model: type[Model], vendor: str) -> tuple[str, tuple[_Cell, ...], bool]:
    database = connections[DEFAULT_DB_ALIAS]
    quote = database.ops.quote_name
    key = model._meta.pk
    numbered = key.get_internal_type().endswith("AutoField")
    fields = tuple(f for f in model._meta.concrete_fields if not (numbered and f is key))
    columns = ", ".join(quote(str(field.column)) for field in fields)
    places = ", ".join(["%s"] * len(fields))
    table = quote(model._meta.db_table)
    sql = f"INSERT INTO {table} ({columns}) VALUES ({places}) ON CONFLICT DO NOTHING"  # noqa: S608  (names of ours)
    if numbered and database.features.can_return_columns_from_insert:
        sql += f" RETURNING {quote(str(key.column))}"
    return sql, tuple((field, field.attname, _kept(field, vendor)) for field in fields), numbered


def _kept(field: Field[Any, Any], vendor: str) -> frozenset[type]:
    """The types of values that the field stores as they are."""
    if type(field).pre_save is not Field.pre_save:
        return frozenset()
    types: set[type] = {type(None)}
    target = field.target_field if isinstance(field, ForeignKey) else field
    if type(field) in _TEXTS:
        types.add(str)
    if vendor == "sqlite" and isinstance(target, IntegerField):
        types.add(int)
    if type(field) is BooleanField:
        types.add(bool)
    return frozenset(types)


def insert(row: Model) -> bool:
    """Insert a new row; sends no signals. False: one with its key, or with another value that may
    be there only once, is there; nothing was done and the transaction goes on."""
    database = connections[DEFAULT_DB_ALIAS]
    sql, cells, numbered = _insert(type(row), database.vendor)
    held = row.__dict__
    values = [
        value
        if type(value := held.get(name, _ABSENT)) in kept
        else _stored(field, field.pre_save(row, add=True), database)
        for field, name, kept in cells
    ]
    cursor = _execute(database, sql, values)
    returned = cursor.fetchall() if cursor.description else []
    done = bool(returned) or cursor.rowcount > 0
    if done and numbered:
        row.pk = returned[0][0] if returned else cursor.lastrowid
    if done:
        row._state.adding = False
        row._state.db = DEFAULT_DB_ALIAS
    return done


def broken(model: type[Model], field: str) -> str:
    """What this Django does otherwise than it is needed here, as a sentence, else ``""``: each kind
    of statement is compiled with values to come, and the query compared with Django's own SQL.
    ``field`` is one of text. The database is not asked."""
    database = connections[DEFAULT_DB_ALIAS]
    rows = model._default_manager.order_by()

    def chosen(value: Any) -> QuerySet[Any, Any]:
        return rows.filter(**{field: value})

    statements: dict[str, _Statement] = {
        "SELECT": Select(lambda: chosen(Given("value")).values_list("pk")),
        "UPDATE": Update(lambda: chosen(Given("value")), **{field: Given("new")}),
        "DELETE": Delete(lambda: chosen(Given("value"))),
    }
    try:
        wanted, _ = chosen("x").values_list("pk").query.sql_with_params()
        for kind, statement in statements.items():
            sql, parameters = statement._compiler(database).as_sql()
            same = sql == wanted if kind == "SELECT" else sql.startswith(kind)
            places = sum(isinstance(parameter, Given) for parameter in parameters)
            if not same or places != sql.count("%s"):
                return f"This Django ({get_version()}) compiles a prepared {kind} otherwise: {sql}"
    except (AttributeError, TypeError, ValueError, FieldError) as exc:
        return f"This Django ({get_version()}) does not compile prepared statements: {exc}"
    return ""
