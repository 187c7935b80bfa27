"""Fill the tables of ``reference/settings.md`` from the fields of ``securedrop_ftp.conf.Conf``.

``make format`` writes the page; a test sees to it that this was done. A new setting needs a line
``| `SECUREDROP_NAME` * |`` in the table where it belongs: the rest is filled in. Lines of variables
that are no fields of ``Conf`` stay as they are.
"""

from __future__ import annotations

import re
from pathlib import Path

from securedrop_ftp.conf import KIB, Conf, settings_of
from securedrop_ftp.conf_fields import Setting

PAGE = Path(__file__).parent / "reference" / "settings.md"


def rendered(page: str) -> str:
    """The page with the line of every field as its metadata say."""
    settings = settings_of()

    def line(match: re.Match[str]) -> str:
        name = match["name"].lower()
        if name not in settings:
            return match[0]
        return row(name, settings[name])

    return re.sub(r"^\| `SECUREDROP_(?P<name>\w+)`.*$", line, page, flags=re.MULTILINE)


def row(name: str, setting: Setting) -> str:
    """The line of one setting: variable, default, range, meaning."""
    default = setting.shown or _default(getattr(Conf(), name), setting.unit)
    cells = (f"`SECUREDROP_{name.upper()}` *", default, _range(setting), setting.help_text)
    return f"| {' | '.join(cells)} |".replace("|  |", "| |")


def _default(value: object, unit: str) -> str:
    match value:
        case bool():
            return f"`{value}`".lower()
        case float():
            return f"`{value:g}`"
        case int() if unit == "bytes" and value:
            return f"`{value}` ({_size(value)})"
    return f"`{value}`"


def _range(setting: Setting) -> str:
    if setting.choices:
        return ", ".join(f"`{choice}`" for choice in setting.choices if choice)
    if setting.least is None:
        return ""
    least, most = (
        None if bound is None else _bound(bound, setting.unit)
        for bound in (setting.least, setting.most)
    )
    return f"from {least}" if most is None else f"{least} to {most}"


def _bound(value: float, unit: str) -> str:
    if unit == "bytes":
        return _size(int(value))
    return f"{value:_.10g}".replace("_", " ") if value >= 1e6 else f"{value:g}"


def _size(value: int) -> str:
    for name, weight in (("GiB", KIB**3), ("MiB", KIB**2), ("KiB", KIB)):
        if value and value % weight == 0:
            return f"{value // weight} {name}"
    return str(value)


if __name__ == "__main__":
    PAGE.write_text(rendered(PAGE.read_text()))
