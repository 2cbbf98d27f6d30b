#!/bin/sh
# Mininet itself, with this daemon for Open vSwitch's: a tree with Mininet's controller, switches that do without, and rings
# under a spanning tree.
set -eu
result() { mn "$@" 2>&1 | tee "$OVS_RUNDIR/mn.log" | grep -q 'Results: 0% dropped' || { cat "$OVS_RUNDIR/mn.log" >&2; exit 1; }; }
result --topo tree,2 --switch ovsk,failMode=standalone --controller none --test pingall
result --topo linear,3 --switch ovsk,protocols=OpenFlow13 --controller ovsc --test pingall
result --topo torus,3,3 --switch ovsbr,stp=1 --test pingall
[ -z "$(ovs-vsctl list-br)" ]
