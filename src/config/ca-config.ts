/** Snake case names of `connect.ca_config` and what the API calls them; other names pass as they are. */
const API_NAMES: Readonly<Record<string, string>> = {
  address: 'Address',
  ca_file: 'CAFile',
  ca_path: 'CAPath',
  cert_file: 'CertFile',
  csr_max_concurrent: 'CSRMaxConcurrent',
  csr_max_per_second: 'CSRMaxPerSecond',
  delete_on_exit: 'DeleteOnExit',
  existing_arn: 'ExistingARN',
  intermediate_cert_ttl: 'IntermediateCertTTL',
  intermediate_pki_path: 'IntermediatePKIPath',
  key_file: 'KeyFile',
  leaf_cert_ttl: 'LeafCertTTL',
  namespace: 'Namespace',
  private_key: 'PrivateKey',
  private_key_bits: 'PrivateKeyBits',
  private_key_type: 'PrivateKeyType',
  root_cert: 'RootCert',
  root_pki_path: 'RootPKIPath',
  rotation_period: 'RotationPeriod',
  tls_server_name: 'TLSServerName',
  tls_skip_verify: 'TLSSkipVerify',
  token: 'Token',
};

/** The provider's configuration in the names of the API. */
export function toApiCaConfig(config: Readonly<Record<string, unknown>>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(config).map(([key, value]) => [API_NAMES[key.toLowerCase()] ?? key, value]));
}
