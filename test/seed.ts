import fc from 'fast-check';

const { SEED } = process.env;
// Without SEED each run draws its own; a failure prints it.
if (SEED !== undefined) fc.configureGlobal({ ...fc.readConfigureGlobal(), seed: Number(SEED) });
