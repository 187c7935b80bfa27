"""TYPE A and close_notify by partner: who is there already keeps TYPE A stored as sent (the database's default)."""

from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('securedrop_ftp', '0014_audit_details'),
    ]

    operations = [
        migrations.AddField(
            model_name='partner',
            name='accept_missing_close_notify',
            field=models.BooleanField(db_default=False, default=False, help_text='For clients that end a data channel without TLS close_notify (some versions of .NET): an upload is taken nevertheless where ALLO announced exactly the bytes that came, under TYPE I, from the first byte. Without such an ALLO it is refused as ever.', verbose_name='accept uploads without TLS close_notify'),
        ),
        migrations.AddField(
            model_name='partner',
            name='ascii',
            field=models.CharField(choices=[('convert', 'convert: CR LF becomes LF in storage, and LF becomes CR LF on the way out'), ('refuse', 'refuse: files go under TYPE I only'), ('as-sent', 'as sent: not converted, as if it were TYPE I')], db_default='as-sent', default='convert', help_text='Some clients send texts, or all files, as ASCII: they put CR LF where the file has LF. “Convert” undoes that: exact where the file had no CR LF of its own.', max_length=16, verbose_name='files under TYPE A (ASCII)'),
        ),
        migrations.AddField(
            model_name='upload',
            name='converted',
            field=models.BooleanField(db_default=False, default=False, help_text='What is stored differs from what came (TYPE A): such an upload is not resumed.'),
        ),
        migrations.AddField(
            model_name='upload',
            name='sent_sha256',
            field=models.CharField(blank=True, db_default='', default='', max_length=64),
        ),
        migrations.AddField(
            model_name='upload',
            name='sent_size',
            field=models.PositiveBigIntegerField(help_text='Bytes that came, where they were converted.', null=True),
        ),
    ]
