import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { COMMANDS } from './commands.ts';
import { completions } from './completion.ts';
import { installCompletion, uninstallCompletion } from './completion-install.ts';

describe('what a line may go on with', () => {
  it.each<[string, readonly string[]]>([
    ['isthmus mem', ['members']],
    ['isthmus connect ', ['ca', 'envoy', 'proxy']],
    ['isthmus connect ca s', ['set-config', 'status']],
    ['isthmus catalog nodes -sta', ['-stale']],
    ['isthmus members -wan -status=alive -d', ['-detailed']],
    ['isthmus nonsense ', []],
    ['isthmus nonsense -', []],
    ['isthmus -', []],
  ])('%s', (line, wanted) => {
    expect(completions(line, COMMANDS).filter((word) => wanted.includes(word))).toEqual(wanted);
    if (wanted.length === 0) expect(completions(line, COMMANDS)).toEqual([]);
  });

  it('knows every command and every flag', () => {
    for (const { path, flags } of COMMANDS) {
      for (const [at, word] of path.entries())
        expect(completions(['isthmus', ...path.slice(0, at), word.slice(0, 1)].join(' '), COMMANDS)).toContain(word);
      const offered = completions(['isthmus', ...path, '-'].join(' '), COMMANDS).map((flag) => flag.replace('=', ''));
      for (const { name } of flags) expect(offered, path.join(' ')).toContain(`-${name}`);
    }
  });
});

describe('installing', () => {
  let home: string;
  beforeEach(() => {
    home = mkdtempSync(join(tmpdir(), 'isthmus-home-'));
  });
  afterEach(() => rmSync(home, { recursive: true, force: true }));
  const place = () => ({ home, binary: "/opt/it's/isthmus", name: 'isthmus' });
  const file = (path: string): string => readFileSync(join(home, path), 'utf8');

  it('changes the start files that are there, once, and takes it back', () => {
    writeFileSync(join(home, '.bashrc'), 'alias ll="ls -l"');
    mkdirSync(join(home, '.config', 'fish'), { recursive: true });
    writeFileSync(join(home, '.config', 'fish', 'config.fish'), '');
    for (let time = 0; time < 2; time += 1)
      expect(installCompletion(place())).toEqual([
        join(home, '.bashrc'),
        join(home, '.config/fish/completions/isthmus.fish'),
      ]);
    expect(file('.bashrc')).toBe(
      'alias ll="ls -l"\n# completion of isthmus: begin\n' +
        "complete -o nospace -C '/opt/it'\\''s/isthmus' isthmus\n# completion of isthmus: end\n",
    );
    expect(file('.config/fish/completions/isthmus.fish')).toContain('complete -f -c isthmus -a "(__complete_isthmus)"');
    expect(existsSync(join(home, '.zshrc'))).toBe(false);
    uninstallCompletion(place());
    expect(file('.bashrc')).toBe('alias ll="ls -l"\n');
    expect(existsSync(join(home, '.config/fish/completions/isthmus.fish'))).toBe(false);
    expect(uninstallCompletion(place())).toEqual([]);
  });

  it('does nothing where no shell is', () => {
    expect(installCompletion(place())).toEqual([]);
  });

  const has = (shell: string): boolean => spawnSync(shell, ['-c', 'exit 0']).error === undefined;
  const ask = (): { readonly HOME: string; readonly PATH: string } => {
    writeFileSync(join(home, 'isthmus'), '#!/bin/sh\necho "said to $COMP_LINE"\n', { mode: 0o755 });
    mkdirSync(join(home, '.config', 'fish'), { recursive: true });
    for (const name of ['.zshrc', '.config/fish/config.fish']) writeFileSync(join(home, name), '');
    installCompletion({ home, binary: join(home, 'isthmus'), name: 'isthmus' });
    return { HOME: home, PATH: `${home}:${process.env.PATH}` };
  };

  it.skipIf(!has('fish'))('makes fish ask the program (needs fish)', () => {
    const said = execFileSync('fish', ['-c', 'complete -C "isthmus s"'], { env: ask(), encoding: 'utf8' });
    expect(said).toContain('said to isthmus s');
  });

  it.skipIf(!has('zsh'))('is known to zsh, with a plain start file (needs zsh)', () => {
    const said = execFileSync('zsh', ['-ic', '(( $+_comps[isthmus] )) && echo isthmus'], {
      env: ask(),
      encoding: 'utf8',
    });
    expect(said).toBe('isthmus\n');
  });

  it('makes bash ask the program', () => {
    const binary = join(home, 'asked');
    writeFileSync(binary, '#!/bin/sh\necho "$COMP_LINE|$COMP_POINT|$1" >> "$0.log"; echo members\n', { mode: 0o755 });
    writeFileSync(join(home, '.bashrc'), '');
    installCompletion({ home, binary, name: 'isthmus' });
    // What readline does at a TAB, said by bash itself.
    const script =
      `. ~/.bashrc; complete -p isthmus; COMP_LINE="isthmus mem" COMP_POINT=11 ${binary} isthmus mem ` + 'isthmus';
    const said = execFileSync('bash', ['-c', script], { env: { ...process.env, HOME: home }, encoding: 'utf8' });
    expect(said).toBe(`complete -o nospace -C '${binary}' isthmus\nmembers\n`);
    expect(readFileSync(`${binary}.log`, 'utf8')).toBe('isthmus mem|11|isthmus\n');
  });
});
