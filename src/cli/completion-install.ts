import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

export interface CompletionPlace {
  readonly home: string;
  /** Of the user's configuration; default `.config` in the home directory. */
  readonly configHome?: string;
  /** The program that is asked. */
  readonly binary: string;
  /** The name that it is typed by. */
  readonly name: string;
}

/** Lines of a shell's start file, which stand between these. */
const BEGIN = '# completion of isthmus: begin';
const END = '# completion of isthmus: end';

/** A plain start file of zsh has no completion yet. */
const ZSH = [
  '(( $+functions[compdef] )) || { autoload -U +X compinit && compinit -i }',
  'autoload -U +X bashcompinit && bashcompinit',
];

interface StartFile {
  readonly path: string;
  readonly lines: readonly string[];
}

/** Bash and zsh ask the program each time; so they know what the installed version does. */
function startFiles({ home, binary, name }: CompletionPlace): readonly StartFile[] {
  const ask = `complete -o nospace -C ${quoted(binary)} ${name}`;
  return [
    { path: join(home, '.bashrc'), lines: [ask] },
    { path: join(home, '.zshrc'), lines: [...ZSH, ask] },
  ];
}

function fishFile({ home, configHome, name }: CompletionPlace): string {
  return join(configHome ?? join(home, '.config'), 'fish', 'completions', `${name}.fish`);
}

function fishScript({ binary, name }: CompletionPlace): string {
  return `function __complete_${name}
    set -lx COMP_LINE (commandline -cp)
    test -z (commandline -ct)
    and set COMP_LINE "$COMP_LINE "
    ${quoted(binary)}
end
complete -f -c ${name} -a "(__complete_${name})"
`;
}

function quoted(path: string): string {
  return `'${path.replaceAll("'", "'\\''")}'`;
}

/** Puts completion into the start files that are there, and for fish where its folder is; returns the files changed. */
export function installCompletion(place: CompletionPlace): readonly string[] {
  const changed: string[] = [];
  for (const { path, lines } of startFiles(place)) {
    const text = read(path);
    if (text === undefined) continue;
    const rest = without(text);
    const end = rest === '' || rest.endsWith('\n') ? '' : '\n';
    writeFileSync(path, `${rest}${end}${[BEGIN, ...lines, END].join('\n')}\n`);
    changed.push(path);
  }
  const fish = fishFile(place);
  if (read(join(dirname(dirname(fish)), 'config.fish')) !== undefined) {
    mkdirSync(dirname(fish), { recursive: true });
    writeFileSync(fish, fishScript(place));
    changed.push(fish);
  }
  return changed;
}

export function uninstallCompletion(place: CompletionPlace): readonly string[] {
  const changed: string[] = [];
  for (const { path } of startFiles(place)) {
    const text = read(path);
    if (text === undefined || !text.includes(BEGIN)) continue;
    writeFileSync(path, without(text));
    changed.push(path);
  }
  const fish = fishFile(place);
  if (read(fish) !== undefined) {
    rmSync(fish);
    changed.push(fish);
  }
  return changed;
}

function without(text: string): string {
  const begin = text.indexOf(`${BEGIN}\n`);
  const end = text.indexOf(`${END}\n`, begin);
  return begin < 0 || end < 0 ? text : text.slice(0, begin) + text.slice(end + END.length + 1);
}

function read(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return undefined;
  }
}
