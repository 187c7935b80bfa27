"""PostgreSQL: trigram indexes, so that the admin's search finds any part of a name in all rows.

Where the extension pg_trgm may not be created, search goes on window by window and says so; how to
add the indexes later is in docs/howto/postgres.md.
"""

from django.db import DatabaseError, migrations

INDEXES = {
    "securedrop_upload_words": ("securedrop_ftp_upload", ("path", "key")),
    "securedrop_audit_words": ("securedrop_ftp_auditevent", ("path", "reason")),
}


def create(apps, schema_editor):
    connection = schema_editor.connection
    if connection.vendor != "postgresql":
        return
    with connection.cursor() as cursor:
        try:
            cursor.execute("CREATE EXTENSION IF NOT EXISTS pg_trgm")
        except DatabaseError as exc:
            print(f"\n  No trigram index for the admin's search ({exc}); see docs/howto/postgres.md.")
            return
        for name, (table, columns) in INDEXES.items():
            words = ", ".join(f"upper({column}::text) gin_trgm_ops" for column in columns)
            cursor.execute(f"DROP INDEX IF EXISTS {name}")  # what an interrupted run left invalid
            cursor.execute(f"CREATE INDEX CONCURRENTLY {name} ON {table} USING gin ({words})")


def drop(apps, schema_editor):
    if schema_editor.connection.vendor == "postgresql":
        with schema_editor.connection.cursor() as cursor:
            for name in INDEXES:
                cursor.execute(f"DROP INDEX IF EXISTS {name}")


class Migration(migrations.Migration):
    atomic = False  # an index of a large table is made while the service writes to it

    dependencies = [("securedrop_ftp", "0005_storage_location")]

    operations = [migrations.RunPython(create, drop)]
