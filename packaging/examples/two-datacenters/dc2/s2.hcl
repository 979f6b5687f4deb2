node_name = "dc2-s2"
bind_addr = "172.30.2.12"
