"""The clients, in the order of the table."""

from __future__ import annotations

from typing import Final

from tests.interop.client import Client


def _python(name: str, page: str, *program: str) -> Client:
    script, *more = program
    programs = [f"{{programs}}/python/{part}" for part in (script, *more)]
    command = ("{kit}/bin/python", "-W", "ignore", *programs)
    return Client(name, "python", command, page)


def _shell(name: str, page: str, script: str, kit: str = "debian", **environment: str) -> Client:
    return Client(name, kit, ("sh", f"{{programs}}/shell/{script}"), page, environment)


def _script(name: str, page: str, interpreter: str, *program: str) -> Client:
    script, *more = program
    return Client(name, "debian", (interpreter, f"{{programs}}/{script}", *more), page)


def _node(name: str, script: str, *more: str) -> Client:
    command = ("node", f"{{programs}}/node/{script}", *more)
    return Client(name, "node", command, "node", {"NODE_PATH": "{kit}/node_modules"})


def _compiled(name: str, language: str, recipe: str) -> Client:
    return Client(name, language, ("{kit}/deliver", recipe), language)


def _java(name: str, recipe: str, *flags: str) -> Client:
    return Client(name, "java", ("java", *flags, "-cp", "{kit}:{kit}/*", "Deliver", recipe), "java")


#: What Java must be told, that reflection may reach its TLS session cache.
OPENED: Final = (
    "--add-opens=java.base/sun.security.ssl=ALL-UNNAMED",
    "--add-opens=java.base/sun.security.util=ALL-UNNAMED",
)

CATALOGUE: Final = (
    _shell("curl", "curl", "curl.sh"),
    _shell("lftp", "lftp", "lftp.sh"),
    _shell("wget", "wget", "wget.sh"),
    _shell("wget, TLS 1.2", "wget", "wget.sh", WGET_FLAGS="--ciphers NORMAL:-VERS-TLS1.3"),
    _shell("rclone, Debian's", "rclone", "rclone.sh"),
    _shell(
        "rclone, Debian's, one connection",
        "rclone",
        "rclone.sh",
        RCLONE_FLAGS="--transfers 1 --checkers 1 --ftp-concurrency 1",
    ),
    _shell("rclone, PyPI's", "rclone", "rclone.sh", "python", RCLONE="{kit}/bin/rclone"),
    Client(
        "FileZilla",
        "debian",
        ("python3", "{programs}/filezilla/queue.py"),
        "filezilla",
        patience=120,
    ),
    _python("Python ftplib", "python", "ftplib_stock.py"),
    _python("Python ftplib, recipe", "python", "ftplib_reuse.py"),
    _python("ftputil", "python", "ftputil_stock.py"),
    _python("ftputil, recipe", "python", "with_ftputil.py"),
    _python("PyFilesystem", "python", "with_pyfilesystem.py"),
    _python("PyFilesystem, recipe", "python", "reusing.py", "with_pyfilesystem.py"),
    _python("fsspec", "python", "fsspec_stock.py"),
    _python("fsspec, recipe", "python", "reusing.py", "with_fsspec.py"),
    _python("ftpretty", "python", "with_ftpretty.py"),
    _python("ftpretty, recipe", "python", "reusing.py", "with_ftpretty.py"),
    _python("smart_open", "python", "with_smart_open.py"),
    _python("smart_open, recipe", "python", "reusing.py", "with_smart_open.py"),
    _python("aioftp", "python", "with_aioftp.py"),
    _python("pycurl", "python", "with_pycurl.py"),
    _compiled("Go jlaffaye/ftp", "go", "as-it-comes"),
    _compiled("Go jlaffaye/ftp, recipe", "go", "recipe"),
    _compiled("Go jlaffaye/ftp, recipe, TLS 1.2", "go", "tls12"),
    _compiled("Rust suppaftp, rustls", "rust", "rustls"),
    _compiled("Rust suppaftp, rustls, TLS 1.2", "rust", "rustls12"),
    _compiled("Rust suppaftp, native-tls", "rust", "native-tls"),
    _java("Java commons-net", "as-it-comes"),
    _java("Java commons-net, recipe", "reflection", *OPENED),
    _java("Java commons-net, Bouncy Castle", "bouncy-castle"),
    _node("basic-ftp", "basic-ftp.js"),
    _node("node ftp", "ftp.js", "ftp"),
    _node("@icetee/ftp", "ftp.js", "@icetee/ftp"),
    _node("promise-ftp", "promise-ftp.js"),
    _script("PHP ftp", "php", "php", "php/ftp.php"),
    _script("Perl Net::FTP", "perl", "perl", "perl/ftp.pl", "as-it-comes"),
    _script("Perl Net::FTP, recipe", "perl", "perl", "perl/ftp.pl", "recipe"),
    _script("Ruby net-ftp", "ruby", "ruby", "ruby/ftp.rb"),
    _script("Erlang ftp", "erlang", "escript", "erlang/ftp.escript", "as-it-comes"),
    _script("Erlang ftp, recipe", "erlang", "escript", "erlang/ftp.escript", "recipe"),
)

#: What was looked for and not had, with the reason.
NOT_TRIED: Final = {
    "Go secsy/goftp": "the Go module proxy that we reached does not serve it",
    "tnftp": "Debian's has no FTPS",
    "WinSCP": "for Windows",
    ".NET FluentFTP, FtpWebRequest": "no .NET at the registries that we reached",
}
