"""``demo``: FTPS and the admin site together on loopback, ready to try."""

from __future__ import annotations

import logging
import os
import sys
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError, connections

from securedrop_ftp.checks import check_secret_key, value_problems
from securedrop_ftp.conf import Conf, get_conf
from securedrop_ftp.exceptions import SecureDropError
from securedrop_ftp.management.base import database_sentence
from securedrop_ftp.project.demo import preparation
from securedrop_ftp.project.demo.children import die_with
from securedrop_ftp.project.demo.run import Address, Tree
from securedrop_ftp.project.demo.screen import Demo


class Command(BaseCommand):
    help = (
        "Make development certificates, a database, a demo partner and an admin (once), then "
        "serve FTPS and the admin site on loopback until Ctrl-C. SECUREDROP_* variables are "
        "honoured, so the same command tries S3."
    )
    requires_system_checks = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--stop-with-parent",
            action="store_true",
            help="stop when the process that started this one ends, however it ends",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        if options["stop_with_parent"]:
            die_with(os.getppid())
        logging.getLogger().setLevel(logging.WARNING)  # one screen, not a log
        problems = [p for p in value_problems(settings.SECUREDROP) if p.is_serious()]
        if problems:
            raise CommandError("\n".join(f"{p.msg} {p.hint}" for p in problems))
        conf = get_conf()
        try:
            web = Address.parse(settings.WEB_BIND, "SECUREDROP_WEB_BIND")
            for address in (Address(*conf.bind, variable="SECUREDROP_FTPS_BIND"), web):
                address.refuse_unless_usable()
            self._start_again_with_secrets(conf)
            self._serve(conf, web)
        except (SecureDropError, OSError) as exc:
            raise CommandError(str(exc)) from exc
        except DatabaseError as exc:
            raise CommandError(database_sentence(exc)) from exc
        except KeyboardInterrupt:
            self.stdout.write("Stopped.")

    def _start_again_with_secrets(self, conf: Conf) -> None:
        """Make what is missing, and become this command again with the variables that name it:
        settings are read once, from the environment, and never assigned."""
        missing: dict[str, str] = {}
        if check_secret_key():
            missing["SECUREDROP_SECRET_KEY_FILE"] = str(preparation.secret_key_file(conf.data_dir))
        if not conf.tls_cert_file and not conf.tls_key_file:
            certificate, key = preparation.development_pair(settings.BASE_DIR / "certs" / "dev")
            missing["SECUREDROP_TLS_CERT_FILE"] = str(certificate)
            missing["SECUREDROP_TLS_KEY_FILE"] = str(key)
        if missing:
            sys.stdout.flush()
            os.execve(sys.executable, sys.orig_argv, os.environ | missing)  # noqa: S606

    def _serve(self, conf: Conf, web: Address) -> None:
        self.stdout.write("Preparing the database and starting ...")
        self.stdout.flush()
        passwords = preparation.prepare_database(conf.data_dir)
        connections.close_all()
        certificate, key = Path(conf.tls_cert_file), Path(conf.tls_key_file)
        ca = certificate.with_name("ca.pem")
        if not ca.exists():
            ca = certificate  # the operator's own certificate: trusted as it stands
        tree = Tree(os.environ, conf.data_dir / "log", settings.BASE_DIR)
        try:
            ftps = tree.start_ftps()
            tree.start_web(web, certificate, key, ca)
            self.stdout.write(
                Demo(
                    ftps=ftps,
                    web=str(web),
                    ca=ca,
                    data_dir=conf.data_dir,
                    storage=_storage_shown(),
                    passwords=passwords,
                    sample_file=_first_existing("README.md", default=ca),
                    sample_tree=_first_existing("docs", default=conf.data_dir / "log"),
                    environment=preparation.environment_file(conf.data_dir),
                ).screen()
            )
            self.stdout.flush()
            tree.wait()
            self.stdout.write("Stopping; Ctrl-C again does not wait for transfers ...")
            self.stdout.flush()
        finally:
            tree.stop(conf.drain_timeout + 15)
        self.stdout.write("Stopped.")


def _first_existing(name: str, default: Path) -> Path:
    path: Path = settings.BASE_DIR / name
    return path if path.exists() else default


def _storage_shown() -> str:
    options = settings.STORAGES["default"].get("OPTIONS", {})
    container = options.get("bucket_name") or options.get("azure_container") or ""
    where = "/".join(filter(None, (container, options.get("location", ""))))
    return where or "memory"
