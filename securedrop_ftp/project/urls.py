"""URLs of the ready-to-run project: the admin site, and what balancers ask."""

from __future__ import annotations

from django.contrib import admin
from django.urls import path
from django.views.generic import RedirectView

from securedrop_ftp.project.health import livez, readyz

urlpatterns = [
    path("", RedirectView.as_view(pattern_name="admin:index")),
    path("admin/", admin.site.urls),
    path("livez", livez),
    path("readyz", readyz),
]
