"""What our admin pages have in common: a list's title and style, and a question before an act."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, Final

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db import DataError
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from django.utils.text import capfirst

from securedrop_ftp.admin.typed import ModelAdmin

#: What a filter raises at a value in an address, typed or cut by somebody, that no row can have,
#: such as a number beyond the column's range.
_NO_SUCH_VALUE: Final = (OverflowError, ValueError, DataError)


class ListedAdmin(ModelAdmin):
    """A list that is called by what it lists, in our style."""

    class Media:
        css: ClassVar[dict[str, tuple[str, ...]]] = {"all": ("securedrop_ftp/admin.css",)}

    #: What an empty list says before there is any row.
    empty: ClassVar[str] = "There is nothing here yet."

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Django's, under a title that is no instruction."""
        kept = request.GET.copy()
        for name, values in request.GET.lists():
            # PostgreSQL takes no NUL in a text, so no row can have one.
            if "\x00" in name or any("\x00" in value for value in values):
                del kept[name]
        if len(kept) < len(request.GET):
            self.message_user(
                request, "A filter's value held a NUL character and was left out.", "warning"
            )
            return HttpResponseRedirect(f"{request.path}?{kept.urlencode()}")
        title = capfirst(str(self.opts.verbose_name_plural))
        context = {"title": title, "empty": self.empty, **(extra_context or {})}
        try:
            return super().changelist_view(request, context)
        except _NO_SUCH_VALUE:
            if not request.GET:
                raise
            self.message_user(request, "A filter's value was none that a row can have.", "warning")
            return HttpResponseRedirect(request.path)


class AskingAdmin(ListedAdmin):
    """Rows with one button each, which leads to a page that asks and then does it.

    Subclasses set ``verb`` and implement the three methods. The permission asked for is
    ``has_<verb>_permission``.
    """

    #: In the button, the URL and the permission.
    verb: ClassVar[str]

    def question(self, row: Any) -> str:
        """What is asked; HTML if it is marked safe."""
        raise NotImplementedError

    def act(self, request: HttpRequest, row: Any) -> str:
        """Do it; what is told then."""
        raise NotImplementedError

    def gone(self) -> str:
        """What is told where the row is not there any more."""
        raise NotImplementedError

    @admin.display(description="")
    def button(self, row: Any) -> str:
        """To the page that asks."""
        url = reverse(f"admin:{self._page}", args=(row.pk,), current_app=self.admin_site.name)
        return format_html('<a class="button" href="{}">{}</a>', url, capfirst(self.verb))

    def get_list_display(self, request: HttpRequest) -> Any:
        """The button only for those whom its page lets act."""
        columns = super().get_list_display(request)
        hidden = set() if self._allowed(request) else {"button"}
        return [column for column in columns if column not in hidden]

    def _allowed(self, request: HttpRequest) -> bool:
        allowed: Callable[[HttpRequest], bool] = getattr(self, f"has_{self.verb}_permission")
        return allowed(request)

    @property
    def _page(self) -> str:
        return f"{self.opts.app_label}_{self.opts.model_name}_{self.verb}"

    def get_urls(self) -> list[URLPattern]:
        """One page of ours before Django's."""
        view = self.admin_site.admin_view(self.ask_view)
        return [path(f"<str:pk>/{self.verb}/", view, name=self._page), *super().get_urls()]

    def ask_view(self, request: HttpRequest, pk: str) -> HttpResponse:
        """Show the question; act when it is answered by POST."""
        if not self._allowed(request):
            raise PermissionDenied
        request.current_app = self.admin_site.name
        back = reverse(
            f"admin:{self.opts.app_label}_{self.opts.model_name}_changelist",
            current_app=self.admin_site.name,
        )
        row = self.get_object(request, pk)
        if row is None:
            self.message_user(request, self.gone())
            return HttpResponseRedirect(back)
        if request.method == "POST":
            self.message_user(request, self.act(request, row), "success")
            return HttpResponseRedirect(back)
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": f"{capfirst(self.verb)} {self.opts.verbose_name}",
            "question": self.question(row),
            "button": capfirst(self.verb),
            "back": back,
        }
        return TemplateResponse(request, "admin/securedrop_ftp/ask.html", context)
