node_name = "dc1-s3"
bind_addr = "172.30.1.13"
