import { describe, expect, it } from 'vitest';
import { compareAnswers } from './compare.ts';
import { Relations } from './dynamic.ts';
import { HTTP_FILES, loadRecordings, type Recording } from './recording.ts';

const ROOT = '06:41:48:f3:45:45:02:37:8f:9f:4b:b4:44:16:4c:3e:fc:76:1c:14';
const OTHER = 'ff:41:48:f3:45:45:02:37:8f:9f:4b:b4:44:16:4c:3e:fc:76:1c:14';

describe('comparing an answer with a recording', () => {
  it('finds every recording equal to itself', () => {
    const relations = new Relations();
    for (const file of HTTP_FILES) {
      for (const recording of loadRecordings(file)) {
        const { status, headers, body } = recording.response;
        const text = headers['content-type'] === 'application/json' ? JSON.stringify(body) : String(body);
        expect(compareAnswers(recording, { status, headers, body: text }, relations)).toEqual([]);
      }
    }
  });

  it('takes other IDs for the recorded ones, but always the same', () => {
    const relations = new Relations();
    const recording = recorded({ a: ROOT, b: ROOT });
    expect(compare(recording, { a: OTHER, b: OTHER }, relations)).toEqual([]);
    expect(compare(recording, { a: OTHER, b: ROOT }, relations)).toEqual(['body.b']);
    expect(compare(recorded({ a: OTHER }), { a: OTHER }, relations)).toEqual(['body.a']);
  });

  it('wants indexes to be related as recorded', () => {
    const recording = recorded({ CreateIndex: 7, ModifyIndex: 7 });
    expect(compare(recording, { CreateIndex: 3, ModifyIndex: 3 })).toEqual([]);
    expect(compare(recording, { CreateIndex: 3, ModifyIndex: 4 })).toEqual(['body.ModifyIndex']);
    expect(compare(recording, { CreateIndex: 0, ModifyIndex: 0 })).toEqual(['body.ModifyIndex']);
  });

  it('tells missing and additional fields, other types, and other lengths', () => {
    const recording = recorded({ a: 1, b: null, c: ['x'] });
    expect(compare(recording, { a: '1', c: [], d: 1 })).toEqual(['body.a', 'body.b', 'body.c', 'body.d']);
  });

  it('compares the headers that belong to the API', () => {
    const recording = recorded({}, { 'x-consul-index': '9', age: '4' });
    const answer = { status: 200, headers: { 'content-type': 'application/json', age: 'x', date: 'now' }, body: '{}' };
    const found = compareAnswers(recording, answer, new Relations()).map((difference) => difference.at);
    expect(found).toEqual(['header:x-consul-index', 'header:age']);
  });
});

function recorded(body: unknown, headers: Readonly<Record<string, string>> = {}): Recording {
  return {
    name: 'one',
    dc: 'dc1',
    request: { method: 'GET', path: '/' },
    response: { status: 200, headers: { 'content-type': 'application/json', ...headers }, body },
  };
}

function compare(recording: Recording, body: unknown, relations = new Relations()): readonly string[] {
  const answer = { status: 200, headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) };
  return compareAnswers(recording, answer, relations).map((difference) => difference.at);
}
