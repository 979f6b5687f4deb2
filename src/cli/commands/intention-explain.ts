import type { Explanation, VerdictRule } from '../../model/intention.ts';
import { type Command, doing } from '../command.ts';
import { columns } from '../output.ts';
import { DATACENTER_FLAGS, sideText, twoNames } from './intention-common.ts';

const DENIED = 1;
const FAILED = 2;

export const intentionExplain: Command = {
  path: ['intention', 'explain'],
  synopsis: 'Show why a service may, or may not, connect to another one',
  argsUsage: 'SRC DST',
  about:
    'Shows the rule that decides with its precedence and revision, the rules that would decide without it, and what ' +
    'would allow the ' +
    'connection. Exit code: 0 allowed, 1 denied, 2 an error.',
  failureCode: FAILED,
  flags: [
    ...DATACENTER_FLAGS,
    { name: 'path', kind: 'text', placeholder: 'path', about: 'Decide a request with this path, not the connection.' },
    { name: 'method', kind: 'text', placeholder: 'method', about: 'Method of the request. Default: GET.' },
    { name: 'header', kind: 'list', placeholder: 'line', about: 'Header of the request, "name: value".' },
  ],
  api: 'server',
  async run(context) {
    const pair = twoNames(context, 'Error: requires exactly two arguments: source and destination');
    const path = context.flags.text('path');
    const method = context.flags.text('method') || 'GET';
    const request = path ? { request: { path, method, headers: context.flags.list('header') } } : {};
    const asked = { ...pair, ...request };
    const explanation = await doing('Error explaining the connection', context.client().intentions.explain(asked));
    if (context.json) context.printJson(explanation);
    else context.print(describe(explanation));
    return explanation.Allowed ? 0 : DENIED;
  },
};

function describe(explanation: Explanation): string {
  const source = sideText(explanation.Source, explanation.SourceDatacenter);
  const destination = sideText(explanation.Destination, explanation.DestinationDatacenter);
  const rows = [
    ['Connection:', `${source} => ${destination}`],
    ['Verdict:', verdictOf(explanation)],
    ['Reason:', explanation.Reason],
    [
      'Rule:',
      explanation.Rule === undefined ? `none; default is ${explanation.DefaultAction}` : rule(explanation.Rule),
    ],
    ...explanation.Shadowed.map((shadowed, index) => [index === 0 ? 'Behind it:' : '', rule(shadowed)]),
    ['Decided in:', `${explanation.Datacenter}, revision ${explanation.Revision}`],
  ];
  if (explanation.ToAllow !== undefined) rows.push(['To allow it:', explanation.ToAllow]);
  return columns(rows);
}

function verdictOf({ Allowed, ByRequest, Permission, Reason }: Explanation): string {
  if (ByRequest === true && Permission === undefined && Reason.includes('a connection alone'))
    return 'Request by request';
  return Allowed ? 'Allowed' : 'Denied';
}

function rule(rule: VerdictRule): string {
  const source = sideText(rule.source, rule.sourceDatacenter);
  const destination = sideText(rule.destination, rule.destinationDatacenter);
  return `${source} => ${destination} (${rule.action}), precedence ${rule.precedence}, revision ${rule.revision}`;
}
