"""Live sessions: no index over what changes; on PostgreSQL not logged, with room for updates in place."""

from django.db import migrations, models


def unlogged(apps, schema_editor):
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute("ALTER TABLE securedrop_ftp_livesession SET UNLOGGED")
        schema_editor.execute("ALTER TABLE securedrop_ftp_livesession SET (fillfactor = 50)")


def logged(apps, schema_editor):
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute("ALTER TABLE securedrop_ftp_livesession SET LOGGED")
        schema_editor.execute("ALTER TABLE securedrop_ftp_livesession RESET (fillfactor)")


class Migration(migrations.Migration):
    dependencies = [("securedrop_ftp", "0012_service_boots")]

    operations = [
        migrations.AlterField(
            model_name="livesession", name="seen", field=models.DateTimeField()
        ),
        migrations.RunPython(unlogged, logged),
    ]
