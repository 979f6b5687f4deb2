import { describe, expect, it } from 'vitest';
import { noLog } from '../telemetry/types.ts';
import { createMetricsPage } from './metrics-page.ts';

describe('metrics page', () => {
  it('serves the page, and says where it is', async () => {
    let fail = false;
    const render = async (): Promise<string> => {
      if (fail) throw new Error('no');
      return 'isthmus_sidecar_connections 1\n';
    };
    const page = createMetricsPage({ log: noLog, render, address: '127.0.0.1', port: 0 });
    await page.start(new AbortController().signal);
    const get = (path: string, method = 'GET'): Promise<Response> =>
      fetch(`http://${page.address()}${path}`, { method });
    const answer = await get('/metrics');
    expect(answer.status).toBe(200);
    expect(answer.headers.get('content-type')).toContain('version=0.0.4');
    expect(await answer.text()).toBe('isthmus_sidecar_connections 1\n');
    expect((await get('/')).status).toBe(404);
    expect((await get('/metrics', 'POST')).status).toBe(405);
    fail = true;
    expect((await get('/metrics')).status).toBe(500);
    await page.stop();
    await expect(get('/metrics')).rejects.toThrow();
  });
});
