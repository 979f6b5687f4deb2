import { sharedFlags } from './api-flags.ts';
import type { Command } from './command.ts';
import type { FlagSpec } from './flags.ts';

const WIDTH = 80;

function wrap(text: string, indent: string): string {
  const lines: string[] = [];
  for (const paragraph of text.split('\n\n')) {
    let line = indent;
    for (const word of paragraph.split(/\s+/)) {
      if (line.length + word.length + 1 > WIDTH && line !== indent) {
        lines.push(line.trimEnd());
        line = indent;
      }
      line += `${word} `;
    }
    lines.push(line.trimEnd(), '');
  }
  return lines.slice(0, -1).join('\n');
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
  const sections = [words.join(' ').trimEnd(), wrap(command.about ?? command.synopsis, '  ')];
  if (command.flags.length > 0) sections.push(`Command options\n\n${flagHelp(command.flags)}`);
  sections.push(`Common options\n\n${flagHelp(sharedFlags(command))}`);
  return `${sections.join('\n\n')}\n`;
}

const GROUP_ABOUT: Readonly<Record<string, string>> = {
  catalog: 'Ask what nodes and services there are.',
  config: 'Work with configuration entries.',
  connect: 'Certificates and sidecars of the mesh.',
  'connect ca': 'The certificate authority.',
  federation: 'Links to other datacenters, and invitations of new ones.',
  query: 'Prepared queries: who serves, and who would.',
  intention: 'Decide which services may talk to which.',
  operator: 'For those who run the servers.',
  'operator raft': 'The servers of the datacenter.',
  replication: 'What this datacenter takes over from the primary.',
  tls: 'Certificates by which agents know each other.',
  'tls ca': 'Their authority.',
  'tls cert': 'Certificates of agents.',
  services: 'Register and deregister services with the agent.',
};

/** The commands and groups directly below `prefix`. */
export function groupHelp(prefix: readonly string[], commands: readonly Command[]): string {
  const lines = new Map<string, string>();
  for (const command of commands) {
    const name = command.path[prefix.length];
    if (name === undefined || prefix.some((word, index) => command.path[index] !== word)) continue;
    const full = [...prefix, name].join(' ');
    lines.set(name, command.path.length === prefix.length + 1 ? command.synopsis : (GROUP_ABOUT[full] ?? ''));
  }
  const width = Math.max(...[...lines.keys()].map((name) => name.length));
  const list = [...lines]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, text]) => `    ${name.padEnd(width)}    ${text}`);
  const usage = ['Usage: isthmus', ...prefix, '<command> [options] [args]'].join(' ');
  return `${usage}\n\nCommands (each has -h)\n\n${list.join('\n')}\n`;
}
