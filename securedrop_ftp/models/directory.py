"""A directory of a storage that has none of its own."""

from __future__ import annotations

from django.db import models


class Directory(models.Model):
    """On an object store a directory is there as long as a key lies below it. A row keeps it when
    the last file was taken away, until RMD (:mod:`securedrop_ftp.intake.kept_directories`)."""

    storage = models.CharField(max_length=64)
    key = models.CharField(max_length=1024, help_text="Without a trailing “/”.")
    parent = models.CharField(max_length=1024, help_text="The key of the directory that it is in.")

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=("storage", "key"), name="securedrop_directory_key")
        ]
        indexes = [models.Index(fields=("storage", "parent"), name="securedrop_directory_in")]
        verbose_name_plural = "directories"

    def __str__(self) -> str:
        return self.key
