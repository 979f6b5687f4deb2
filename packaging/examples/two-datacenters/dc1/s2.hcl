node_name = "dc1-s2"
bind_addr = "172.30.1.12"
