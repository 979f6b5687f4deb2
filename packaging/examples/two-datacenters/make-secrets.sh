#!/bin/sh
# Makes what the example keeps secret, in ./tls: an authority for the servers' certificates, a certificate for the
# servers of each datacenter, and each datacenter's key for the private keys of its mesh authority. Usage:
# make-secrets.sh [DIRECTORY]
set -eu
umask 077
mkdir -p "${1:-tls}"
cd "${1:-tls}"
isthmus=${ISTHMUS:-isthmus}
"$isthmus" tls ca create
for dc in dc1 dc2; do
  "$isthmus" tls cert create -server -dc "$dc" \
    -additional-dnsname "$dc-s1" -additional-dnsname "$dc-s2" -additional-dnsname "$dc-s3"
  head -c 32 /dev/urandom | base64 > "$dc-ca.key"
done
# The authority's key makes certificates for servers: keep it where no server is.
echo "Move $(pwd)/consul-agent-ca-key.pem to a safe place."
