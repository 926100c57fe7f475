import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { extname, join, normalize } from 'node:path';

/** The strictest policy under which a page can run WebAssembly. */
export const STRICT_POLICY = "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'";

const TYPES: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
};

/** What a server hands out. */
export interface Site {
  /** Texts and bytes by path (`/main.js`); they come before the folder. */
  readonly files: Readonly<Record<string, string | Uint8Array>>;
  /** A folder of files, if any. */
  readonly folder?: string;
  /** Content-Security-Policy of every answer. Default STRICT_POLICY. */
  readonly policy?: string;
}

/** A server on a free port of 127.0.0.1. */
export interface Server {
  /** `http://127.0.0.1:port`. */
  readonly origin: string;
  close(): Promise<void>;
}

function contentOf(site: Site, path: string): string | Uint8Array | undefined {
  const own = site.files[path];
  if (own !== undefined || site.folder === undefined) return own;
  try {
    return readFileSync(join(site.folder, normalize(path)));
  } catch {
    return undefined;
  }
}

/** Serves `site`; what it does not have is a 404. */
export async function serve(site: Site): Promise<Server> {
  const server = createServer((request, response) => {
    const path = new URL(request.url ?? '/', 'http://host').pathname;
    const content = path === '/favicon.ico' ? '' : contentOf(site, path);
    response.writeHead(content === undefined ? 404 : 200, {
      'Content-Type': TYPES[extname(path)] ?? 'application/octet-stream',
      'Content-Security-Policy': site.policy ?? STRICT_POLICY,
    });
    response.end(content);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    origin: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}
