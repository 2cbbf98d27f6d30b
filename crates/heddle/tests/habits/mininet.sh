#!/bin/sh
# What Mininet's OVSSwitch does: asks whether the daemon is there, starts switches in one command, asks whether their
# controllers are connected, stops them. The devices are there.
set -eu
bridge=$1 first=$2 second=$3 controller=$4 datapath=${5:-system}
ovs-vsctl --version | head -n 1 | grep -q 'ovs-vsctl (Open vSwitch)'
ovs-vsctl -t 5 show >/dev/null

ovs-vsctl -- --id=@${bridge}c0 create Controller "target=\"$controller\"" max_backoff=1000 \
  -- --if-exists del-br "$bridge" -- add-br "$bridge" \
  -- set bridge "$bridge" "controller=[@${bridge}c0]" other_config:datapath-id=0000000000000051 fail_mode=secure \
     other-config:disable-in-band=true datapath_type=$datapath \
  -- add-port "$bridge" "$first" -- set Interface "$first" ofport_request=1 \
  -- add-port "$bridge" "$second" -- set Interface "$second" ofport_request=2
[ "$(ovs-vsctl get Bridge "$bridge" datapath_id)" = '"0000000000000051"' ]
[ "$(ovs-vsctl get Interface "$first" ofport)" = 1 ]
[ "$(ovs-vsctl get Interface "$second" ofport)" = 2 ]
[ "$(ovs-vsctl get-fail-mode "$bridge")" = secure ]
uuid=$(ovs-vsctl -- get Bridge "$bridge" Controller | tr -d '[]')
for _ in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
  connected=$(ovs-vsctl -- get Controller "$uuid" is_connected)
  [ "$connected" = true ] && break
  sleep 0.25
done
[ "$connected" = true ]
ovs-ofctl dump-flows "$bridge" >/dev/null
ovs-ofctl add-flow "$bridge" priority=7,in_port=1,actions=output:2
ovs-ofctl dump-ports "$bridge" | grep -q 'port *\("\?'"$first"'"\?\|1\):'
ovs-vsctl del-port "$bridge" "$second"
ovs-vsctl del-br "$bridge" -- --if-exists del-br another
! ovs-vsctl br-exists "$bridge"
