"""Does with py-consul what people use it for, against the agent of CONSUL_HTTP_ADDR. Each argument is a task; a line
for each that is done, and status 1 at the first that fails."""

import sys
import threading

import consul


def expect(holds, text):
    if not holds:
        raise AssertionError(text)


def services(client):
    client.agent.service.register(
        "cart",
        service_id="cart-1",
        port=7000,
        tags=["blue"],
        meta={"team": "shop"},
        check=consul.Check.ttl("30s"),
    )
    expect(client.agent.services()["cart-1"]["Meta"]["team"] == "shop", "the service as the agent shows it")
    index, found = client.health.service("cart")
    expect(found[0]["Checks"][-1]["Status"] == "critical", "a TTL check begins critical")
    threading.Timer(0.2, lambda: client.agent.check.ttl_pass("service:cart-1")).start()
    for _ in range(20):
        index, found = client.health.service("cart", index=index, wait="5s")
        if all(check["Status"] == "passing" for check in found[0]["Checks"]):
            break
    else:
        raise AssertionError("the watch did not see the check pass")
    client.catalog.register("py-node", "10.9.9.9", service={"Service": "ledger", "Port": 1})
    expect("ledger" in client.catalog.services()[1], "the service in the catalog")
    query = client.query.create("ledger", name="find-ledger")
    expect(client.query.execute("find-ledger")["Nodes"], "the query finds the instance")
    client.query.delete(query["ID"])
    client.catalog.deregister("py-node")
    client.agent.service.deregister("cart-1")
    expect("cart-1" not in client.agent.services(), "the service is gone")


def state(client):
    expect(client.status.leader(), "there is a leader")
    expect(client.agent.self()["Config"]["Datacenter"] == "dc1", "the datacenter")
    expect(client.catalog.datacenters() == ["dc1"], "the datacenters")
    expect(client.operator.raft_config()["Servers"], "the servers")


def keys(client):
    client.kv.put("py/a", b"\x00\xffbytes", flags=7)
    index, pair = client.kv.get("py/a")
    expect(pair["Value"] == b"\x00\xffbytes" and pair["Flags"] == 7, "the value as it was put")
    expect(not client.kv.put("py/a", "other", cas=1), "a stale index is refused")
    threading.Timer(0.2, lambda: client.kv.put("py/a", "later")).start()
    _, pair = client.kv.get("py/a", index=index, wait="10s")
    expect(pair["Value"] == b"later", "the blocked reader sees the change")
    session = client.session.create(name="py", ttl=10, lock_delay=1)
    expect(client.kv.put("py/lock", "mine", acquire=session), "the lock is taken")
    other = client.session.create(name="other", ttl=10, lock_delay=1)
    expect(not client.kv.put("py/lock", "theirs", acquire=other), "and held")
    client.session.destroy(session)
    client.session.destroy(other)
    client.kv.delete("py/", recurse=True)
    expect(client.kv.get("py/", recurse=True)[1] is None, "all is deleted")


def main():
    client = consul.Consul()
    for name in sys.argv[1:]:
        {"services": services, "state": state, "keys": keys}[name](client)
        print(f"ok {name}")


if __name__ == "__main__":
    main()
