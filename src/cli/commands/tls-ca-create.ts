import { randomInt } from 'node:crypto';
import { createAgentCa } from '../../pki/agent-certs.ts';
import { generateKey, privateKeyToPem } from '../../pki/keys.ts';
import { attempting, type Command } from '../command.ts';
import { UsageError } from '../flags.ts';
import { savePair, validity } from './new-files.ts';

const DEFAULT_DAYS = 1_825;

export const tlsCaCreate: Command = {
  path: ['tls', 'ca', 'create'],
  synopsis: 'Make an authority for certificates of agents',
  about:
    'Writes DOMAIN-agent-ca.pem, which every agent needs (ca_file), and DOMAIN-agent-ca-key.pem, which makes ' +
    'certificates: keep it away from agents.',
  flags: [
    { name: 'domain', kind: 'text', placeholder: 'name', about: 'Domain of the agents; default consul.' },
    { name: 'days', kind: 'number', placeholder: 'n', about: `Days that it is valid; default ${DEFAULT_DAYS}.` },
    { name: 'name-constraint', kind: 'bool', about: 'Allow only certificates with names in the domain and localhost.' },
    {
      name: 'additional-name-constraint',
      kind: 'list',
      placeholder: 'domain',
      about: 'With -name-constraint, allow names in this domain too; may be repeated.',
    },
  ],
  api: 'none',
  async run({ io, flags, json, print, printJson }) {
    const domain = flags.text('domain') || 'consul';
    const days = flags.number('days', DEFAULT_DAYS);
    if (days < 1) throw new UsageError('-days must be at least 1');
    const [certFile, keyFile] = [`${domain}-agent-ca.pem`, `${domain}-agent-ca-key.pem`];
    const key = await generateKey({ type: 'ec', bits: 256 });
    const pem = createAgentCa({
      key,
      commonName: `Isthmus Agent CA ${randomInt(1, 2 ** 47)}`,
      ...validity(io.clock.now(), days),
      permittedDomains: flags.bool('name-constraint')
        ? [...flags.list('additional-name-constraint'), domain, 'localhost']
        : [],
    });
    attempting('Error saving the CA', () => savePair(io, [certFile, pem], [keyFile, privateKeyToPem(key)]));
    if (json) printJson({ Cert: certFile, Key: keyFile });
    else for (const file of [certFile, keyFile]) print(`==> Saved ${file}`);
    return 0;
  },
};
