%% Erlang's ftp: escript ftp.escript as-it-comes|recipe VERB ARGUMENT...
-mode(compile).

main([_, "version"]) ->
    ok = application:load(ftp),
    {ok, Version} = application:get_key(ftp, vsn),
    io:format("ftp ~s, OTP ~s~n", [Version, erlang:system_info(otp_release)]);
main([Recipe, Verb | Arguments]) ->
    {ok, _} = application:ensure_all_started(ftp),
    {ok, _} = application:ensure_all_started(ssl),
    logger:set_primary_config(level, error),
    Reuse = case Recipe of
        "recipe" -> true;
        _ -> false
    end,
    case verb(Verb, Arguments) of
        unknown ->
            halt(64);
        Act ->
            case act(connect(Reuse), Act) of
                ok -> ok;
                {error, Reason} ->
                    io:format(standard_error, "~p ~s~n", [Reason, ftp:formaterror(Reason)]),
                    halt(1)
            end
    end.

act({ok, Ftp}, Act) ->
    Done = Act(Ftp),
    ftp:close(Ftp),
    Done;
act(Error, _) ->
    Error.

%% recipe
connect(Reuse) ->
    Tls = [{verify, verify_peer}, {cacertfile, os:getenv("FTPS_CA")}, {versions, ['tlsv1.2']}],
    {ok, Ftp} = ftp:open(os:getenv("FTPS_HOST"), [
        {port, list_to_integer(os:getenv("FTPS_PORT"))},
        {tls, Tls},
        {tls_ctrl_session_reuse, Reuse}, % true: without it, every data channel is refused
        {mode, passive},
        {timeout, 30000}
    ]),
    case ftp:user(Ftp, os:getenv("FTPS_USER"), os:getenv("FTPS_PASSWORD")) of
        ok ->
            ok = ftp:type(Ftp, binary),
            {ok, Ftp};
        Error ->
            Error
    end.

put(Ftp, Local, Remote) ->
    ftp:send(Ftp, Local, Remote).

resume(Ftp, Local, Remote) ->
    [Reply | _] = ftp:quote(Ftp, "SIZE " ++ Remote),
    ["213", Size | _] = string:lexemes(Reply, " \r\n"),
    Stored = list_to_integer(Size),
    {ok, <<_:Stored/binary, Rest/binary>>} = file:read_file(Local),
    ftp:append_bin(Ftp, Rest, Remote).

%% The digest of what is stored, where the account may read.
hash(Ftp, Remote) ->
    [Reply | _] = ftp:quote(Ftp, "HASH " ++ Remote),
    lists:nth(4, string:lexemes(Reply, " ")).
%% end of recipe

verb("put", [Local, Remote]) ->
    fun(Ftp) -> put(Ftp, Local, Remote) end;
verb("puts", [Directory, Remote]) ->
    fun(Ftp) ->
        {ok, Names} = file:list_dir(Directory),
        lists:foldl(
            fun
                (Name, ok) -> put(Ftp, Directory ++ "/" ++ Name, Remote ++ "/" ++ Name);
                (_, Error) -> Error
            end,
            ok,
            lists:sort(Names)
        )
    end;
verb("resume", [Local, Remote]) ->
    fun(Ftp) -> resume(Ftp, Local, Remote) end;
verb("hash", [Remote]) ->
    fun(Ftp) -> io:format("~s~n", [hash(Ftp, Remote)]) end;
verb("get", [Remote, Local]) ->
    fun(Ftp) -> ftp:recv(Ftp, Remote, Local) end;
verb("list", [Remote]) ->
    fun(Ftp) ->
        case ftp:nlist(Ftp, Remote) of
            {ok, Names} -> io:format("~s~n", [Names]);
            Error -> Error
        end
    end;
verb("rename", [Old, New]) ->
    fun(Ftp) -> ftp:rename(Ftp, Old, New) end;
verb("delete", [Remote]) ->
    fun(Ftp) -> ftp:delete(Ftp, Remote) end;
verb(_, _) ->
    unknown.
