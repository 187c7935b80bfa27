# curl: one run for each verb; curl.sh VERB ARGUMENT...
set -eu
base="ftp://$FTPS_HOST:$FTPS_PORT"
verb=$1
shift

# recipe
ftps() { # the password comes from a file, not from the list of processes
  curl --silent --show-error --fail-early --ssl-reqd --cacert "$FTPS_CA" \
    --config - "$@" <<END
user = "$FTPS_USER:$FTPS_PASSWORD"
END
}

put() { ftps --upload-file "$1" "$base$2"; }
puts() { ftps --upload-file "{$(ls -d "$1"/* | paste -sd,)}" "$base$2/"; } # one connection
four() { ftps --parallel --parallel-max 4 --upload-file "{$(ls -d "$1"/* | paste -sd,)}" "$base$2/"; }
resume() { ftps --continue-at - --upload-file "$1" "$base$2"; }
hash() { ftps --verbose --quote "HASH $1" --output /dev/null "$base/" 2>&1 | grep "^< 213 SHA-256"; }
get() { ftps --output "$2" "$base$1"; }
list() { ftps --list-only "$base$1/"; }
rename() { ftps --quote "RNFR $1" --quote "RNTO $2" --output /dev/null "$base/"; }
delete() { ftps --quote "DELE $1" --output /dev/null "$base/"; }
# end of recipe

version() { curl --version | head -n 1 | cut -d' ' -f1,2,5; }

case $verb in
  put | puts | four | resume | hash | get | list | rename | delete | version) "$verb" "$@" ;;
  *) exit 64 ;;
esac
