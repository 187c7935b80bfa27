#!/bin/bash
# A one-node OpenStack Swift with its S3 interface over TLS, on loopback. Takes the ports PORT to
# PORT+3. Needs Swift's scripts on PATH and Debian's liberasurecode1.
# usage: swift.sh up DIR PORT | swift.sh down DIR
set -euo pipefail
ACTION=${1:?up or down} D=${2:?directory}

stop_all() { # by pid, and only what belongs to DIR
  for file in "$D"/run/*.pid; do
    pid=$(cat "$file" 2>/dev/null) || continue
    grep -q "$D" "/proc/$pid/cmdline" 2>/dev/null && kill -TERM -- "-$pid"
  done
  true
}
if [ "$ACTION" = down ]; then stop_all; exit 0; fi

PORT=${3:?port}
rm -rf "$D"; mkdir -p "$D"/{etc,dev/d1,run,log,cache}
openssl req -x509 -newkey rsa:2048 -nodes -keyout "$D/key.pem" -out "$D/cert.pem" -days 2 \
  -subj /CN=localhost -addext "subjectAltName=IP:127.0.0.1,DNS:localhost" 2>/dev/null
cat > "$D/etc/swift.conf" <<C
[swift-hash]
swift_hash_path_suffix = s
swift_hash_path_prefix = p
[storage-policy:0]
name = p0
default = yes
C
i=0
for ring in account container object; do
  i=$((i + 1))
  ( cd "$D/etc"
    swift-ring-builder $ring.builder create 4 1 1
    swift-ring-builder $ring.builder add "r1z1-127.0.0.1:$((PORT + i))/d1" 1
    swift-ring-builder $ring.builder rebalance || true ) >/dev/null
  cat > "$D/etc/$ring-server.conf" <<C
[DEFAULT]
bind_ip = 127.0.0.1
bind_port = $((PORT + i))
swift_dir = $D/etc
devices = $D/dev
mount_check = false
user = $(id -un)
workers = 1
log_address = /dev/null
disable_fallocate = true
fallocate_reserve = 0
[pipeline:main]
pipeline = $ring-server
[app:$ring-server]
use = egg:swift#$ring
C
done
FILTERS="catch_errors gatekeeper cache listing_formats bulk s3api tempauth copy slo dlo versioned_writes symlink"
{ cat <<C
[DEFAULT]
bind_ip = 127.0.0.1
bind_port = $PORT
cert_file = $D/cert.pem
key_file = $D/key.pem
swift_dir = $D/etc
user = $(id -un)
workers = 1
log_address = /dev/null
[pipeline:main]
pipeline = healthcheck $FILTERS proxy-server
[app:proxy-server]
use = egg:swift#proxy
account_autocreate = true
allow_account_management = true
[filter:cache]
use = egg:swift#memcache
memcache_servers = 127.0.0.1:1
error_suppression_limit = 1
[filter:s3api]
use = egg:swift#s3api
location = us-east-1
s3_acl = false
[filter:tempauth]
use = egg:swift#tempauth
user_test_tester = testing .admin
[filter:versioned_writes]
use = egg:swift#versioned_writes
allow_object_versioning = true
C
for name in healthcheck catch_errors gatekeeper listing_formats bulk copy slo dlo symlink; do
  printf '[filter:%s]\nuse = egg:swift#%s\n' $name $name
done; } > "$D/etc/proxy-server.conf"
export SWIFT_DIR="$D/etc" PYTHONWARNINGS=ignore
for server in account container object proxy; do
  setsid swift-$server-server "$D/etc/$server-server.conf" >"$D/log/$server.log" 2>&1 &
  echo $! > "$D/run/$server.pid"
done
for _ in $(seq 100); do curl -skf -o /dev/null "https://127.0.0.1:$PORT/healthcheck" && break; sleep 0.1; done
echo "https://127.0.0.1:$PORT"
