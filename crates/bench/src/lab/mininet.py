"""Starts and stops Mininet's single,N with a Linux bridge; the last line is JSON with both times in seconds."""
import json, sys, time
from mininet.log import setLogLevel
from mininet.net import Mininet
from mininet.nodelib import LinuxBridge
from mininet.topo import SingleSwitchTopo

setLogLevel('critical')
begun = time.time()
net = Mininet(topo=SingleSwitchTopo(k=int(sys.argv[1])), switch=LinuxBridge, controller=None)
net.start()
up = time.time() - begun
begun = time.time()
net.stop()
print(json.dumps({'up': up, 'stop': time.time() - begun}))
