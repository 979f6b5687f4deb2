import { create } from '@bufbuild/protobuf';
import type { LuaExtension } from '../../../../model/envoy-extensions/extensions.ts';
import { LuaSchema } from '../../gen/envoy/extensions/filters/http/lua/v3/lua_pb.ts';
import { HttpFilterSchema } from '../../gen/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager_pb.ts';
import { pack } from '../../resource.ts';
import { insertBeforeRouter, type ResourcePatch } from './patch.ts';

/** A script that sees requests and answers. */
export function luaPatch({ direction, script }: LuaExtension): ResourcePatch {
  const filter = create(HttpFilterSchema, {
    name: 'envoy.filters.http.lua',
    configType: {
      case: 'typedConfig',
      value: pack(
        LuaSchema,
        create(LuaSchema, { defaultSourceCode: { specifier: { case: 'inlineString', value: script } } }),
      ),
    },
  });
  return {
    listener(listener, about) {
      if (about.direction === direction) insertBeforeRouter(listener, filter);
    },
  };
}
