/**
 * The pods' name server: it knows metadata.google.internal, and that nothing else exists. `metadata` is found through
 * the search list, as on a node of Google's. `node names.ts ADDRESS ADDRESS_OF_THE_NAME`.
 */
import { createSocket } from 'node:dgram';

const [own = '', known = ''] = process.argv.slice(2);
const name = 'metadata.google.internal';
const typeA = 1;
const headerLength = 12;

const server = createSocket('udp4');
server.on('message', (query, from) => server.send(answer(query), from.port, from.address));
server.bind(53, own, () => process.stdout.write('listening\n'));

/** RFC 1035: the query's own header and question, then at most one address. */
function answer(query: Buffer): Buffer {
  const { labels, end } = readName(query);
  const question = query.subarray(headerLength, end + 4);
  const exists = labels.join('.').toLowerCase() === name;
  const answers = exists && query.readUInt16BE(end) === typeA ? [addressRecord()] : [];
  const header = Buffer.alloc(headerLength);
  query.copy(header, 0, 0, 2);
  // Response, recursion desired and available; NXDOMAIN is 3.
  header.writeUInt16BE(0x8180 | (exists ? 0 : 3), 2);
  header.writeUInt16BE(1, 4);
  header.writeUInt16BE(answers.length, 6);
  return Buffer.concat([header, question, ...answers]);
}

function readName(query: Buffer): { readonly labels: readonly string[]; readonly end: number } {
  const labels: string[] = [];
  let at = headerLength;
  while (at < query.length) {
    const length = query.readUInt8(at);
    at += 1;
    if (length === 0) break;
    labels.push(query.toString('ascii', at, at + length));
    at += length;
  }
  return { labels, end: at };
}

function addressRecord(): Buffer {
  const record = Buffer.alloc(16);
  // A pointer to the question's name, type A, class IN, 30 s, four bytes.
  record.writeUInt16BE(0xc00c, 0);
  record.writeUInt16BE(typeA, 2);
  record.writeUInt16BE(1, 4);
  record.writeUInt32BE(30, 6);
  record.writeUInt16BE(4, 10);
  record.set(known.split('.').map(Number), 12);
  return record;
}
