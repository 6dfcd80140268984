import { parentPort } from 'node:worker_threads';
import { selectedBy } from '../../app/unit/summary.js';
import { QrunError } from '../../core/errors.js';
import { QueriesDigest } from '../../core/unit/fingerprint.js';
import { believeBelow } from '../../io/files/owner.js';
import { previewIn } from '../unit/plan.js';
import type { PlanAnswer, PlanQuestion } from './plan-threads.js';

// One of the threads of plan-threads.ts: plans the units that it is sent, one after the other.
parentPort?.on('message', (question: PlanQuestion) => {
  void answer(question).then(result => parentPort?.postMessage(result));
});

async function answer({ believed, usedElsewhere, ...unit }: PlanQuestion): Promise<PlanAnswer> {
  for (const one of believed) believeBelow(one);
  try {
    const digest = new QueriesDigest();
    const plan = await previewIn(
      unit,
      { bad: 'refuse', usedElsewhere },
      { refuseDamage: true, visit: ({ name, fingerprint }) => digest.add(name, fingerprint) },
    );
    return {
      queries: selectedBy(plan),
      due: plan.due.total,
      bad: plan.refused,
      digest: digest.digest(),
    };
  } catch (error) {
    if (!(error instanceof QrunError)) return { bug: (error as Error).stack ?? String(error) };
    const { code, message, hint, details } = error;
    return { refused: { code, message, hint, details } };
  }
}
