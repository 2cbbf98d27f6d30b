#!/bin/sh
# Two containers of Docker on a bridge, each by a pair of veth devices, as ovs-docker and others attach them.
set -eu
bridge=$1
directory=$(mktemp -d)
dockerd --data-root "$directory/data" --exec-root "$directory/exec" --pidfile "$directory/pid" \
  --host "unix://$directory/docker.sock" --bridge none --iptables=false >"$directory/log" 2>&1 &
daemon=$!
docker() { command docker --host "unix://$directory/docker.sock" "$@"; }
end() {
  docker rm --force c1 c2 >/dev/null 2>&1 || true
  kill "$daemon" 2>/dev/null
  wait "$daemon" 2>/dev/null || true
  rm -rf "$directory"
}
trap end EXIT
tries=0
until docker version >/dev/null 2>&1; do
  tries=$((tries + 1))
  [ "$tries" -lt 100 ] || { cat "$directory/log" >&2; exit 1; }
  sleep 0.2
done
mkdir -p "$directory/root/bin"
cp /bin/busybox "$directory/root/bin/busybox"
tar -C "$directory/root" -c . | docker import - heddle-test >/dev/null
ovs-vsctl add-br "$bridge"
for number in 1 2; do
  docker run --detach --name "c$number" --network none heddle-test /bin/busybox sleep 300 >/dev/null
  pid=$(docker inspect --format '{{.State.Pid}}' "c$number")
  ip link add "veth$number" type veth peer name eth0 netns "$pid"
  ip link set "veth$number" up
  ovs-vsctl add-port "$bridge" "veth$number" -- set interface "veth$number" external_ids:container_id="c$number"
  nsenter --net="/proc/$pid/ns/net" ip address add "192.0.2.$number/24" dev eth0
  nsenter --net="/proc/$pid/ns/net" ip link set eth0 up
done
docker exec c1 /bin/busybox ping -c 3 -W 2 192.0.2.2 | grep -q '3 packets received'
[ "$(ovs-vsctl --bare --columns=name find interface external_ids:container_id=c2)" = veth2 ]
ovs-ofctl add-flow "$bridge" priority=9,icmp,actions=drop
docker exec c1 /bin/busybox ping -c 1 -W 1 192.0.2.2 >/dev/null && exit 1
ovs-vsctl del-br "$bridge"
