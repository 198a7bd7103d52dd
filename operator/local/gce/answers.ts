/** What the metadata server of a VM answers; texts and headers are those seen on the wire where that is known. */
import { createHash } from 'node:crypto';
import type { GceInstance } from './instance.ts';
import { find, listing, recursiveJson, recursiveText, type Directory, type TreeNode } from './tree.ts';

export interface Answer {
  readonly status: number;
  readonly body: string;
  readonly headers: Readonly<Record<string, string>>;
}

export interface TreeRequest {
  readonly segments: readonly string[];
  /** The path ended in a slash. */
  readonly slash: boolean;
  readonly query: URLSearchParams;
  /** What a redirect points to: `http://HOST/PATH/?QUERY`. */
  readonly location: string;
}

const html = { 'Content-Type': 'text/html; charset=UTF-8' };
const plain = { 'Content-Type': 'application/text' };
const json = { 'Content-Type': 'application/json' };

/** Also without the header: probes of clients depend on it. */
export const rootListing: Answer = { status: 200, body: '0.1/\ncomputeMetadata/\n', headers: plain };
export const computeMetadataListing: Answer = { status: 200, body: 'v1/\nv1beta1/\n', headers: plain };
export const notFound = page(404, 'Not Found', 'The requested URL was not found on this server.');
export const missingHeader = page(403, 'Forbidden', 'Missing Metadata-Flavor:Google header.');
/** The address must not be reachable through a proxy that forwards for others. */
export const forwarded = page(403, 'Forbidden', 'Requests with an X-Forwarded-For header are not allowed.');
export const methodNotAllowed = page(405, 'Method Not Allowed', 'The request method is inappropriate for the URL.');

function page(status: number, title: string, sentence: string): Answer {
  const body = `<!DOCTYPE html>\n<html lang=en>\n<title>Error ${status} (${title})!!1</title>\n<p><b>${status}.</b> <ins>That’s an error.</ins>\n<p>${sentence}\n</html>\n`;
  return { status, body, headers: html };
}

export function answerTree(tree: Directory, instance: GceInstance, request: TreeRequest): Answer {
  const credential = credentialOf(tree, instance, request);
  if (credential !== undefined) return credential;
  const node = find(tree, request.segments);
  if (node === undefined) return notFound;
  if (node.kind === 'directory' && !request.slash) return redirect(request.location);
  // A value asked for as a directory is none.
  return node.kind === 'leaf' && request.slash ? notFound : valueOf(node, request.query);
}

/** `token` and `identity` of an account: computed, and in no listing or recursive answer. */
function credentialOf(tree: Directory, instance: GceInstance, { segments, query }: TreeRequest): Answer | undefined {
  const account = segments.slice(0, 3);
  const isAccount = account[1] === 'service-accounts' && find(tree, account) !== undefined;
  if (!isAccount || segments.length !== 4) return undefined;
  if (segments[3] === 'token') {
    const token = { access_token: instance.accessToken, expires_in: 3387, token_type: 'Bearer' };
    return { status: 200, body: JSON.stringify(token), headers: json };
  }
  if (segments[3] !== 'identity') return undefined;
  if ((query.get('audience') ?? '') === '') {
    return { status: 400, body: 'non-empty audience parameter required\n', headers: plain };
  }
  return { status: 200, body: instance.identityToken, headers: plain };
}

function redirect(location: string): Answer {
  return { status: 301, body: `${new URL(location).pathname}\n`, headers: { ...html, Location: location } };
}

function valueOf(node: TreeNode, query: URLSearchParams): Answer {
  const alt = query.get('alt');
  const recursive = node.kind === 'directory' && query.get('recursive')?.toLowerCase() === 'true';
  if (recursive) {
    return alt === 'text' ? tagged(recursiveText(node), plain) : tagged(recursiveJson(node), json);
  }
  if (alt === 'json') return tagged(recursiveJson(node), json);
  return tagged(node.kind === 'directory' ? listing(node) : node.text, plain);
}

function tagged(body: string, headers: Readonly<Record<string, string>>): Answer {
  const etag = createHash('sha256').update(body).digest('hex').slice(0, 16);
  return { status: 200, body, headers: { ...headers, ETag: etag } };
}
