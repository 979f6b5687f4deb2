# All servers of dc1. What differs between them is in s1.hcl to s3.hcl.
datacenter         = "dc1"
primary_datacenter = "dc1"
server             = true
data_dir           = "/var/lib/isthmus"
client_addr        = "0.0.0.0"

# Any servers of the other datacenter, in any number: the rest is learned from them.
retry_join_wan = ["172.30.2.11", "172.30.2.12", "172.30.2.13"]

storage {
  engine = "etcd"
  etcd {
    endpoints = ["http://dc1-etcd1:2379", "http://dc1-etcd2:2379", "http://dc1-etcd3:2379"]
    prefix    = "isthmus/dc1"
  }
}

connect {
  enabled = true
  # Private keys of the authority are encrypted with it in the store and in snapshots. The same on each server of dc1.
  ca_key_encryption_file = "/etc/isthmus/tls/dc1-ca.key"
}

# What servers say to each other: mutual TLS, and only servers of a datacenter may speak for it.
verify_incoming        = true
verify_outgoing        = true
verify_server_hostname = true
ca_file                = "/etc/isthmus/tls/consul-agent-ca.pem"
cert_file              = "/etc/isthmus/tls/dc1-server-consul-0.pem"
key_file               = "/etc/isthmus/tls/dc1-server-consul-0-key.pem"

acl {
  enabled                  = true
  default_policy           = "deny"
  enable_token_replication = true
  enable_token_persistence = true
}

log_level = "INFO"
telemetry { prometheus_retention_time = "24h" }
