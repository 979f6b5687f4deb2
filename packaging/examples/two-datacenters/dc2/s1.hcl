node_name = "dc2-s1"
bind_addr = "172.30.2.11"
