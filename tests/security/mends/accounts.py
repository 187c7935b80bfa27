"""Rows of docs/reference/security-bar.md: power over accounts, sessions that outlive it."""

from __future__ import annotations

from typing import Final

from tests.security.mends import Cut, Mend, Seam

POWER = "tests/access/test_power_over_users.py"
TIGHTENED = "tests/security/test_tightened.py"
WHO = "tests/admin/test_who_did_it.py"
FACTOR = "tests/admin/test_second_factor.py"
IDS = "tests/audit/test_partner_ids.py"
ADMIN_POWER = "tests/admin/test_power_over_users.py"

ROWS: Final[tuple[Mend, ...]] = (
    Mend(
        "71",
        "an account's operator sets the password of a user with a life of its own",
        (Seam("access.provisioning:set_password", "None", call="refuse_power"),),
        (f"{POWER}::test_a_user_with_a_life_of_its_own_keeps_its_password",),
    ),
    Mend(
        "71",
        "the user goes with its account, whoever it is",
        (Seam("access.provisioning:_goes_too", "return True"),),
        (
            f"{POWER}::test_a_user_with_a_life_of_its_own_survives_its_account",
            f"{ADMIN_POWER}::test_who_may_change_accounts_does_not_reach_a_superuser",
        ),
    ),
    Mend(
        "71",
        "an account for one of the staff",
        (Seam("access.provisioning:create_account", "False", test="is_staff"),),
        (f"{POWER}::test_no_account_is_made_for_the_staff",),
    ),
    Mend(
        "71",
        "staff log in for files",
        (Seam("access.login:_bar", "False", test="is_staff"),),
        (f"{POWER}::test_staff_do_not_log_in_and_their_sessions_end",),
    ),
    Mend(
        "71",
        "every old account is said to own its user",
        (
            Seam(
                "migrations.0004_account_owns_user:note_who_was_made_with_an_account",
                "True",
                test="_made_with",
            ),
        ),
        (
            "tests/access/test_accounts_of_before.py::test_only_users_beyond_doubt_are_their_accounts_own",
        ),
    ),
    Mend(
        "72",
        "who may change users sets a superuser's password",
        (Seam("project.reach:reaches", "return True"),),
        (f"{ADMIN_POWER}::test_who_keeps_users_does_not_reach_those_with_more_power",),
    ),
    Mend(
        "72",
        "who may change users becomes a superuser",
        (
            Seam(
                "project.reach:WithinReach.get_readonly_fields",
                "return tuple(super().get_readonly_fields(request, obj))",
            ),
        ),
        (f"{ADMIN_POWER}::test_who_keeps_users_gives_nobody_power",),
    ),
    Mend(
        "72",
        "who may delete groups takes away their members' power",
        (Seam("project.reach:reaches_group", "return True"),),
        (f"{ADMIN_POWER}::test_a_group_with_more_power_is_not_taken_from_its_members",),
    ),
    Mend(
        "73",
        "sessions outlive the password that let them in",
        (Seam("access.live:_taken_away", "False", test="stamp"),),
        (f"{TIGHTENED}::test_a_password_change_ends_the_sessions_on_every_node",),
    ),
    Mend(
        "73",
        "an upload overwrites under the policy of yesterday",
        (Seam("access.live:_taken_away", "False", test="index"),),
        (f"{TIGHTENED}::test_an_upload_that_would_overwrite_ends_with_the_right_to",),
    ),
    Mend(
        "73",
        "a lower file limit does not reach the upload that runs",
        (Seam("ftps.session:Session.become", "None", call="narrow"),),
        (f"{TIGHTENED}::test_a_lower_file_limit_holds_for_the_upload_that_runs",),
    ),
    Mend(
        "73",
        "more sessions than the partner may have now",
        (Seam("server.controlled:FtpsSession._is_one_too_many", "return False"),),
        (f"{TIGHTENED}::test_sessions_beyond_a_lower_limit_end_and_no_others",),
    ),
    Mend(
        "73",
        "a reload does not reach live sessions",
        (Seam("server.worker:Worker._take_limits", "self.conf = conf"),),
        (f"{TIGHTENED}::test_limits_of_the_service_reach_live_sessions_by_a_reload",),
    ),
    Mend(
        "74",
        "an operator's session outlives the enrolment of a second factor",
        (Seam("project.admin_site:SecureAdminSite.has_permission", "False", call="any"),),
        (f"{FACTOR}::test_sessions_from_before_the_second_factor_end_with_its_enrolment",),
    ),
    Mend(
        "75",
        "a renamed partner's trail is split, or another's is mixed in",
        (Seam("audit.partners:of_partner", "True", test="renames"),),
        (f"{IDS}::test_a_renamed_partner_keeps_its_trail_and_takes_no_others",),
    ),
    Mend(
        "75",
        "an old row is given a partner and an operator that its hash does not cover",
        (Seam("audit.chain:_fault", "False", test="getattr"),),
        (f"{IDS}::test_a_version_is_part_of_what_the_chain_proves",),
    ),
    Mend(
        "76",
        "grants without a name",
        (
            Seam(
                "admin.audited:EachDeletionLogged.construct_change_message", "True", test="changes"
            ),
        ),
        (f"{WHO}::test_grants_are_named", f"{WHO}::test_a_hundred_grants_are_all_named"),
    ),
    Mend(
        "76",
        "changes of accounts without an address",
        (Seam("access.provisioning:address_of", "return ''"),),
        (f"{WHO}::test_changes_of_accounts_and_users_have_the_operators_address",),
    ),
    Mend(
        "76",
        "an own password change leaves no row",
        (Seam("project.admin_site:SecureAdminSite.password_change", "False", test="password"),),
        (f"{WHO}::test_an_own_password_change_leaves_a_row_and_ends_the_other_sessions",),
    ),
    Mend(
        "76",
        "createsuperuser and changepassword leave no row",
        (Cut("project/settings.py", '    "securedrop_ftp.project.users",', "    #"),),
        (f"{WHO}::test_djangos_own_commands_leave_rows",),
    ),
    Mend(
        "76",
        "a search for an operator hides what that one did",
        (
            Seam(
                "admin.audit_event:AuditEventAdmin.exact_search",
                "('sha256', 'session', 'account', 'remote_ip', 'partner')",
            ),
        ),
        (f"{IDS}::test_what_an_operator_did_is_found_by_the_name",),
    ),
    Mend(
        "74",
        "a key of one character serves",
        (Seam("checks.values:check_secret_key", "length", test="SHORTEST_KEY"),),
        ("tests/project/test_private.py::test_a_key_that_can_be_guessed_serves_nothing",),
    ),
    Mend(
        "74",
        "the database is everybody's to read",
        (Seam("project.apps:close_to_others", "path.chmod(0o644)", call="chmod"),),
        ("tests/project/test_private.py::test_an_open_data_folder_is_remarked_and_ours_is_not",),
    ),
    Mend(
        "75",
        "a partner is moved away from its files",
        (Seam("intake.relocation:refuse_to_leave_files", "False", test="holds"),),
        ("tests/admin/test_moving_a_partner.py::test_a_prefix_that_holds_files_is_not_changed",),
    ),
    Mend(
        "90",
        "logins at once that store the password anew end each other's sessions",
        (
            Seam(
                "access.login:_verified",
                "False",
                test="is_outdated",
            ),
        ),
        tuple(
            f"{TIGHTENED}::test_logins_at_once_that_store_the_password_anew_are_no_change_of_it"
            f"[{database}]"
            for database in ("sqlite", "postgres")
        ),
    ),
)
