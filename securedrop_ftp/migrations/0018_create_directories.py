"""Whether names make the directories above them: partners that are there go on as they did (the database's default)."""

from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('securedrop_ftp', '0016_name_changes'),
    ]

    operations = [
        migrations.AddField(
            model_name='partner',
            name='create_directories',
            field=models.BooleanField(db_default=True, default=False, help_text='On: an upload, a rename or a new directory makes the directories above its name where they are missing, mistyped ones too. Off: it is refused, and the reply names the directory that is missing; the client makes it with MKD.', verbose_name='make missing directories'),
        ),
    ]
