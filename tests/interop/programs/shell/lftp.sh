# lftp: one run for each verb; lftp.sh VERB ARGUMENT...
set -eu
verb=$1
shift

# recipe
ftps() {
  LFTP_PASSWORD=$FTPS_PASSWORD lftp --norc -c "
    set cmd:fail-exit true
    set ftp:ssl-force true
    set ftp:ssl-protect-data true
    set ssl:ca-file $FTPS_CA
    set net:max-retries 2
    set net:timeout 20
    open --user $FTPS_USER --env-password ftp://$FTPS_HOST:$FTPS_PORT
    $1"
}

put() { ftps "put $1 -o $2"; }
puts() { ftps "mirror -R --parallel=1 $1 $2"; }
four() { ftps "mirror -R --parallel=4 $1 $2"; }
resume() { ftps "put -c $1 -o $2"; }
get() { ftps "get $1 -o $2"; }
list() { ftps "cls -1 $1/" | sed 's|.*/||'; }
rename() { ftps "mv $1 $2"; }
delete() { ftps "rm $1"; }
# end of recipe

version() { lftp --version | head -n 1 | cut -d'|' -f2; }

case $verb in
  put | puts | four | resume | get | list | rename | delete | version) "$verb" "$@" ;;
  *) exit 64 ;;
esac
