import type { ErrnoCode } from '../errno/errno.ts';
import { IommuError } from '../errno/error.ts';

/**
 * An error with outputs: some commands write their struct back although they fail (IOMMU_IOAS_IOVA_RANGES tells how
 * many ranges there are with EMSGSIZE). The binary door writes `reply` back; who calls a typed method finds it here.
 */
export class ReplyError extends IommuError {
  /** The outputs, by the keys of the command's struct. */
  readonly reply: Readonly<Record<string, unknown>>;

  constructor(code: ErrnoCode, op: string, message: string, reply: Readonly<Record<string, unknown>>) {
    super(code, op, message);
    this.reply = reply;
  }
}
