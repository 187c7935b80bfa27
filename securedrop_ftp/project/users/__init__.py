"""An app before ``django.contrib.auth``: its commands take the place of Django's of the same name,
and leave the audit rows that those lack."""
