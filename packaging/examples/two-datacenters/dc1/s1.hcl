node_name = "dc1-s1"
bind_addr = "172.30.1.11"
