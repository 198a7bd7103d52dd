/** Runs the blocks that it is sent. */
import { parentPort } from 'node:worker_threads';
import { runBlock, type Block } from './blocks.ts';

parentPort?.on('message', (block: Block) => {
  void runBlock(block).then((result) => parentPort?.postMessage(result));
});
