#!/bin/bash
# A one-node Ceph RGW (mon, osd, radosgw) on loopback, without systemd. S3 over TLS on PORT+2, over
# HTTP on PORT. Needs Debian's ceph-mon, ceph-osd and radosgw. Up in about 17 s.
# usage: ceph.sh up DIR PORT | ceph.sh down DIR
set -euo pipefail
ACTION=${1:?up or down} D=${2:?directory}

stop_all() { # the daemons of DIR, by pid; the osd may ignore TERM
  for name in client.rgw osd.0 mon.a; do
    pid=$(cat "$D/run/$name.pid" 2>/dev/null) || continue
    grep -q "$D" "/proc/$pid/cmdline" 2>/dev/null || continue
    kill "$pid"
    for _ in $(seq 15); do [ -d "/proc/$pid" ] || break; sleep 0.2; done
    [ ! -d "/proc/$pid" ] || kill -9 "$pid"
  done
}
if [ "$ACTION" = down ]; then stop_all; exit 0; fi

PORT=${3:?port} MON=$((PORT + 1)) TLS=$((PORT + 2))
rm -rf "$D"; mkdir -p "$D"/{mon,osd,run,log,rgw}
openssl req -x509 -newkey rsa:2048 -nodes -keyout "$D/key.pem" -out "$D/cert.pem" -days 2 \
  -subj /CN=localhost -addext "subjectAltName=IP:127.0.0.1,DNS:localhost" 2>/dev/null
FSID=$(cat /proc/sys/kernel/random/uuid)
cat > "$D/ceph.conf" <<C
[global]
fsid = $FSID
mon host = v2:127.0.0.1:$MON/0
public addr = 127.0.0.1
cluster addr = 127.0.0.1
ms bind ipv6 = false
keyring = $D/keyring
auth allow insecure global id reclaim = false
run dir = $D/run
log file = $D/log/\$name.log
admin socket = $D/run/\$name.asok
pid file = $D/run/\$name.pid
osd crush chooseleaf type = 0
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 8
osd pool default pgp num = 8
osd pool default pg autoscale mode = off
mon allow pool size one = true
mon max pg per osd = 1000
mon data avail crit = 1
[mon]
mon data = $D/mon
mon initial members = a
mon cluster log file = $D/log/cluster.log
[osd]
keyring = $D/osd/keyring
osd data = $D/osd
osd objectstore = bluestore
bluestore block size = 10737418240
bluestore fsck on mount = false
osd memory target = 939524096
osd class load list = *
osd class default list = *
osd check max object name len on startup = false
[client]
rgw frontends = beast endpoint=127.0.0.1:$PORT ssl_endpoint=127.0.0.1:$TLS ssl_certificate=$D/cert.pem ssl_private_key=$D/key.pem
rgw data = $D/rgw
rgw enable usage log = false
rgw enable ops log = false
rgw gc max objs = 16
rgw gc obj min wait = 5
rgw gc processor period = 10
rgw gc processor max time = 10
rgw override bucket index max shards = 1
rgw multipart min part size = 5242880
C
export CEPH_CONF="$D/ceph.conf"
ceph_() { timeout 60 ceph -c "$D/ceph.conf" "$@"; }
monmaptool --create --addv a "[v2:127.0.0.1:$MON]" --fsid "$FSID" "$D/monmap" >/dev/null
K="$D/keyring"
ceph-authtool --create-keyring "$K" --gen-key -n mon. --cap mon 'allow *' >/dev/null
ceph-authtool "$K" --gen-key -n client.admin --cap mon 'allow *' --cap osd 'allow *' --cap mgr 'allow *' --cap mds 'allow *'
ceph-mon -c "$D/ceph.conf" --mkfs -i a --monmap "$D/monmap" --keyring "$K"
cp "$K" "$D/mon/keyring"
trap stop_all ERR
ceph-mon -c "$D/ceph.conf" -i a
OSD=$(cat /proc/sys/kernel/random/uuid) SECRET=$(ceph-authtool --gen-print-key)
echo "{\"cephx_secret\": \"$SECRET\"}" | ceph_ osd new "$OSD" -i - >/dev/null
ceph-authtool --create-keyring "$D/osd/keyring" --name osd.0 --add-key "$SECRET" >/dev/null
ceph-osd -c "$D/ceph.conf" -i 0 --mkfs --osd-uuid "$OSD" >"$D/log/mkfs.out" 2>&1
ceph-osd -c "$D/ceph.conf" -i 0 >"$D/log/osd.out" 2>&1
for _ in $(seq 100); do ceph_ osd stat 2>/dev/null | grep -q '1 up' && break; sleep 0.3; done
ceph_ auth get-or-create client.rgw mon 'allow rwx' osd 'allow rwx' -o "$D/rgw/keyring"
radosgw -c "$D/ceph.conf" -n client.rgw --keyring "$D/rgw/keyring"
for _ in $(seq 300); do curl -s -o /dev/null "http://127.0.0.1:$PORT/" && break; sleep 0.2; done
radosgw-admin -c "$D/ceph.conf" user create --uid=test --display-name=test \
  --access-key=AKTEST --secret-key=SKTEST >/dev/null
echo "https://127.0.0.1:$TLS"
