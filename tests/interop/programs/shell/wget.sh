# GNU Wget fetches; it cannot send. wget.sh VERB ARGUMENT...
# WGET_FLAGS is what it gets besides.
set -eu
base="ftps://$FTPS_HOST:$FTPS_PORT"
verb=$1
shift

# recipe
ftps() { # ftps:// is explicit FTPS here (AUTH TLS)
  wget --no-verbose --tries 1 --timeout 20 --ca-certificate "$FTPS_CA" ${WGET_FLAGS:-} \
    --ftps-resume-ssl --user "$FTPS_USER" --password "$FTPS_PASSWORD" "$@"
}

get() { ftps --output-document "$2" "$base$1"; }
# end of recipe

version() { wget --version | head -n 1 | cut -d' ' -f1-3; }

case $verb in
  get | version) "$verb" "$@" ;;
  *) exit 64 ;;
esac
