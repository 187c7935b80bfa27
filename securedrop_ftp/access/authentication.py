"""Django's ``authenticate()`` and its note of the last login, in fewer steps for FTPS.

Each login runs both. Where the project asks django-axes with our handler and then Django's own back
end, as ours does, what they do is known: axes lets an attempt in that is reserved
(:mod:`securedrop_ftp.access.axes_handler`), Django's reads the user anew and checks the password.
With any other back end, handler or manager of users, Django asks them itself.
"""

from __future__ import annotations

from typing import Any, Final

from django.conf import settings
from django.contrib import auth
from django.contrib.auth.models import BaseUserManager, update_last_login
from django.contrib.auth.signals import user_logged_in, user_login_failed
from django.db.models import DateTimeField
from django.http import HttpRequest
from django.utils import timezone
from django.views.decorators.debug import sensitive_variables

from securedrop_ftp.access.hashers import burn_one_hash
from securedrop_ftp.db import release_connection
from securedrop_ftp.prepared import Given, Instances, Update

_MODEL_BACKEND: Final = "django.contrib.auth.backends.ModelBackend"
_USUAL: Final = ["axes.backends.AxesStandaloneBackend", _MODEL_BACKEND]
_HANDLER: Final = "securedrop_ftp.access.axes_handler.LockoutHandler"

_USER: Instances[Any] = Instances(
    auth.get_user_model(),
    lambda: _users().order_by().filter(**{_name_field(): Given("name")}),
)
_LAST_LOGIN = Update(
    lambda: _users().filter(pk=Given("pk")), last_login=Given("now", DateTimeField())
)


@sensitive_variables("password")
def authenticate(request: HttpRequest, *, username: str | None, password: str) -> Any:
    """The user, if the password is right and the user active, else ``None``. ``request`` has a
    reservation (:func:`securedrop_ftp.access.login.synthetic_request`)."""
    if not _is_usual():
        return auth.authenticate(request, username=username, password=password)
    user = _USER.first(name=username)
    if user is None:
        burn_one_hash()
    elif _checked(user, password) and user.is_active:
        user.backend = _MODEL_BACKEND
        return user
    user_login_failed.send(sender=__name__, credentials={"username": username}, request=request)
    return None


@sensitive_variables("password")
def _checked(user: Any, password: str) -> bool:
    release_connection()  # Django's own hashers keep it else
    return bool(user.check_password(password))


def _is_usual() -> bool:
    natural_key: Any = type(_users()).get_by_natural_key
    return (
        list(settings.AUTHENTICATION_BACKENDS) == _USUAL
        and getattr(settings, "AXES_HANDLER", "") == _HANDLER
        and natural_key is BaseUserManager.get_by_natural_key
    )


def _users() -> Any:
    return auth.get_user_model()._default_manager


def _name_field() -> str:
    return auth.get_user_model().USERNAME_FIELD


def write_last_login(sender: Any, user: Any, request: Any = None, **kwargs: Any) -> None:
    """Django's receiver of ``user_logged_in``; after a login over FTPS with a statement that is
    built once."""
    if not getattr(request, "securedrop_deferred", False):
        update_last_login(sender, user, **kwargs)
        return
    user.last_login = timezone.now()
    _LAST_LOGIN.run(pk=user.pk, now=user.last_login)


def connect() -> None:
    """Put :func:`write_last_login` where Django's receiver is. Called by ``apps.ready()``."""
    uid = "update_last_login"
    if user_logged_in.disconnect(dispatch_uid=uid):
        user_logged_in.connect(write_last_login, dispatch_uid=uid)
