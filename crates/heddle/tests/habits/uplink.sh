#!/bin/sh
# A server's bridge with an uplink: the address is on the bridge's own port, and an instance reaches what is outside.
set -eu
bridge=$1
ip link add up0 address 00:16:3e:00:00:05 type veth peer name out0
ip link add tap0 type veth peer name guest0
for device in up0 tap0; do ip link set "$device" up; done
in_namespace_of() { pid=$1; shift; nsenter --net="/proc/$pid/ns/net" "$@"; }
unshare --net sleep 60 & outside=$!
unshare --net sleep 60 & guest=$!
trap 'kill $outside $guest' EXIT
while [ "$(readlink /proc/$outside/ns/net)" = "$(readlink /proc/self/ns/net)" ] ||
  [ "$(readlink /proc/$guest/ns/net)" = "$(readlink /proc/self/ns/net)" ]; do sleep 0.02; done
ip link set out0 netns "$outside"
ip link set guest0 netns "$guest"
in_namespace_of "$outside" ip address add 192.0.2.1/24 dev out0
in_namespace_of "$outside" ip address add 198.51.100.1/32 dev lo
for device in lo out0; do in_namespace_of "$outside" ip link set "$device" up; done
in_namespace_of "$guest" ip address add 192.0.2.10/24 dev guest0
in_namespace_of "$guest" ip link set guest0 up
in_namespace_of "$guest" ip route add default via 192.0.2.1

ovs-vsctl add-br "$bridge" -- add-port "$bridge" up0 -- add-port "$bridge" tap0
ip address add 192.0.2.5/24 dev "$bridge"
ip link set "$bridge" up
ping -c 3 -i 0.2 -W 2 192.0.2.1 >/dev/null
in_namespace_of "$guest" ping -c 3 -i 0.2 -W 2 198.51.100.1 >/dev/null
in_namespace_of "$guest" ping -c 3 -i 0.2 -W 2 192.0.2.5 >/dev/null
# The bridge has its card's address, as the server's neighbours expect.
ip -o link show dev "$bridge" | grep -q 'link/ether 00:16:3e:00:00:05'
[ "$(ovs-appctl fdb/show "$bridge" | grep -c LOCAL)" = 1 ]
packets=$(ovs-vsctl get Interface up0 statistics:rx_packets)
[ "$packets" -ge 0 ]
ovs-vsctl del-br "$bridge"
! ip link show "$bridge" 2>/dev/null
