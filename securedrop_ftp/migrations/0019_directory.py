"""Directories of storages that have none of their own."""

from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('securedrop_ftp', '0018_create_directories'),
    ]

    operations = [
        migrations.CreateModel(
            name='Directory',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('storage', models.CharField(max_length=64)),
                ('key', models.CharField(help_text='Without a trailing “/”.', max_length=1024)),
                ('parent', models.CharField(help_text='The key of the directory that it is in.', max_length=1024)),
            ],
            options={
                'verbose_name_plural': 'directories',
                'indexes': [models.Index(fields=['storage', 'parent'], name='securedrop_directory_in')],
                'constraints': [models.UniqueConstraint(fields=('storage', 'key'), name='securedrop_directory_key')],
            },
        ),
    ]
