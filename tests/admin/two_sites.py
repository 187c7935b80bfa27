"""URLs of a project with a second admin site."""

from __future__ import annotations

from django.contrib import admin
from django.urls import path

from securedrop_ftp.admin.account import AccountAdmin
from securedrop_ftp.admin.live_session import LiveSessionAdmin
from securedrop_ftp.models import Account, LiveSession

second = admin.AdminSite(name="second")
second.register(LiveSession, LiveSessionAdmin)
second.register(Account, AccountAdmin)

urlpatterns = [path("admin/", admin.site.urls), path("second/", second.urls)]
