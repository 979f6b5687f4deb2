# The smallest datacenter: one server with the embedded store. It grows to several servers by moving its store to etcd:
# docs/operating.md. Its server ports have certificates that it makes by itself; other machines join it with an invitation:
# "isthmus federation invite" for a datacenter, "isthmus federation invite -agent" for a client agent.
datacenter         = "dc1"
primary_datacenter = "dc1"
server             = true
data_dir           = "/var/lib/isthmus"
bind_addr          = "10.0.1.11"
connect { enabled = true ca_key_encryption_file = "/etc/isthmus/ca.key" }
