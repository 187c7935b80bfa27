# rclone: one run for each verb; rclone.sh VERB ARGUMENT...
# RCLONE names the program, RCLONE_FLAGS what it gets besides.
set -eu
rclone=${RCLONE:-rclone}
verb=$1
shift

# recipe
export RCLONE_CONFIG=/dev/null
export RCLONE_CONFIG_DROP_TYPE=ftp
export RCLONE_CONFIG_DROP_EXPLICIT_TLS=true
export RCLONE_CONFIG_DROP_HOST=$FTPS_HOST
export RCLONE_CONFIG_DROP_PORT=$FTPS_PORT
export RCLONE_CONFIG_DROP_USER=$FTPS_USER
RCLONE_CONFIG_DROP_PASS=$(printf %s "$FTPS_PASSWORD" | "$rclone" obscure -)
export RCLONE_CONFIG_DROP_PASS

ftps() { "$rclone" --ca-cert "$FTPS_CA" --retries 1 --low-level-retries 1 ${RCLONE_FLAGS:-} "$@"; }

put() { ftps copyto "$1" "drop:$2"; }
puts() { ftps copy "$1" "drop:$2"; }
four() { ftps copy --transfers 4 --checkers 4 "$1" "drop:$2"; }
get() { ftps copyto "drop:$1" "$2"; }
list() { ftps lsf "drop:$1"; }
rename() { ftps moveto "drop:$1" "drop:$2"; }
delete() { ftps deletefile "drop:$1"; }
# end of recipe

version() { "$rclone" version | head -n 1; }

case $verb in
  put | puts | four | get | list | rename | delete | version) "$verb" "$@" ;;
  *) exit 64 ;;
esac
