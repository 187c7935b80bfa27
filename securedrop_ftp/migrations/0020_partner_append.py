"""Appending to finished files, for partners that are let; and what an upload is appended to."""

from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('securedrop_ftp', '0019_directory'),
    ]

    operations = [
        migrations.AddField(
            model_name='partner',
            name='append',
            field=models.BooleanField(db_default=False, default=False, help_text='On, under the policy “replace” only: APPE, and REST with STOR at its end, add to a finished file that the account stored itself. Each time the whole file is published anew, so who fetches it meets every step. At most 20 times a file in 24 hours.', verbose_name='append to finished files'),
        ),
        migrations.AddField(
            model_name='upload',
            name='appends_to',
            field=models.UUIDField(help_text='The upload whose file this one begins with (APPE to a finished file). Such an upload is not resumed.', null=True),
        ),
        migrations.AlterField(
            model_name='upload',
            name='digest_state',
            field=models.BinaryField(help_text="SHA-256's midstates after the last two parts; of a finished file that may be appended to, at its end.", null=True),
        ),
    ]
