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
hash() { ftps "quote HASH $1"; }
get() { ftps "get $1 -o $2"; }
list() { ftps "cls -1 $1/" | sed 's|.*/||'; }
rename() { ftps "mv $1 $2"; }
delete() { ftps "rm $1"; }
# end of recipe

ascii() { ftps "put -a $1 -o $2"; }

version() { lftp --version | sed -n '1s/.*Version \([^ ]*\).*/lftp \1/p'; }

case $verb in
  put | ascii | puts | four | resume | hash | get | list | rename | delete | version) "$verb" "$@" ;;
  *) exit 64 ;;
esac
