/** A cost file that cannot be used: the message names the parameter, its value and what would be right. */
export class CostError extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'CostError';
  }
}
