/** The problems that verifying finds: the first thousand of those that are asked for, and how many there are in all. */
import type { StoreProblem } from "./open-report.ts";

const PROBLEMS_MAX = 1000;

export class ProblemList {
  readonly problems: StoreProblem[] = [];
  count = 0;
  readonly #isListed: (problem: StoreProblem) => boolean;

  constructor(isListed: (problem: StoreProblem) => boolean = () => true) {
    this.#isListed = isListed;
  }

  tell(problem: StoreProblem): void {
    this.count++;
    if (this.problems.length < PROBLEMS_MAX && this.#isListed(problem)) this.problems.push(problem);
  }

  /** A problem at a place of the log. */
  at(code: string, segmentId: number, offset: number, reason: string, entity?: string): void {
    const whose = entity === undefined ? "" : `, ${entity}`;
    const place = entity === undefined ? { segmentId, offset } : { entity, segmentId, offset };
    this.tell({ code, message: `Segment ${segmentId} at offset ${offset}${whose}: ${reason}`, ...place });
  }
}
