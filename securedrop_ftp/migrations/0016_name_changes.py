"""Renames and deletions have a claim on their names; uploads know whether they have theirs still."""

import django.db.models.deletion
import securedrop_ftp.clock
import uuid
from django.db import migrations, models


# The last upload that was committed at a key; its deletion or rename before this release is not known,
# and a name that storage does not have any more is nobody's whatever the row says.
CURRENT = """
UPDATE securedrop_ftp_upload SET current = {true}
WHERE state = 'committed' AND NOT EXISTS (
    SELECT 1 FROM securedrop_ftp_upload AS later
    WHERE later.storage = securedrop_ftp_upload.storage AND later.key = securedrop_ftp_upload.key
    AND later.state = 'committed' AND later.finished > securedrop_ftp_upload.finished
)
"""


def mark_current(apps, schema_editor):
    true = "TRUE" if schema_editor.connection.vendor == "postgresql" else "1"
    schema_editor.execute(CURRENT.format(true=true))
    # What was under way was allowed so by the policy alone, as far as the rows tell.
    schema_editor.execute(
        f"UPDATE securedrop_ftp_upload SET replaces = {true} WHERE policy = 'replace'"
        " AND state IN ('receiving', 'publishing', 'suspended')"
    )


class Migration(migrations.Migration):

    dependencies = [
        ('securedrop_ftp', '0015_type_a_and_close_notify'),
    ]

    operations = [
        migrations.CreateModel(
            name='NameChange',
            fields=[
                ('id', models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                ('kind', models.CharField(choices=[('rename', 'rename'), ('delete', 'delete')], max_length=16)),
                ('state', models.CharField(choices=[('claimed', 'claimed: nothing was asked of storage yet'), ('moving', 'moving: storage was asked, and may or may not have done it'), ('copied', 'copied: all is at the target, the source is being removed')], default='claimed', max_length=16)),
                ('username', models.CharField(max_length=255)),
                ('session', models.CharField(blank=True, max_length=64)),
                ('remote_ip', models.GenericIPAddressField(null=True)),
                ('storage', models.CharField(max_length=64)),
                ('source', models.CharField(help_text='The object key, without a trailing “/”.', max_length=1024)),
                ('target', models.CharField(blank=True, help_text='Of a rename: the new key.', max_length=1024)),
                ('source_path', models.CharField(help_text='The FTP path that was named.', max_length=1024)),
                ('target_path', models.CharField(blank=True, max_length=1024)),
                ('directory', models.BooleanField(default=False)),
                ('upload_id', models.UUIDField(help_text='The upload that stored the source.', null=True)),
                ('target_etag', models.CharField(blank=True, help_text='Of the file that the rename replaces.', max_length=255)),
                ('told', models.CharField(blank=True, help_text='What the client was told, where the outcome is open.', max_length=255)),
                ('owner', models.CharField(help_text='node:service:boot:worker', max_length=128)),
                ('lease_until', models.DateTimeField()),
                ('started', models.DateTimeField(default=securedrop_ftp.clock.now, editable=False)),
                ('updated', models.DateTimeField(default=securedrop_ftp.clock.now)),
            ],
        ),
        migrations.AddField(
            model_name='upload',
            name='current',
            field=models.BooleanField(db_default=False, default=False, help_text='Committed, and what it stored has its key still: neither replaced nor deleted by anybody here. A rename takes key and path along.'),
        ),
        migrations.AddField(
            model_name='upload',
            name='replaces',
            field=models.BooleanField(db_default=False, default=False, help_text='A finished file of the name may be replaced: decided when it was admitted.'),
        ),
        migrations.RunPython(mark_current, migrations.RunPython.noop),
        migrations.AddIndex(
            model_name='upload',
            index=models.Index(condition=models.Q(('current', True)), fields=['storage', 'key'], name='securedrop_upload_current'),
        ),
        migrations.AddField(
            model_name='namechange',
            name='account',
            field=models.ForeignKey(null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to='securedrop_ftp.account'),
        ),
        migrations.AddField(
            model_name='namechange',
            name='partner',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to='securedrop_ftp.partner'),
        ),
        migrations.AddIndex(
            model_name='namechange',
            index=models.Index(fields=['storage', 'lease_until'], name='securedrop_change_lease'),
        ),
    ]
