"""Drives a daemon by Open vSwitch's Python library and ovsdbapp: speak_ovsdb.py SOCKET.

Whoever answers must have the Open_vSwitch database, and a switch that writes cur_cfg back.
"""

import os
import sys
import threading

import ovs.db.idl
import ovs.poller
from ovsdbapp.backend.ovs_idl import connection, idlutils
from ovsdbapp.schema.open_vswitch import impl_idl

remote = f"unix:{sys.argv[1]}"


def by_ovsdbapp():
    """What Neutron and others do with bridges and ports."""
    idl = connection.OvsdbIdl.from_server(remote, "Open_vSwitch")
    api = impl_idl.OvsdbIdl(connection.Connection(idl=idl, timeout=10))
    api.add_br("app0").execute(check_error=True)
    assert "app0" in api.list_br().execute(check_error=True)
    with api.transaction(check_error=True) as transaction:
        transaction.add(api.add_port("app0", "app0-p1"))
        transaction.add(api.db_set("Interface", "app0-p1", ("type", "patch"), ("options", {"peer": "app0-p2"})))
        transaction.add(api.add_port("app0", "app0-p2"))
        transaction.add(api.db_set("Interface", "app0-p2", ("type", "patch"), ("options", {"peer": "app0-p1"})))
        transaction.add(api.db_set("Bridge", "app0", ("external_ids", {"owner": "test"})))
    assert sorted(api.list_ports("app0").execute(check_error=True)) == ["app0-p1", "app0-p2"]
    assert api.db_get("Interface", "app0-p1", "options").execute(check_error=True) == {"peer": "app0-p2"}
    found = api.db_find("Bridge", ("external_ids", "=", {"owner": "test"})).execute(check_error=True)
    assert [row["name"] for row in found] == ["app0"], found
    assert api.port_to_br("app0-p1").execute(check_error=True) == "app0"
    api.set_fail_mode("app0", "secure").execute(check_error=True)
    assert api.db_get("Bridge", "app0", "fail_mode").execute(check_error=True) == "secure"
    api.set_controller("app0", ["tcp:127.0.0.1:1"]).execute(check_error=True)
    assert api.get_controller("app0").execute(check_error=True) == ["tcp:127.0.0.1:1"]
    api.db_clear("Bridge", "app0", "external_ids").execute(check_error=True)
    ofport = api.db_get("Interface", "app0-p1", "ofport").execute(check_error=True)
    assert isinstance(ofport, int) and ofport > 0, ofport
    api.del_port("app0-p1").execute(check_error=True)
    api.del_br("app0").execute(check_error=True)
    assert "app0" not in api.list_br().execute(check_error=True)


def wait(idl, done):
    """Runs the replica until something is so."""
    for _ in range(1000):
        idl.run()
        if done():
            return
        poller = ovs.poller.Poller()
        idl.wait(poller)
        poller.timer_wait(100)
        poller.block()
    raise AssertionError("it does not become so")


def by_the_replica():
    """Two replicas: what one commits the other sees, conditions hold, and a change of what was read meanwhile is noticed."""
    one, two = replica(), replica()
    two.cond_change("Bridge", [["name", "==", "seen"]])
    wait(one, one.has_ever_connected)
    wait(two, two.has_ever_connected)
    root = next(iter(one.tables["Open_vSwitch"].rows.values()))

    def commit(change):
        transaction = ovs.db.idl.Transaction(one)
        change(transaction)
        status = transaction.commit_block()
        assert status in ("success", "unchanged"), (status, transaction.get_error())

    def add(transaction):
        for name in ("seen", "unseen"):
            bridge = transaction.insert(one.tables["Bridge"])
            bridge.name = name
            root.addvalue("bridges", bridge)

    commit(add)
    wait(two, lambda: two.tables["Bridge"].rows)
    assert [row.name for row in two.tables["Bridge"].rows.values()] == ["seen"]
    bridge = next(row for row in one.tables["Bridge"].rows.values() if row.name == "seen")
    commit(lambda _: bridge.setkey("external_ids", "key", "value"))
    wait(two, lambda: next(iter(two.tables["Bridge"].rows.values())).external_ids == {"key": "value"})

    # A transaction that rests on what another has changed is told to try again.
    late = ovs.db.idl.Transaction(two)
    row = next(iter(two.tables["Bridge"].rows.values()))
    row.verify("external_ids")
    row.external_ids = {"mine": "1"}
    commit(lambda _: bridge.setkey("external_ids", "key", "other"))
    assert late.commit_block() == "try again", late.get_error()

    def remove(_):
        root.bridges = [row for row in root.bridges if row.name not in ("seen", "unseen")]

    commit(remove)
    wait(two, lambda: not two.tables["Bridge"].rows)
    one.close()
    two.close()


def replica():
    """A replica of the whole, by the schema as the server tells it."""
    helper = idlutils.get_schema_helper(remote, "Open_vSwitch")
    helper.register_all()
    return ovs.db.idl.Idl(remote, helper)


watch = threading.Timer(60, lambda: os._exit(3))
watch.daemon = True
watch.start()
by_the_replica()
by_ovsdbapp()
print("understood")
