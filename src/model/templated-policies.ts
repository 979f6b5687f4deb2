import { IsthmusError } from '../lib/errors.ts';

/**
 * Policies that are there without being written: a token or role names one and gives what stands in for `{{.Name}}`.
 * Names, variables and what is granted are Consul's.
 */

export interface TemplatedPolicyVariables {
  readonly Name?: string;
}

/** As a token or role holds it. */
export interface TemplatedPolicy {
  readonly TemplateName: string;
  readonly TemplateVariables?: TemplatedPolicyVariables;
  /** Absent means every datacenter. */
  readonly Datacenters?: readonly string[];
}

/** As /v1/acl/templated-policies shows it. */
export interface TemplatedPolicyShown {
  readonly TemplateName: string;
  /** JSON schema of the variables; '' when there are none. */
  readonly Schema: string;
  readonly Template: string;
  readonly Description: string;
}

interface Template {
  readonly about: string;
  readonly named: boolean;
  /** Lines of HCL. */
  readonly rules: readonly string[];
}

const CATALOG = ['service_prefix "" { policy = "read" }', 'node_prefix "" { policy = "read" }'];

export const SERVICE_TEMPLATE = 'builtin/service';

const TEMPLATES: Readonly<Record<string, Template>> = {
  [SERVICE_TEMPLATE]: {
    about: 'Gives the token or role permissions to register a service and discover services in the Consul catalog.',
    named: true,
    rules: [
      'service "{{.Name}}" { policy = "write" }',
      'service "{{.Name}}-sidecar-proxy" { policy = "write" }',
      ...CATALOG,
    ],
  },
  'builtin/node': {
    about: 'Gives the token or role permissions to register a node and discover services.',
    named: true,
    rules: ['node "{{.Name}}" { policy = "write" }', 'service_prefix "" { policy = "read" }'],
  },
  'builtin/dns': {
    about: 'Gives the token or role permissions to answer DNS questions.',
    named: false,
    rules: [...CATALOG, 'query_prefix "" { policy = "read" }'],
  },
  'builtin/nomad-server': {
    about: 'Gives the token or role permissions required for integration with a nomad server.',
    named: false,
    rules: [
      'acl = "write"',
      'agent_prefix "" { policy = "read" }',
      'node_prefix "" { policy = "read" }',
      'service_prefix "" { policy = "write" }',
    ],
  },
  'builtin/nomad-client': {
    about: 'Gives the token or role permissions required for integration with a nomad client.',
    named: false,
    rules: [
      'agent_prefix "" { policy = "read" }',
      'node_prefix "" { policy = "read" }',
      'service_prefix "" { policy = "write" }',
    ],
  },
  'builtin/api-gateway': {
    about: 'Gives the token or role permissions for an API gateway.',
    named: true,
    rules: ['mesh = "read"', ...CATALOG, 'service "{{.Name}}" { policy = "write" }'],
  },
  'builtin/workload-identity': {
    about: 'Grants nothing here: there are no workload identities.',
    named: true,
    rules: ['identity "{{.Name}}" { policy = "write" }'],
  },
};

/** As the name of a service or node in an identity. */
const VARIABLE = /^[a-z0-9]([a-z0-9\-_]{0,254}[a-z0-9])?$/;

const SCHEMA = JSON.stringify({
  type: 'object',
  properties: { name: { type: 'string', minLength: 1 } },
  required: ['name'],
});

export function templatedPolicies(): Readonly<Record<string, TemplatedPolicyShown>> {
  return Object.fromEntries(Object.keys(TEMPLATES).map((name) => [name, templatedPolicy(name)]));
}

/** Throws `invalid_argument` for a name that is none. */
export function templatedPolicy(name: string): TemplatedPolicyShown {
  const { about, named, rules } = templateOf(name);
  return { TemplateName: name, Schema: named ? SCHEMA : '', Template: `${rules.join('\n')}\n`, Description: about };
}

/** The rules in HCL, with the variables filled in. */
export function renderTemplate({ TemplateName, TemplateVariables }: TemplatedPolicy): string {
  const { rules } = templateOf(TemplateName);
  return `${rules.join('\n')}\n`.replaceAll('{{.Name}}', TemplateVariables?.Name ?? '');
}

/** In the form in which it is stored; throws `rejected` for what makes no sense. @param owner 'token' or 'role' */
export function checkTemplatedPolicy(given: Partial<TemplatedPolicy>, owner: string, local: boolean): TemplatedPolicy {
  const { TemplateName = '', TemplateVariables, Datacenters = [] } = given;
  if (TemplateName === '') throw rejected(`templated policy is missing the template name field on this ${owner}`);
  if (!isTemplate(TemplateName))
    throw rejected(`no such ACL templated policy with Name ${JSON.stringify(TemplateName)}`);
  if (local && Datacenters.length > 0)
    throw rejected(
      `templated policy ${JSON.stringify(TemplateName)} cannot specify a list of datacenters on a local token`,
    );
  const { Name = '' } = TemplateVariables ?? {};
  const { named } = templateOf(TemplateName);
  if (named && !VARIABLE.test(Name))
    throw rejected(
      `templated policy ${JSON.stringify(TemplateName)} has an invalid name variable. Only lowercase alphanumeric ` +
        `characters, '-' and '_' are allowed`,
    );
  return {
    TemplateName,
    ...(named ? { TemplateVariables: { Name } } : {}),
    ...(Datacenters.length > 0 ? { Datacenters } : {}),
  };
}

export function isTemplate(name: string): boolean {
  return Object.hasOwn(TEMPLATES, name);
}

function templateOf(name: string): Template {
  const template = isTemplate(name) ? TEMPLATES[name] : undefined;
  if (template === undefined)
    throw new IsthmusError('invalid_argument', `Invalid templated policy Name: ${JSON.stringify(name)}`);
  return template;
}

function rejected(text: string): IsthmusError {
  return new IsthmusError('rejected', text);
}
