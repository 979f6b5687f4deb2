import { sharedFlags } from './api-flags.ts';
import type { Command } from './command.ts';
import type { FlagSpec } from './flags.ts';

const WIDTH = 80;
const ROOT_ABOUT = 'A service mesh over several datacenters. Start with "isthmus agent -dev".';

/** Lines of at most 80 characters; the ones after the first are indented by `hanging`. */
function wrap(text: string, indent: string, hanging = indent): string {
  return text
    .split('\n\n')
    .map((paragraph) => {
      const lines: string[] = [];
      let line = indent;
      let empty = true;
      for (const word of paragraph.split(/\s+/)) {
        if (!empty && line.length + word.length + 1 > WIDTH) {
          lines.push(line);
          line = hanging;
          empty = true;
        }
        line += empty ? word : ` ${word}`;
        empty = false;
      }
      return [...lines, line].join('\n');
    })
    .join('\n\n');
}

function flagHelp(flags: readonly FlagSpec[]): string {
  return [...flags]
    .sort((a, b) => (a.name < b.name ? -1 : 1))
    .map((flag) => {
      const value = flag.kind === 'bool' ? '' : `=<${flag.placeholder ?? (flag.kind === 'list' ? 'text' : flag.kind)}>`;
      const many = flag.kind === 'list' ? ' May be repeated.' : '';
      return `  -${flag.name}${value}\n${wrap(flag.about + many, '     ')}`;
    })
    .join('\n\n');
}

/** The help of one command. */
export function commandHelp(command: Command): string {
  const words = ['Usage: isthmus', ...command.path, '[options]', command.argsUsage ?? ''];
  const sections = [wrap(words.join(' ').trimEnd(), '', '    '), wrap(command.about ?? command.synopsis, '  ')];
  if (command.flags.length > 0) sections.push(`Command options\n\n${flagHelp(command.flags)}`);
  sections.push(`Common options\n\n${flagHelp(sharedFlags(command))}`);
  return `${sections.join('\n\n')}\n`;
}

/** One line for each group of commands; a group without one fails a test. */
export const GROUP_ABOUT: Readonly<Record<string, string>> = {
  acl: 'Tokens, policies and roles of access control.',
  'acl policy': 'Policies: what may be done.',
  'acl role': 'Roles: policies under one name.',
  'acl token': 'Tokens: who may do it.',
  catalog: 'List nodes and services, and the address of a service.',
  config: 'Work with configuration entries.',
  connect: 'Certificates and sidecars of the mesh.',
  'connect ca': 'The certificate authority of the mesh.',
  federation: 'Links to other datacenters, and invitations.',
  kv: 'The key/value store.',
  query: 'Prepared queries: who would be chosen, and why.',
  intention: 'Decide which services may talk to which.',
  operator: 'For those who run the servers.',
  'operator autopilot': 'Health of the servers; settings that are kept for tools.',
  'operator raft': 'The servers of the datacenter.',
  'operator usage': 'How much there is.',
  replication: 'What this datacenter copies from the primary.',
  tls: 'Make certificate files for servers and agents.',
  'tls ca': 'Make an authority for these certificates.',
  'tls cert': 'Make certificates of that authority.',
  services: 'Register services with the agent, and deregister them.',
  snapshot: 'Save, restore and inspect copies of the state.',
  store: 'The store of a server.',
  troubleshoot: 'Find out why something can’t be reached.',
};

/** The commands and groups directly below `prefix`. */
export function groupHelp(prefix: readonly string[], commands: readonly Command[]): string {
  const lines = new Map<string, string>();
  for (const command of commands) {
    const name = command.path[prefix.length];
    if (name === undefined || prefix.some((word, index) => command.path[index] !== word)) continue;
    const full = [...prefix, name].join(' ');
    lines.set(
      name,
      command.path.length === prefix.length + 1 ? command.synopsis : (GROUP_ABOUT[full] ?? '').replace(/\.$/, ''),
    );
  }
  const width = Math.max(...[...lines.keys()].map((name) => name.length));
  const list = [...lines]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, text]) => wrapRow(`    ${name.padEnd(width)}    `, text));
  const usage = ['Usage: isthmus', ...prefix, '<command> [options] [args]'].join(' ');
  const about = prefix.length === 0 ? ROOT_ABOUT : (GROUP_ABOUT[prefix.join(' ')] ?? '');
  const more = `Help of a command: isthmus help ${[...prefix, '<command>'].join(' ')}`;
  return `${[usage, wrap(about, '  '), `Commands\n\n${list.join('\n')}`, more].join('\n\n')}\n`;
}

/** A row of a list: what follows its first line stands below the text. */
function wrapRow(start: string, text: string): string {
  const rest = ' '.repeat(start.length);
  return start + wrap(text, rest).slice(rest.length);
}
