import { accessSync, constants } from 'node:fs';

const USUAL = ['/usr/bin/chromium', '/usr/bin/chromium-browser'];

/** What to say where there is no Chromium. */
export const CHROMIUM_MISSING = `needs Chromium: set CHROMIUM to its path, or install it as ${USUAL.join(' or ')}`;

/** Path of Chromium: $CHROMIUM, else where Debian and Ubuntu put it; undefined where there is none. */
export function findChromium(): string | undefined {
  const paths = process.env.CHROMIUM ? [process.env.CHROMIUM] : USUAL;
  return paths.find((path) => {
    try {
      accessSync(path, constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}
