"""Rows 1 to 35 of docs/reference/security-bar.md: what stands against each attack."""

from __future__ import annotations

from typing import Final

from tests.security.mends import NO_SELF_TEST, Cut, Mend, Seam, never

CHANNEL = "tests/security/test_control_channel.py"
ROW = "tests/security/test_rows.py"
GUESSING = "tests/security/test_guessing.py"
NAMES = "tests/security/test_hostile_text.py"
LIVE = "tests/security/test_live_control.py"
DEMO = "tests/security/test_demo_is_local.py"
RESILIENCE = "tests/security/test_resilience.py"
PERMISSIONS = "tests/security/test_permissions.py"
CAPS = "tests/security/test_caps.py"
ENDLESS = "tests/security/test_endless_input.py"
ENDINGS = "tests/faults/test_bad_endings.py"
STORAGE = "tests/faults/test_failing_storage.py"
BLOCKED = "tests/faults/test_blocked_database.py"
STALLS = "tests/faults/test_one_stalls_none.py"
END = "tests/faults/test_end_of_an_upload.py"

#: The stock servers' order: the data connection is handed over as soon as it is accepted.
EARLY_HAND_OVER: Final = Cut(
    "ftps/passive.py",
    "channel.begin(partial(self._resuming, channel), self._strangers_context)",
    """made = SSL.Connection(self._strangers_context(), sock)
        made.set_accept_state()
        channel.start_tls(made)
        channel.handshaking = False
        self._candidates.remove(channel)
        self._loop.call_soon(self._take, channel)""",
)

WIRE_CONTROL_CHARACTERS: Final = Seam("ftps.wire:parse", "False", test="_CONTROL")

ROWS: Final = (
    Mend(
        "1",
        "226 before the file is stored",
        (
            Cut(
                "ftps/uploads.py",
                "receipt = session.offload.outcome(finished)",
                "return replies.TRANSFER_COMPLETE",
            ),
        ),
        (f"{STORAGE}::test_row_1_a_file_that_storage_does_not_take_is_never_acknowledged",),
    ),
    Mend(
        "2",
        "FIN without close_notify taken for the end",
        (
            Cut(
                "ftps/channel.py",
                """            case Fin():
                raise NoCloseNotify(why(error)) from error
            case SSL.Error() | OSError():
                raise ConnectionLost(why(error)) from error
""",
                """            case SSL.Error() | OSError():
                raise CleanEnd from error
""",
            ),
        ),
        (
            f"{ENDINGS}::test_a_truncated_upload_changes_no_object_and_is_never_acknowledged",
            f"{ENDINGS}::test_a_killed_curl_leaves_nothing",
        ),
    ),
    Mend(
        "3",
        "ABOR publishes the partial",
        (Seam("ftps.uploads:_end_badly", "stream.finish()", call="cancel"),),
        (f"{ENDINGS}::test_a_truncated_upload_changes_no_object_and_is_never_acknowledged",),
    ),
    Mend(
        "3",
        "a lost control channel publishes the partial",
        (
            Cut(
                "ftps/uploads.py",
                "stream.cancel(Cancelled(transfer.gone))",
                "stream.finish()",
            ),
        ),
        (f"{ENDINGS}::test_a_lost_control_channel_ends_the_upload",),
    ),
    Mend(
        "4",
        "a backslash is somebody's separator",
        (Seam("keys:_check_text", "False", test="_FOREIGN_SEPARATOR"),),
        (f"{NAMES}::test_row_4_a_name_that_storage_could_misread_is_refused_by_every_verb",),
    ),
    Mend(
        "4",
        "dot segments climb out (path, key and storage check alike)",
        (
            Seam("keys:_climb", "parts.append('..')"),
            Seam("keys:_NO_NAMES", "('',)"),
        ),
        (f"{PERMISSIONS}::test_the_neighbours_file_is_out_of_reach_of_every_verb",),
    ),
    Mend(
        "5",
        "a hundred guesses in one write",
        (
            Cut(
                "ftps/verbs/login.py",
                """        session.drop_input()
        session.offload.sleep_until(exc.reply_at)
        session.drop_input()
""",
                """        session.offload.sleep_until(exc.reply_at)
""",
            ),
        ),
        (f"{CHANNEL}::test_row_5_a_hundred_guesses_in_one_write_are_one_check",),
    ),
    Mend(
        "6",
        "a slow database stalls every client",
        (Seam("ftps.offload:Offload.accounts", "return function(*args)"),),
        (f"{STALLS}::test_row_6_a_login_that_waits_for_the_database_stalls_nobody_else",),
    ),
    Mend(
        "6",
        "a slow storage stalls every client",
        (Seam("ftps.offload:Offload.storage", "return function(*args)"),),
        (f"{STALLS}::test_row_6_a_storage_that_does_not_answer_stalls_nobody_else",),
    ),
    Mend(
        "6",
        "a client asks for renegotiation, or changes its keys, without end",
        (Seam("tls.contexts:_bare", "None", call="limit_handshakes"), NO_SELF_TEST),
        (
            f"{ENDLESS}::test_row_6_requests_for_renegotiation_without_end_are_cut_off",
            f"{ENDLESS}::test_row_6_key_updates_without_end_are_cut_off",
        ),
    ),
    Mend(
        "6",
        "an upload that is cut off for that is taken for whole",
        (Seam("tls.handshake_limit:limit_exceeded", "return False"),),
        (f"{ENDLESS}::test_row_6_an_upload_that_is_cut_off_for_them_is_not_taken_for_whole",),
    ),
    Mend(
        "6",
        "a client sends without end after its session ended",
        (Cut("ftps/control.py", "for _ in range(RECORDS_PER_TURN):", "while True:"),),
        (f"{ENDLESS}::test_row_6_what_comes_behind_quit_is_thrown_away_a_turn_at_a_time",),
    ),
    Mend(
        "6",
        "a client sends commands that each take long, many in one write",
        (Seam("ftps.control:ControlChannel.go_on", "False", test="monotonic"),),
        (f"{ENDLESS}::test_row_6_costly_commands_take_turns_with_other_clients",),
    ),
    Mend(
        "6",
        "a stranger's certificate chain takes long to verify",
        (Seam("tls.peer:_ask", "None", call="set_verify_depth"),),
        (f"{ENDLESS}::test_row_6_a_handshake_verifies_no_chain_of_a_strangers",),
    ),
    Mend(
        "7",
        "EMFILE ends the listener",
        (
            Seam(
                "server.acceptor:Acceptor._accept",
                "self.close()",
                call="_refuse_without_descriptors",
            ),
        ),
        (
            f"{ROW}::test_row_7_running_out_of_descriptors_is_survived",
            (
                f"{RESILIENCE}::"
                "test_row_7_every_connection_beyond_the_descriptors_is_refused_and_the_"
                "listener_lives"
            ),
        ),
    ),
    Mend(
        "8",
        "plaintext behind AUTH TLS runs inside TLS",
        (Seam("ftps.verbs.login:auth", "False", test="input_pending"),),
        (
            f"{CHANNEL}::test_row_8_plaintext_behind_auth_closes_the_session",
            f"{CHANNEL}::test_row_8_commands_queued_before_auth_do_not_open_it",
        ),
    ),
    Mend(
        "9",
        "PROT C after EPSV (refused, and looked at again)",
        (
            Cut(
                "ftps/verbs/login.py",
                "return replies.PROT_REFUSED",
                """session.data.protected = False
        return replies.OK""",
            ),
            Seam("ftps.transfer:Transfer.open", "None", call="require_protection"),
        ),
        (f"{CHANNEL}::test_row_9_data_channels_in_the_clear_are_refused_for_good",),
    ),
    Mend(
        "9",
        "a data channel without PROT P (asked in three places)",
        (Seam("ftps.transfer:DataSide.require_protection", "return None"),),
        (f"{CHANNEL}::test_row_9_without_prot_p_there_is_no_data_channel",),
    ),
    Mend(
        "10",
        "an error in write or commit has no reply",
        (Seam("ftps.uploads:_end_badly", "None", call="answer"),),
        (f"{STORAGE}::test_row_10_whatever_fails_in_an_upload_there_is_one_reply",),
    ),
    Mend(
        "11",
        "a stranger takes the data connection",
        (Seam("ftps.passive:PassiveListener._must_resume", "return False"),),
        (
            f"{CHANNEL}::test_row_11_a_data_channel_that_does_not_resume_the_session_is_refused",
            f"{ROW}::test_row_12_nothing_is_sent_to_a_data_channel_that_is_not_its_own",
        ),
    ),
    Mend(
        "11",
        "one session id context for all: another login's session resumes",
        (Seam("ftps.kinship:Kinship.accept_control", "bytes(16)", call="new_sid"),),
        (f"{CHANNEL}::test_row_11_the_session_of_another_login_opens_no_data_channel",),
    ),
    Mend(
        "12",
        "bytes sent before the data channel is proved",
        (EARLY_HAND_OVER,),
        (f"{ROW}::test_row_12_nothing_is_sent_to_a_data_channel_that_is_not_its_own",),
    ),
    Mend(
        "13",
        "a second STOR during an upload (refused; one verb at a time)",
        (
            Seam("ftps.interpreter:Interpreter.answer_out_of_turn", "False", test="moving"),
            Seam("ftps.interpreter:Interpreter.idle", "return True"),
        ),
        (f"{CHANNEL}::test_row_13_a_second_transfer_during_one_is_refused",),
    ),
    Mend(
        "14",
        "an empty upload leaves the old bytes",
        (
            Seam(
                "intake.publishing:Publication._put_whole",
                """
                spec = self._attempt.spec
                if self._single is None:
                    return Published(spec.key, 0)
                data, replace = self._single.buffer.content, self._attempt.terms.replace
                return self._attempt.backend.put_object(spec, data, sha256=sha256, replace=replace)
                """,
            ),
        ),
        (f"{ROW}::test_row_14_an_empty_upload_replaces_the_old_bytes",),
    ),
    Mend(
        "15",
        "an upload that is given up leaves a multipart upload",
        (Seam("intake.ending:Ending._settle", "False", test="FORGET"),),
        (f"{STORAGE}::test_row_15_an_upload_that_is_given_up_leaves_no_multipart_upload_behind",),
    ),
    Mend(
        "15",
        "a storage error on RETR drops the session",
        (
            Cut(
                "ftps/downloads.py",
                """    except SecureDropError as exc:
        reply, reason = answer(exc), str(exc)
        return reply
""",
                """    except SecureDropError as exc:
        session.control.close(str(exc))
        raise SessionGone from exc
""",
            ),
        ),
        (f"{STORAGE}::test_row_15_an_object_that_vanishes_under_a_download_leaves_the_session",),
    ),
    Mend(
        "16",
        "a peer that never reads",
        (Seam("ftps.control:ControlChannel._send", "False", test="max_queued_output"),),
        (f"{CHANNEL}::test_row_16_a_peer_that_never_reads_is_cut_off",),
    ),
    Mend(
        "17",
        "a handshake that never ends",
        (Seam("ftps.session:Session.check_deadlines", "False", test="handshake_timeout"),),
        (
            f"{CHANNEL}::test_row_17_deadlines_end_what_does_not_move",
            f"{RESILIENCE}::test_slowloris_before_the_login_is_cut_off_while_others_are_served",
        ),
    ),
    Mend(
        "17",
        "NOOP keeps a session without a login alive",
        (Seam("ftps.session:Session._overdue", "False", test="owed"),),
        (f"{CHANNEL}::test_row_17_noop_does_not_keep_a_login_waiting",),
    ),
    Mend(
        "17",
        "a session that does nothing, or trickles",
        (Seam("ftps.session:Session._overdue", "False", test="last_activity"),),
        (
            f"{CHANNEL}::test_row_17_deadlines_end_what_does_not_move",
            f"{RESILIENCE}::test_slowloris_after_the_login_is_cut_off",
        ),
    ),
    Mend(
        "17",
        "one address takes all connections",
        (
            Seam(
                "server.connections:ConnectionTable.open",
                "False",
                test="_make_room_at",
            ),
        ),
        (f"{CHANNEL}::test_row_17_one_address_gets_no_more_than_its_cap",),
    ),
    Mend(
        "17",
        "one address connects and hangs up all the time",
        (Seam("server.acceptor:Acceptor._counted", "False", test="allow"),),
        (f"{CAPS}::test_an_address_that_connects_all_the_time_is_refused_without_a_row",),
    ),
    Mend(
        "17",
        "a crowd that comes and goes fills the memory with rows that wait for the database",
        (Seam("server.worker:Worker._is_overloaded", "return False"),),
        (
            f"{BLOCKED}::test_a_crowd_that_comes_and_goes_meanwhile_fills_no_memory_and_loses_no_row",
        ),
    ),
    Mend(
        "17",
        "a connection that is gone leaves its TLS callbacks in the memory",
        (
            Seam(
                "tls.contexts:_bare",
                "context.set_alpn_select_callback(_select_ftp)",
                call="set_alpn_selection",
            ),
        ),
        ("tests/ftps/test_memory.py::test_a_tls_context_leaves_nothing_for_the_garbage_collector",),
    ),
    Mend(
        "17",
        "one address logs in all the time",
        (Seam("server.rates:_is_full", "return False"),),
        (f"{CHANNEL}::test_row_17_logins_from_one_address_have_a_rate",),
    ),
    Mend(
        "17",
        "a trickle passes the stall timer, in both directions",
        (Seam("ftps.transfer:Transfer.check_deadlines", "False", test="why"),),
        (
            f"{ENDINGS}::test_an_upload_that_stalls_is_cut_off",
            f"{RESILIENCE}::test_a_slow_reader_of_a_download_is_cut_off_and_holds_no_memory",
        ),
    ),
    Mend(
        "17",
        "a data connection that never comes",
        (never("ftps/passive.py", "self._overdue(now)"),),
        (f"{ENDINGS}::test_an_upload_without_a_data_connection_ends_with_425",),
    ),
    Mend(
        "18",
        "a broken data connection answers unasked",
        (
            Seam(
                "ftps.passive:PassiveListener._handshake_lost",
                "self._control.reply(replies.NO_DATA_CHANNEL)",
                call="info",
            ),
        ),
        (f"{ROW}::test_row_18_a_data_connection_without_a_transfer_is_answered_by_nothing",),
    ),
    Mend(
        "19",
        "undecodable names collide",
        (
            Cut(
                "ftps/wire.py",
                'text = line.decode("utf-8")',
                'text = line.decode("utf-8", "replace")',
            ),
        ),
        (f"{CHANNEL}::test_row_19_names_that_are_not_utf8_are_refused_and_not_made_to_collide",),
    ),
    Mend(
        "20",
        "the tail of an over-long line runs",
        (
            Cut(
                "ftps/wire.py",
                """        self._discarding = True
        return self._count_overlong(head)
""",
                """        return self._count_overlong(head)
""",
            ),
        ),
        (f"{CHANNEL}::test_row_20_the_tail_of_an_overlong_line_does_not_run",),
    ),
    Mend(
        "20",
        "over-long lines again and again",
        (Cut("ftps/wire.py", "fatal = self._overlong > 1", "fatal = False"),),
        (f"{CHANNEL}::test_row_20_a_second_overlong_line_closes_the_session",),
    ),
    Mend(
        "21",
        "a line break forges a log line",
        (WIRE_CONTROL_CHARACTERS,),
        (f"{CHANNEL}::test_row_21_line_breaks_and_escapes_do_not_reach_log_or_audit",),
    ),
    Mend(
        "21",
        "invisible characters in the audit trail",
        (Seam("escaping:escape", "False", test="isprintable"),),
        (f"{CHANNEL}::test_row_21_line_breaks_and_escapes_do_not_reach_log_or_audit",),
    ),
    Mend(
        "22",
        "NLST of an empty directory ends before its handshake",
        (EARLY_HAND_OVER,),
        (f"{ROW}::test_row_22_an_empty_directory_lists_as_empty_every_time",),
    ),
    Mend(
        "23",
        "a browser is tricked into talking to us",
        (Seam("ftps.wire:parse", "False", test="HTTP_VERBS"),),
        (f"{CHANNEL}::test_row_23_an_http_request_is_not_answered",),
    ),
    Mend(
        "23",
        "any number of bad commands",
        (Seam("ftps.interpreter:Interpreter.count_bad_command", "False", test="max_bad_commands"),),
        (f"{CHANNEL}::test_row_23_ten_bad_commands_close_the_session",),
    ),
    Mend(
        "23",
        "a client that wanted another protocol (ALPN)",
        (Seam("tls.contexts:_select_ftp", "return offered[0]"), NO_SELF_TEST),
        (f"{CHANNEL}::test_row_23_alpn_must_be_ftp_or_absent",),
    ),
    Mend(
        "24",
        "CBC suites",
        (Seam("tls.contexts:_bare", "b'ALL:@SECLEVEL=0'", call="encode"),),
        (f"{CHANNEL}::test_row_24_weak_suites_are_not_offered",),
    ),
    Mend(
        "24",
        "TLS 1.1 (the version, and the library's security level)",
        (
            Seam(
                "tls.contexts:_bare",
                "context.set_min_proto_version(SSL.TLS1_1_VERSION)",
                call="set_min_proto_version",
            ),
            Seam("tls.contexts:_bare", "b'ALL:@SECLEVEL=0'", call="encode"),
        ),
        (f"{CHANNEL}::test_row_24_tls_1_1_is_not_spoken",),
    ),
    Mend(
        "24",
        "TLS 1.3 where clients lose their last bytes",
        (Seam("tls.profiles:TLS12", "Profile('tls12', SSL.TLS1_2_VERSION, SSL.TLS1_3_VERSION)"),),
        (f"{CHANNEL}::test_row_24_the_default_profile_speaks_tls_1_2_and_modern_speaks_1_3",),
    ),
    Mend(
        "24",
        "groups that the profile does not have",
        (Seam("tls.contexts:_bare", "None", call="limit_groups"), NO_SELF_TEST),
        (f"{ROW}::test_row_24_only_the_profiles_groups_agree_on_a_key",),
    ),
    Mend(
        "24",
        "renegotiation",
        (
            Cut(
                "tls/contexts.py",
                "SSL.OP_CIPHER_SERVER_PREFERENCE | OP_NO_RENEGOTIATION",
                "SSL.OP_CIPHER_SERVER_PREFERENCE | (1 << 8)",
            ),
        ),
        (f"{CHANNEL}::test_row_24_a_renegotiation_is_refused",),
    ),
    Mend(
        "25",
        "a bad rotation hangs clients (checked by the supervisor, then by each worker)",
        (
            Seam(
                "server.supervisor:Supervisor._read_anew",
                "return from_mapping(read_settings()), self._certificate",
            ),
            Seam(
                "server.worker:Worker._read_anew",
                """self.contexts.certificate = None
conf = reload_settings()
return conf, Certificate.load(conf.tls_cert_file, conf.tls_key_file)""",
            ),
        ),
        (f"{ROW}::test_row_25_a_broken_rotation_is_refused_and_a_good_one_taken",),
    ),
    Mend(
        "26",
        "a full passive range takes another port",
        (Seam("ftps.passive:_draw", "yield from random.sample(ports, len(ports))\nyield 0"),),
        (f"{CHANNEL}::test_row_26_a_full_passive_range_is_425_and_never_another_port",),
    ),
    Mend(
        "27",
        "a verb in letters that only look like ours",
        (Seam("ftps.wire:parse", "False", test="isascii"),),
        (f"{CHANNEL}::test_row_27_only_plain_verbs_are_understood",),
    ),
    Mend(
        "27",
        "REST 1_000",
        (Seam("ftps.verbs.transfers:rest", "False", test="fullmatch"),),
        (f"{CHANNEL}::test_row_27_rest_takes_ascii_digits_only",),
    ),
    Mend(
        "27",
        "NUL in a name (the line's check and the path's)",
        (
            WIRE_CONTROL_CHARACTERS,
            Seam("keys:_check_text", "False", test="isprintable"),
        ),
        (f"{CHANNEL}::test_row_27_nul_does_not_drop_the_session",),
    ),
    Mend(
        "28",
        "guesses at once are all looked at",
        (Seam("access.lockout:_try_reserve", "False", test="_limits"),),
        (
            f"{GUESSING}::test_row_28_of_fifty_guesses_at_once_five_passwords_are_looked_at",
            f"{GUESSING}::test_row_28_one_address_has_twenty_guesses_over_all_names",
            (
                "tests/access/test_lockout_is_exact.py::"
                "test_two_hundred_parallel_guesses_verify_five_passwords"
            ),
        ),
    ),
    Mend(
        "29",
        "refusals tell by their time",
        (Seam("ftps.verbs.login:password", "None", call="sleep_until"),),
        (f"{GUESSING}::test_row_29_a_refusal_does_not_tell_by_its_time_why",),
    ),
    Mend(
        "29",
        "refusals tell by the work they do",
        (Seam("access.login:_fail_unseen", "None", call="burn_one_hash"),),
        ("tests/access/test_login.py::test_every_refusal_does_the_work_of_one_hash",),
    ),
    Mend(
        "30",
        "100 MiB for a hash",
        (Seam("access.hashers:Argon2id.memory_cost", "102400"),),
        (f"{ROW}::test_row_30_passwords_cost_19_mib_each",),
    ),
    Mend(
        "30",
        "a crowd that logs in takes all memory",
        (Seam("access.hashers:Argon2id.verify", "return super().verify(password, encoded)"),),
        (f"{GUESSING}::test_row_30_a_crowd_that_logs_in_has_the_memory_of_two_hashes",),
    ),
    Mend(
        "30",
        "every thread that ever hashed keeps the memory of a hash",
        (Seam("server.worker:worker_main", "None", call="bound_allocator"),),
        (f"{GUESSING}::test_row_30_a_crowd_that_logs_in_has_the_memory_of_two_hashes",),
    ),
    Mend(
        "31",
        "sessions of a disabled account live on",
        (Seam("engine.live:LiveControl.check", "return"),),
        (f"{LIVE}::test_a_session_ends_when",),
    ),
    Mend(
        "31",
        "a crowd that logs in keeps sessions alive",
        (
            Seam(
                "engine.live:LiveControl.check",
                'self._accounts.submit("", standings, asked)',
                call="submit",
            ),
        ),
        (f"{LIVE}::test_a_crowd_that_logs_in_keeps_no_session_alive",),
    ),
    Mend(
        "32",
        "ABOR during a commit is answered before it",
        (
            Seam(
                "ftps.interpreter:Interpreter.answer_out_of_turn",
                "self.reply(replies.ABOR_DONE)",
                call="answer_next",
            ),
        ),
        (f"{END}::test_row_32_what_comes_during_a_commit_waits_for_its_one_true_reply",),
    ),
    Mend(
        "32",
        "a connection lost during a commit: published, not told",
        (
            Seam(
                "intake.phases:Story.offer",
                """
                move = TABLE.get((self._phase, trigger))
                self._phase = move.target if move is not None else self._phase
                self.cause = self.cause or cause
                return move
                """,
            ),
            Seam(
                "intake.publishing:Publication.run",
                "self._confirm(published, sha256) if self._story.cause is None else "
                "(_ for _ in ()).throw(self._story.cause)",
                call="_confirm",
            ),
        ),
        (f"{END}::test_row_32_what_comes_during_a_commit_waits_for_its_one_true_reply",),
    ),
    Mend(
        "33",
        "an old session writes over its successor",
        (Seam("intake.ledger:held", "Upload.objects.filter(pk=claim.upload_id)", call="filter"),),
        (
            f"{END}::test_row_33_an_old_session_on_another_node_writes_nothing_over_its_successor",
            (
                "tests/intake/test_one_writer.py::"
                "test_a_fenced_session_of_another_worker_cannot_publish"
            ),
        ),
    ),
    Mend(
        "34",
        "the ledger holds what could continue an upload",
        (Seam("intake.tokens:seal", "return token"),),
        (f"{ROW}::test_row_34_what_could_continue_an_upload_is_nowhere_in_the_clear",),
    ),
    Mend(
        "34",
        "the admin site shows what could continue an upload",
        (
            Cut(
                "admin/upload.py",
                '    list_display = ("began", "stage", ',
                '    list_display = ("began", "resume_token", "stage", ',
            ),
        ),
        ("tests/admin/test_lists.py::test_the_ledger_never_shows_what_could_continue_an_upload",),
    ),
    Mend(
        "35",
        "the demo listens to the world",
        (Seam("project.demo.run:Address.refuse_unless_usable", "False", test="is_loopback"),),
        (f"{DEMO}::test_row_35_the_demo_never_listens_outside_loopback",),
    ),
    Mend(
        "35",
        "the service shows a demo to the world",
        (Seam("checks.exposure:exposure_problems", "True", test="is_loopback"),),
        (f"{DEMO}::test_row_35_the_service_refuses_to_show_a_demo_to_the_world",),
    ),
    Mend(
        "35",
        "a key that is the same everywhere",
        (
            Seam(
                "project.demo.preparation:secret_key_file",
                '_write_private(path, "k" * 64 + "\\n")',
                call="_write_private",
            ),
        ),
        (f"{DEMO}::test_row_35_each_demo_makes_a_key_of_its_own_that_only_its_owner_reads",),
    ),
)
