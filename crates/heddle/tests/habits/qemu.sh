#!/bin/sh
# A virtual machine on a bridge: QEMU's TAP is a port, and the machine's firmware, which asks for an address by DHCP and
# answers pings, is the guest. It runs without KVM.
set -eu
bridge=$1
directory=$(mktemp -d)
ovs-vsctl add-br "$bridge"
ip address add 192.0.2.1/24 dev "$bridge"
ip link set "$bridge" up
ip tuntap add dev vm0 mode tap
ip link set vm0 up
ovs-vsctl add-port "$bridge" vm0 -- set interface vm0 external_ids:attached-mac=02:00:00:00:00:05
dnsmasq --keep-in-foreground --conf-file=/dev/null --port=0 --interface="$bridge" --bind-interfaces --user=root \
  --dhcp-range=192.0.2.50,192.0.2.50,5m --dhcp-leasefile="$directory/leases" --pid-file="$directory/pid" \
  >"$directory/dnsmasq.log" 2>&1 &
dnsmasq=$!
qemu-system-x86_64 -machine pc,accel=tcg -m 64 -nodefaults -display none -boot n \
  -netdev tap,id=n0,ifname=vm0,script=no,downscript=no \
  -device "${2:-virtio-net-pci},netdev=n0,mac=02:00:00:00:00:05" >"$directory/qemu.log" 2>&1 &
qemu=$!
trap 'kill $qemu $dnsmasq 2>/dev/null; rm -rf "$directory"' EXIT
tries=0
until ping -c 1 -W 1 192.0.2.50 >/dev/null 2>&1; do
  tries=$((tries + 1))
  [ "$tries" -lt 30 ] || { cat "$directory"/*.log >&2; exit 1; }
done
ping -c 3 -i 0.2 -W 2 192.0.2.50 >/dev/null
ovs-appctl fdb/show "$bridge" | grep -q 02:00:00:00:00:05
[ "$(ovs-vsctl get interface vm0 link_state)" = up ]
ovs-vsctl del-port "$bridge" vm0
