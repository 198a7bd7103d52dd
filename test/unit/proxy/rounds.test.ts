import assert from 'node:assert/strict';
import { setImmediate as nextRound } from 'node:timers/promises';
import { describe, it } from 'node:test';
import { Rounds, type InRound } from '../../../operator/proxy/rounds.ts';

class Source implements InRound {
  inRound = 0;
  readonly said: string[] = [];

  pause(): void {
    this.said.push('pause');
  }

  resume(): void {
    this.said.push('resume');
  }
}

function send(rounds: Rounds, source: Source, count: number): void {
  for (let sent = 0; sent < count; sent += 1) rounds.count(source);
}

describe('a round of the event loop', () => {
  it('leaves alone who sends no more than its part, round after round', async () => {
    const [rounds, source] = [new Rounds(3), new Source()];
    for (let round = 0; round < 3; round += 1) {
      send(rounds, source, 3);
      await nextRound();
    }
    assert.deepEqual(source.said, []);
  });

  it('pauses who sends more, once, until the round is over; others are not concerned', async () => {
    const [rounds, much, little] = [new Rounds(3), new Source(), new Source()];
    send(rounds, much, 10);
    send(rounds, little, 3);
    assert.deepEqual(much.said, ['pause']);
    await nextRound();
    assert.deepEqual(much.said, ['pause', 'resume']);
    assert.deepEqual(little.said, []);
  });

  it('counts anew in the next one', async () => {
    const [rounds, source] = [new Rounds(3), new Source()];
    send(rounds, source, 4);
    await nextRound();
    send(rounds, source, 3);
    await nextRound();
    assert.deepEqual(source.said, ['pause', 'resume']);
    send(rounds, source, 4);
    assert.deepEqual(source.said, ['pause', 'resume', 'pause']);
  });

  it('leaves those paused while connections come, for a while', async () => {
    const [rounds, source] = [new Rounds(3), new Source()];
    send(rounds, source, 4);
    for (let round = 0; round < 10; round += 1) {
      rounds.connected();
      await nextRound();
    }
    assert.deepEqual(source.said, ['pause']);
    await nextRound();
    assert.deepEqual(source.said, ['pause', 'resume']);
    send(rounds, source, 4);
    for (let round = 0; round < 100; round += 1) {
      rounds.connected();
      await nextRound();
    }
    assert.deepEqual(source.said, ['pause', 'resume', 'pause', 'resume']);
  });
});
