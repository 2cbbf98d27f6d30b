"""Speaks OpenFlow 1.3 to a bridge with os-ken's message library: a codec that shares nothing with ours.

Usage: speak_openflow.py SOCKET. Ends with 0 and a line for each message that was understood on both sides.
"""

import socket
import sys

from os_ken.ofproto import ofproto_v1_3 as of
from os_ken.ofproto import ofproto_v1_3_parser as parser
from os_ken.ofproto import ofproto_parser
from os_ken.ofproto.ofproto_protocol import ProtocolDesc

DATAPATH = ProtocolDesc(version=of.OFP_VERSION)


class Bridge:
    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(10)
        self.socket.connect(path)
        self.held = b""
        self.xid = 0
        # The hello comes in the newest version that the switch speaks, which is not the one that is spoken then.
        assert type(self.read()).__name__ == "OFPHello"
        self.say(parser.OFPHello(DATAPATH, elements=[parser.OFPHelloElemVersionBitmap(versions=[1, 4])]))

    def say(self, message):
        self.xid += 1
        message.xid = self.xid
        message.serialize()
        self.socket.sendall(bytes(message.buf))

    def read(self):
        while True:
            if len(self.held) >= 8:
                version, kind, length, xid = ofproto_parser.header(self.held)
                if len(self.held) >= length:
                    bytes_, self.held = self.held[:length], self.held[length:]
                    return ofproto_parser.msg(DATAPATH, version, kind, length, xid, bytes_)
            piece = self.socket.recv(65536)
            assert piece, "the switch hung up"
            self.held += piece

    def ask(self, message, answer):
        """The one answer to a message; several parts of a statistics reply become one."""
        self.say(message)
        body = []
        while True:
            said = self.read()
            assert isinstance(said, answer), f"{message} -> {said}"
            assert said.xid == self.xid
            if not hasattr(said, "body") or not isinstance(said.body, list):
                break
            body += said.body
            if not said.flags & of.OFPMPF_REPLY_MORE:
                said.body = body
                break
        print(f"{type(message).__name__} -> {answer.__name__}")
        return said

    def tell(self, message):
        self.say(message)
        self.ask(parser.OFPBarrierRequest(DATAPATH), parser.OFPBarrierReply)

    def refused(self, message, kind, code):
        error = self.ask(message, parser.OFPErrorMsg)
        assert (error.type, error.code) == (kind, code), (error.type, error.code)
        assert error.data == bytes(message.buf), "the message is quoted whole"


def flow(match, instructions, **more):
    return parser.OFPFlowMod(DATAPATH, match=match, instructions=instructions, **more)


def written(instructions):
    buffer = bytearray()
    for instruction in instructions:
        instruction.serialize(buffer, len(buffer))
    return bytes(buffer)


def apply(*actions):
    return [parser.OFPInstructionActions(of.OFPIT_APPLY_ACTIONS, list(actions))]


# Every match field of OpenFlow 1.3 that this switch knows, with what it presupposes.
IP, IP6, ARP, MPLS = {"eth_type": 0x800}, {"eth_type": 0x86DD}, {"eth_type": 0x806}, {"eth_type": 0x8847}
MATCHES = [
    {"in_port": 1},
    {"metadata": (5, 0xFF)},
    {"eth_dst": ("01:00:00:00:00:00", "01:00:00:00:00:00"), "eth_src": "02:00:00:00:00:01"},
    {"vlan_vid": 0x1005, "vlan_pcp": 3},
    {"vlan_vid": (0x1000, 0x1000)},
    {"vlan_vid": 0},
    IP | {"ip_dscp": 46, "ip_ecn": 1, "ipv4_src": ("10.0.0.0", "255.0.0.0"), "ipv4_dst": "10.0.0.1"},
    IP | {"ip_proto": 6, "tcp_src": 1, "tcp_dst": 2},
    IP | {"ip_proto": 17, "udp_src": 1, "udp_dst": 2},
    IP | {"ip_proto": 132, "sctp_src": 1, "sctp_dst": 2},
    IP | {"ip_proto": 1, "icmpv4_type": 8, "icmpv4_code": 0},
    ARP | {"arp_op": 1, "arp_spa": "10.0.0.1", "arp_tpa": "10.0.0.2"},
    ARP | {"arp_sha": "02:00:00:00:00:01", "arp_tha": "02:00:00:00:00:02"},
    IP6 | {"ipv6_src": "fd00::1", "ipv6_dst": ("fd00::", "ffff::"), "ipv6_flabel": 5},
    IP6 | {"ip_proto": 58, "icmpv6_type": 135, "icmpv6_code": 0, "ipv6_nd_target": "fe80::1", "ipv6_nd_sll": "02:00:00:00:00:01"},
    IP6 | {"ip_proto": 58, "icmpv6_type": 136, "ipv6_nd_tll": "02:00:00:00:00:01"},
    MPLS | {"mpls_label": 5, "mpls_tc": 3, "mpls_bos": 1},
    {"tunnel_id": 7},
]


def actions(bridge):
    """Every action and instruction that this switch does, with a match under which it can."""
    output = parser.OFPActionOutput(2, 0)
    set_field = parser.OFPActionSetField
    goto = [parser.OFPInstructionGotoTable(3)]
    metadata = [parser.OFPInstructionWriteMetadata(5, 0xFF)]
    write = [parser.OFPInstructionActions(of.OFPIT_WRITE_ACTIONS, [set_field(eth_dst="02:00:00:00:00:09"), output])]
    clear = [parser.OFPInstructionActions(of.OFPIT_CLEAR_ACTIONS, [])]
    for match, instructions in [
        ({}, apply(output, parser.OFPActionOutput(of.OFPP_CONTROLLER, 128))),
        ({}, apply(parser.OFPActionPushVlan(0x8100), set_field(vlan_vid=0x1005), set_field(vlan_pcp=2), output)),
        ({"vlan_vid": 0x1005}, apply(parser.OFPActionPopVlan(), output)),
        (IP, apply(parser.OFPActionPushMpls(0x8847), set_field(mpls_label=5), set_field(mpls_tc=1), output)),
        (MPLS, apply(parser.OFPActionSetMplsTtl(5), parser.OFPActionDecMplsTtl(), parser.OFPActionPopMpls(0x800), output)),
        (IP, apply(parser.OFPActionSetNwTtl(5), parser.OFPActionDecNwTtl(), set_field(ipv4_dst="10.0.0.9"), output)),
        (IP6, apply(set_field(ipv6_src="fd00::9"), set_field(ipv6_flabel=7), set_field(ip_dscp=5), set_field(ip_ecn=1))),
        (ARP, apply(set_field(arp_op=2), set_field(arp_spa="10.0.0.9"), set_field(arp_tha="02:00:00:00:00:09"))),
        ({}, apply(set_field(metadata=9), set_field(tunnel_id=9), set_field(eth_src="02:00:00:00:00:09"))),
        ({}, apply(output) + clear + write + metadata + goto),
    ]:
        bridge.tell(flow(parser.OFPMatch(**match), instructions, command=of.OFPFC_ADD))
        there = bridge.ask(parser.OFPFlowStatsRequest(DATAPATH), parser.OFPFlowStatsReply).body
        assert len(there) == 1, there
        given, back = written(instructions), written(there[0].instructions)
        assert given == back, f"{given.hex()} -> {back.hex()}"
        bridge.tell(flow(parser.OFPMatch(), [], command=of.OFPFC_DELETE, table_id=of.OFPTT_ALL, out_port=of.OFPP_ANY, out_group=of.OFPG_ANY))


def main(path):
    bridge = Bridge(path)
    features = bridge.ask(parser.OFPFeaturesRequest(DATAPATH), parser.OFPSwitchFeatures)
    assert (features.n_tables, features.n_buffers) == (254, 256)
    assert bridge.ask(parser.OFPEchoRequest(DATAPATH, data=b"ping"), parser.OFPEchoReply).data == b"ping"
    bridge.tell(parser.OFPSetConfig(DATAPATH, of.OFPC_FRAG_NORMAL, 200))
    assert bridge.ask(parser.OFPGetConfigRequest(DATAPATH), parser.OFPGetConfigReply).miss_send_len == 200
    for fields in MATCHES:
        match = parser.OFPMatch(**fields)
        bridge.tell(flow(match, apply(parser.OFPActionOutput(2, 0)), cookie=7, priority=9, idle_timeout=100, flags=0x1F))
        there = bridge.ask(parser.OFPFlowStatsRequest(DATAPATH), parser.OFPFlowStatsReply).body
        assert len(there) == 1 and dict(there[0].match.items()) == dict(match.items()), f"{fields}: {there}"
        assert (there[0].cookie, there[0].priority, there[0].idle_timeout, there[0].flags) == (7, 9, 100, 0x1F)
        strict = flow(match, [], command=of.OFPFC_DELETE_STRICT, priority=9, out_port=of.OFPP_ANY, out_group=of.OFPG_ANY)
        bridge.say(strict)
        # We are told, because we asked for bytes of packets.
        assert isinstance(bridge.read(), parser.OFPFlowRemoved)
    actions(bridge)
    ports = {port.port_no: port for port in bridge.ask(parser.OFPPortDescStatsRequest(DATAPATH, 0), parser.OFPPortDescStatsReply).body}
    assert of.OFPP_LOCAL in ports and ports[1].name == b"s1-eth1", ports
    assert len(bridge.ask(parser.OFPPortStatsRequest(DATAPATH, 0, of.OFPP_ANY), parser.OFPPortStatsReply).body) == len(ports)
    assert len(bridge.ask(parser.OFPTableStatsRequest(DATAPATH, 0), parser.OFPTableStatsReply).body) == 254
    tables = bridge.ask(parser.OFPTableFeaturesStatsRequest(DATAPATH, 0, []), parser.OFPTableFeaturesStatsReply).body
    assert len(tables) == 254 and len(tables[0].properties) == 14, len(tables)
    bridge.ask(parser.OFPDescStatsRequest(DATAPATH, 0), parser.OFPDescStatsReply)
    bridge.ask(parser.OFPAggregateStatsRequest(DATAPATH, 0, of.OFPTT_ALL, of.OFPP_ANY, of.OFPG_ANY, 0, 0, parser.OFPMatch()), parser.OFPAggregateStatsReply)
    bridge.ask(parser.OFPGroupDescStatsRequest(DATAPATH, 0), parser.OFPGroupDescStatsReply)
    bridge.ask(parser.OFPGroupFeaturesStatsRequest(DATAPATH, 0), parser.OFPGroupFeaturesStatsReply)
    bridge.ask(parser.OFPMeterFeaturesStatsRequest(DATAPATH, 0), parser.OFPMeterFeaturesStatsReply)
    bridge.ask(parser.OFPQueueGetConfigRequest(DATAPATH, of.OFPP_ANY), parser.OFPQueueGetConfigReply)
    role = bridge.ask(parser.OFPRoleRequest(DATAPATH, of.OFPCR_ROLE_MASTER, 5), parser.OFPRoleReply)
    assert (role.role, role.generation_id) == (of.OFPCR_ROLE_MASTER, 5)
    bridge.refused(parser.OFPRoleRequest(DATAPATH, of.OFPCR_ROLE_MASTER, 4), of.OFPET_ROLE_REQUEST_FAILED, of.OFPRRFC_STALE)
    bridge.tell(parser.OFPSetAsync(DATAPATH, [7, 0], [7, 7], [15, 0]))
    assert bridge.ask(parser.OFPGetAsyncRequest(DATAPATH), parser.OFPGetAsyncReply).packet_in_mask == [7, 0]
    bridge.refused(flow(parser.OFPMatch(), apply(parser.OFPActionGroup(1))), of.OFPET_BAD_ACTION, of.OFPBAC_BAD_OUT_GROUP)
    buckets = [parser.OFPBucket(actions=[parser.OFPActionOutput(1, 0)]), parser.OFPBucket(actions=[parser.OFPActionOutput(2, 0)])]
    bridge.tell(parser.OFPGroupMod(DATAPATH, of.OFPGC_ADD, of.OFPGT_ALL, 1, buckets))
    bridge.refused(parser.OFPGroupMod(DATAPATH, of.OFPGC_ADD, of.OFPGT_ALL, 1, []), of.OFPET_GROUP_MOD_FAILED, of.OFPGMFC_GROUP_EXISTS)
    bridge.tell(flow(parser.OFPMatch(), apply(parser.OFPActionGroup(1))))
    groups = bridge.ask(parser.OFPGroupDescStatsRequest(DATAPATH, 0), parser.OFPGroupDescStatsReply).body
    assert [(group.group_id, written(group.buckets[1].actions)) for group in groups] == [(1, written(buckets[1].actions))], groups
    counters = bridge.ask(parser.OFPGroupStatsRequest(DATAPATH, 0, of.OFPG_ALL), parser.OFPGroupStatsReply).body
    assert [(group.group_id, group.ref_count, len(group.bucket_stats)) for group in counters] == [(1, 1, 2)], counters
    bridge.tell(parser.OFPGroupMod(DATAPATH, of.OFPGC_DELETE, of.OFPGT_ALL, of.OFPG_ALL, []))
    gone = bridge.ask(parser.OFPFlowStatsRequest(DATAPATH), parser.OFPFlowStatsReply).body
    assert not gone, "a flow goes with its group"
    bridge.refused(parser.OFPMeterMod(DATAPATH, of.OFPMC_MODIFY, of.OFPMF_KBPS, 1, []), of.OFPET_METER_MOD_FAILED, of.OFPMMFC_UNKNOWN_METER)
    port = parser.OFPPortMod(DATAPATH, port_no=1, hw_addr=ports[1].hw_addr, config=of.OFPPC_PORT_DOWN, mask=of.OFPPC_PORT_DOWN)
    # Before OpenFlow 1.5 nobody is told what it did itself.
    bridge.tell(port)
    ports = {port.port_no: port for port in bridge.ask(parser.OFPPortDescStatsRequest(DATAPATH, 0), parser.OFPPortDescStatsReply).body}
    assert ports[1].config == of.OFPPC_PORT_DOWN, ports
    out = parser.OFPPacketOut(DATAPATH, buffer_id=of.OFP_NO_BUFFER, in_port=of.OFPP_CONTROLLER, actions=[parser.OFPActionOutput(of.OFPP_CONTROLLER, 20)], data=bytes(60))
    bridge.say(out)
    packet_in = bridge.read()
    assert isinstance(packet_in, parser.OFPPacketIn) and (packet_in.total_len, len(packet_in.data)) == (60, 20), packet_in
    assert packet_in.match["in_port"] == of.OFPP_CONTROLLER
    print("understood")


if __name__ == "__main__":
    main(sys.argv[1])
