import { describe, expect, it } from 'vitest';
import { parseJoinSource } from './join-sources.ts';

describe('entries of retry_join', () => {
  it.each([
    ['10.0.0.1', undefined],
    ['server.example.com:8301', undefined],
    ['exec=/usr/bin/find-servers', { kind: 'exec', program: '/usr/bin/find-servers', args: [] }],
    [
      `exec=discover -q addrs "provider=aws tag_key=role" 'a b'`,
      { kind: 'exec', program: 'discover', args: ['-q', 'addrs', 'provider=aws tag_key=role', 'a b'] },
    ],
    ['provider=dns name=s.example.com', { kind: 'dns', name: 's.example.com', port: 0, srv: false }],
    [
      'provider=dns name=_x._tcp.example.com type=srv',
      { kind: 'dns', name: '_x._tcp.example.com', port: 0, srv: true },
    ],
    ['name=s.example.com port=18301 provider=dns', { kind: 'dns', name: 's.example.com', port: 18_301, srv: false }],
  ])('%s', (text, source) => {
    expect(parseJoinSource(text)).toEqual(source);
  });

  it.each([
    ['exec=', 'names no program'],
    ['provider=aws tag_key=role tag_value=server', 'names the provider "aws", which is not built in'],
    ['provider=k8s label_selector="app=consul"', 'exec=discover -q addrs provider=k8s'],
    ['provider=dns', 'needs a name'],
    ['provider=dns name=a.b zone=c', 'unknown field "zone"; provider=dns takes name, port and type'],
    ['provider=dns name=a.b type=mx', 'it can be a or srv'],
    ['provider=dns name=a.b port=x', 'a port that is none'],
  ])('%s is refused with what to do', (text, because) => {
    expect(() => parseJoinSource(text)).toThrow(because);
  });
});
