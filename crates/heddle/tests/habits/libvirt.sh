#!/bin/sh
# What libvirt does when a guest's interface comes, is asked about, migrates and goes. The bridge and the interface are there.
set -eu
bridge=$1 device=$2
vsctl() { ovs-vsctl --timeout=5 "$@"; }

vsctl -- --if-exists del-port "$device" -- add-port "$bridge" "$device" \
  -- set Interface "$device" 'external-ids:attached-mac="52:54:00:12:34:56"' \
  -- set Interface "$device" 'external-ids:iface-id="5a2b1f4e-8a3d-4c6f-9a54-3c1f9d0a7e11"' \
  -- set Interface "$device" 'external-ids:vm-id="0d2a6a58-5a1e-4f4c-8f57-3a1de1b5c9f0"' \
  -- set Interface "$device" external-ids:iface-status=active
[ "$(vsctl --if-exists get Interface "$device" external_ids:attached-mac)" = '"52:54:00:12:34:56"' ]
[ "$(vsctl iface-to-br "$device")" = "$bridge" ]
[ "$(vsctl --if-exists get Interface "$device" name)" = "$device" ] ||
  [ "$(vsctl --if-exists get Interface "$device" name)" = "\"$device\"" ]
for counter in rx_bytes rx_packets rx_errors rx_dropped tx_bytes tx_packets tx_errors tx_dropped; do
  value=$(vsctl --if-exists get Interface "$device" "statistics:$counter")
  case $value in '' | *[!0-9]*) echo "statistics:$counter is \"$value\"" >&2; exit 1 ;; esac
done
# Port data travels with a migration.
vsctl set Interface "$device" 'external_ids:PortData="some data"'
[ "$(vsctl --if-exists get Interface "$device" external_ids:PortData)" = '"some data"' ]
vsctl --if-exists remove Interface "$device" external_ids PortData
# A vhost-user interface is found by its socket: there is none.
[ -z "$(vsctl --no-headings --columns=name find Interface 'options:vhost-server-path="/run/no.sock"')" ]
vsctl -- --if-exists del-port "$device"
! vsctl iface-to-br "$device" 2>/dev/null
[ -z "$(vsctl list-ports "$bridge" | grep -x "$device" || true)" ]
