const { SEED } = process.env;
// Without SEED each run draws its own; a failure prints it. Most test files have no properties, and need not load fast-check.
if (SEED !== undefined) {
  const { default: fc } = await import('fast-check');
  fc.configureGlobal({ ...fc.readConfigureGlobal(), seed: Number(SEED) });
}
