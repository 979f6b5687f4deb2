node_name = "dc2-s3"
bind_addr = "172.30.2.13"
