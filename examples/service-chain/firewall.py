#!/usr/bin/env python3
"""A firewall as a bump in the wire: passes frames between two devices, but for TCP to ports that are denied.

    firewall.py DEVICE DEVICE --deny PORT [PORT ..]

Frames keep their virtio-net header, so that segments of 64 KiB pass whole and checksums are completed where they are today.
"""
import argparse
import select
import socket

ALL_FRAMES = 0x0003
SOL_PACKET, PACKET_VNET_HDR, PACKET_OUTGOING = 263, 15, 4
VNET_HEADER = 10


def denied(frame, ports):
    """Whether this is a TCP segment over IPv4 or IPv6 to one of the ports."""
    kind = int.from_bytes(frame[12:14], "big")
    if kind == 0x0800:
        protocol, at = frame[23], 14 + 4 * (frame[14] & 15)
    elif kind == 0x86DD:
        protocol, at = frame[20], 54
    else:
        return False
    return protocol == 6 and int.from_bytes(frame[at + 2:at + 4], "big") in ports


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("devices", nargs=2)
    parser.add_argument("--deny", nargs="+", type=int, default=[])
    arguments = parser.parse_args()
    sockets = []
    for device in arguments.devices:
        packets = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ALL_FRAMES))
        packets.setsockopt(SOL_PACKET, PACKET_VNET_HDR, 1)
        packets.bind((device, 0))
        sockets.append(packets)
    other = {sockets[0]: sockets[1], sockets[1]: sockets[0]}
    dropped = 0
    while True:
        for packets in select.select(sockets, [], [])[0]:
            frame, address = packets.recvfrom(VNET_HEADER + 65536 + 64)
            if address[2] == PACKET_OUTGOING:
                continue
            if denied(memoryview(frame)[VNET_HEADER:], arguments.deny):
                dropped += 1
                print(f"denied, {dropped} so far", flush=True)
                continue
            try:
                other[packets].send(frame)
            except OSError as error:
                print(f"not passed: {error}", flush=True)


main()
