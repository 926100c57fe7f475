import { readFile } from 'node:fs/promises';
import { CostError } from '../cost/cost-error.ts';
import { CostModel } from '../cost/cost-model.ts';

/** The cost model, with the values of a JSON file where `path` names one. CostError for a file that is none. */
export async function costModelOf(path: string | undefined): Promise<CostModel> {
  if (path === undefined) return CostModel.default();
  const text = await readFile(path, 'utf8');
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (error) {
    throw new CostError(`${path} is not JSON: ${(error as Error).message}`);
  }
  return CostModel.default().withOverrides(json);
}
