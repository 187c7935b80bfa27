"""The forms that make an account and change its password."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib.auth import get_user_model
from django.core.exceptions import ValidationError
from django.views.decorators.debug import sensitive_variables

from securedrop_ftp.access.provisioning import check_new_password, generate_password
from securedrop_ftp.admin.typed import ModelForm
from securedrop_ftp.models import Account, Permission


class PasswordFields(forms.Form):
    """A password typed twice, or none: then one is generated and shown once."""

    password1 = forms.CharField(
        label="Password",
        required=False,
        strip=False,
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}),
        help_text="Leave both empty to have one generated. It is shown once.",
    )
    password2 = forms.CharField(
        label="Password again",
        required=False,
        strip=False,
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}),
    )
    generated = False

    @sensitive_variables()
    def clean(self) -> dict[str, Any]:
        """Raises ValidationError for two that differ or one that is too weak."""
        cleaned: dict[str, Any] = super().clean() or self.cleaned_data
        first, second = cleaned.get("password1", ""), cleaned.get("password2", "")
        if first != second:
            raise ValidationError({"password2": "The two passwords differ."})
        if first:
            try:
                check_new_password(first)
            except ValidationError as exc:
                raise ValidationError({"password1": exc.messages}) from exc
        elif not self.errors:
            self.generated = True
            cleaned["password1"] = generate_password()
        return cleaned


class PermissionsField(forms.MultipleChoiceField):
    """Check boxes for a JSON list of permission names."""

    def __init__(self, **kwargs: Any) -> None:
        kwargs.pop("encoder", None)
        kwargs.pop("decoder", None)
        super().__init__(
            choices=[(p.value, p.value.replace("_", " ")) for p in Permission],
            widget=forms.CheckboxSelectMultiple,
            required=False,
            help_text="Tick some to narrow what the partner's mode gives; none: all of it.",
        )


class AccountForm(ModelForm):
    """Changes an account."""

    permissions = PermissionsField()

    class Meta:
        model = Account
        fields = ("partner", "enabled", "permissions", "sub_prefix", "client_fingerprints")


class AccountCreationForm(PasswordFields, ModelForm):
    """Makes the Django user and its account in one."""

    username = forms.CharField(max_length=150, help_text="What the client sends as USER.")
    permissions = PermissionsField()

    class Meta:
        model = Account
        fields = ("partner", "enabled", "permissions", "sub_prefix", "client_fingerprints")

    def clean_username(self) -> str:
        """Raises ValidationError for a name that is taken or not allowed."""
        model = get_user_model()
        name: str = model.normalize_username(self.cleaned_data["username"])
        field: Any = model._meta.get_field(model.USERNAME_FIELD)
        field.run_validators(name)
        if model._default_manager.filter(**{model.USERNAME_FIELD: name}).exists():
            raise ValidationError(f"There is a user “{name}” already.")
        return name

    def _get_validation_exclusions(self) -> set[str]:
        # The user is made on saving.
        return {*super()._get_validation_exclusions(), "user"}  # type: ignore[misc]
