import { ResponseContext, wrapHttpLibrary, type HttpLibrary, type RequestContext } from '@kubernetes/client-node';
import { MetaveilError } from '../../core/errors.ts';
import { errorOfFailure } from './failure.ts';
import type { ApiRequest, Transport } from './transport.ts';

export type CallOptions = Pick<ApiRequest, 'signal' | 'deadlineMs' | 'lane'>;

/**
 * Lets the library's generated APIs send through our transport. A refusal is thrown here as MetaveilError, so that the
 * library's ApiException, whose message quotes the whole body and all headers, never comes into being.
 */
export function httpLibrary(transport: Transport, options: CallOptions = {}): HttpLibrary {
  return wrapHttpLibrary({
    async send(context) {
      const call = requestOf(transport.server, context);
      const reply = await transport.send({ ...call, ...options });
      const what = `${call.method} ${call.path.split('?', 1)[0] ?? ''}`;
      if (reply.kind === 'failed') throw errorOfFailure(what, reply.failure);
      if (reply.kind === 'too-large') throw new MetaveilError('kubernetes-refused', `${what}: the reply is too large`);
      return responseOf(reply.text);
    },
  });
}

function requestOf(server: string, context: RequestContext): ApiRequest {
  const body = context.getBody();
  const contentType = context.getHeaders()['Content-Type'];
  return {
    method: context.getHttpMethod() as ApiRequest['method'],
    path: context.getUrl().slice(server.length),
    // Generated APIs for Kubernetes send JSON only; forms are for other kinds of servers.
    ...(typeof body === 'string' && { body }),
    ...(contentType !== undefined && { contentType }),
  };
}

/** The status only has to be a success: which one the library does not tell its callers anyway. */
function responseOf(text: string): ResponseContext {
  const bytes = Buffer.from(text);
  return new ResponseContext(
    200,
    { 'content-type': 'application/json' },
    {
      text: () => Promise.resolve(text),
      binary: () => Promise.resolve(bytes),
      stream: () => null,
    },
  );
}
