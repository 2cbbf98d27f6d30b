#!/bin/sh
# Mininet itself, with this daemon for Open vSwitch's: a tree with Mininet's controller, and switches that do without.
set -eu
result() { mn "$@" 2>&1 | tee "$OVS_RUNDIR/mn.log" | grep -q 'Results: 0% dropped' || { cat "$OVS_RUNDIR/mn.log" >&2; exit 1; }; }
result --topo tree,2 --switch ovsk,failMode=standalone --controller none --test pingall
result --topo linear,3 --switch ovsk,protocols=OpenFlow13 --controller ovsc --test pingall
[ -z "$(ovs-vsctl list-br)" ]
