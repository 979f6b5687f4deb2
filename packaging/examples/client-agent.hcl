# An agent on a node of dc1, beside the services there. The servers of this example have certificate files, and so has it, made with
# "isthmus tls cert create -client -dc dc1". Where the servers make their certificates by themselves (single-server.hcl), put
# join_invite = "/etc/isthmus/this.invitation" in the place of the lines from retry_join to key_file.
datacenter         = "dc1"
primary_datacenter = "dc1"
server             = false
data_dir           = "/var/lib/isthmus"
bind_addr          = "10.0.1.20"
retry_join         = ["10.0.1.11", "10.0.1.12", "10.0.1.13"]

verify_outgoing        = true
verify_server_hostname = true
ca_file                = "/etc/isthmus/tls/consul-agent-ca.pem"
cert_file              = "/etc/isthmus/tls/dc1-client-consul-0.pem"
key_file               = "/etc/isthmus/tls/dc1-client-consul-0-key.pem"

acl {
  enabled                  = true
  enable_token_persistence = true
}

service {
  name = "web"
  port = 8080
  check { http = "http://127.0.0.1:8080/health" interval = "10s" }
  connect {
    sidecar_service {
      proxy {
        upstreams = [{ destination_name = "db", datacenter = "dc2", local_bind_port = 9191 }]
      }
    }
  }
}
