import type { Page } from 'playwright-core';

/** How many pixels of the canvas that `selector` names have which colour (`r,g,b`); those not quite opaque are left out. */
export async function countPixels(page: Page, selector: string): Promise<Map<string, number>> {
  const counts = await page.locator(selector).evaluate((element) => {
    const canvas = element as HTMLCanvasElement;
    const { data } = canvas.getContext('2d')!.getImageData(0, 0, canvas.width, canvas.height);
    const found: Record<string, number> = {};
    for (let at = 0; at < data.length; at += 4) {
      if (data[at + 3] !== 255) continue;
      const colour = data.slice(at, at + 3).join();
      found[colour] = (found[colour] ?? 0) + 1;
    }
    return found;
  });
  return new Map(Object.entries(counts));
}
