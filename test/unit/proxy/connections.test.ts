import assert from 'node:assert/strict';
import { EventEmitter } from 'node:events';
import type { ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { describe, it } from 'node:test';
import { Connections, type ConnectionLimits, type OpenConnection } from '../../../operator/proxy/connections.ts';
import { defaultLimits } from '../../../operator/proxy/listener.ts';
import { contentReply } from '../../../operator/proxy/replies.ts';

class FakeSocket extends EventEmitter {
  readonly remoteAddress: string;

  constructor(remoteAddress: string) {
    super();
    this.remoteAddress = remoteAddress;
  }

  pause(): void {
    this.emit('pause');
  }

  resume(): void {
    this.emit('resume');
  }
}

function connections(limits: Partial<ConnectionLimits> = {}) {
  const all = new Connections({ ...defaultLimits, pipelinedRequests: 1_000, ...limits });
  const accept = (address: string) => {
    const socket = new FakeSocket(address);
    return { socket, open: all.accept(socket as unknown as Socket) };
  };
  return { accept };
}

/** Leaves a reply of so many bytes unread; false if it was refused. Returns how it is taken. */
function leave(open: OpenConnection | undefined, bytes: number): { taken: () => void } | undefined {
  const response = new EventEmitter();
  const turn = open?.take(response as unknown as ServerResponse);
  assert.ok(open !== undefined && turn !== undefined);
  return open.mayReply(turn, bytes) ? { taken: () => void response.emit('close') } : undefined;
}

const addresses = Array.from({ length: 50 }, (_, index) => `10.0.0.${index + 1}`);

describe('connections of many pods', () => {
  it('cannot shut out a pod that has none', () => {
    const { accept } = connections({
      connections: 300,
      connectionsPerPod: 16,
      fewConnections: 4,
      connectionsKeptBack: 200,
    });
    const accepted = addresses.map((address) => {
      const tries = Array.from({ length: 20 }, () => accept(address));
      return tries.filter(({ open }) => open !== undefined).length;
    });
    assert.deepEqual(accepted.slice(0, 6), Array(6).fill(16));
    assert.deepEqual(accepted.slice(7), Array(43).fill(4));
    assert.equal(
      accepted.reduce((sum, count) => sum + count, 0),
      6 * 16 + 4 + 43 * 4,
    );
  });

  it('are given back when they close', () => {
    const { accept } = connections({ connections: 4, connectionsPerPod: 2, connectionsKeptBack: 0 });
    const first = accept('10.0.0.1');
    assert.ok(accept('10.0.0.1').open !== undefined);
    assert.equal(accept('10.0.0.1').open, undefined);
    first.socket.emit('close');
    assert.ok(accept('10.0.0.1').open !== undefined);
  });
});

describe('replies that pods leave unread', () => {
  const limits = { unreadBytesPerPod: 400, unreadBytes: 1_000 };

  it('are counted in bytes, not in characters', () => {
    assert.equal(contentReply('application/text', '€').bytes, 3);
  });

  it('are bounded per pod, and one alone may be longer', () => {
    const { accept } = connections(limits);
    const { open } = accept('10.0.0.1');
    const long = leave(open, 5_000);
    assert.ok(long !== undefined);
    assert.equal(leave(accept('10.0.0.1').open, 1), undefined);
    long.taken();
    assert.ok(leave(open, 300) !== undefined);
    assert.equal(leave(open, 101), undefined);
    assert.ok(leave(open, 100) !== undefined);
  });

  it('are bounded for all pods together: who has some gets less, who has none gets one', () => {
    const { accept } = connections(limits);
    const greedy = addresses.slice(0, 4).map((address) => accept(address));
    let unread = 0;
    for (let round = 0; round < 100; round += 1)
      for (const { open } of greedy) if (leave(open, 10) !== undefined) unread += 10;
    assert.ok(unread <= 1_000, `${unread} bytes`);
    assert.ok(leave(accept('10.0.0.99').open, 10) !== undefined);
    greedy[0]?.socket.emit('close');
    assert.ok(leave(greedy[1]?.open, 10) !== undefined, 'what a connection had left is free when it is gone');
  });
});
